"""A collector that takes everything and keeps nothing: `python -m benchmarks.serving.sink PORT`."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from mulgil.serving.http import Connections, HttpConnection
from mulgil.serving.messages import json_response


async def _run(port: int) -> None:
    connections = Connections(lambda _: json_response({"records": 0}))
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpConnection(connections), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1])))
