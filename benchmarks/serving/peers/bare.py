"""The bare limit: uvloop, httptools, msgspec and LiteRT, and nothing else.

It checks no value, no path and no header, fills nothing, measures nothing and writes only the headers that
HTTP needs. It fills the first numbers of the model's input with whatever the request holds: the model's
answer means nothing, and takes the same time.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import cast

import httptools
import msgspec
import numpy as np
import uvloop
from ai_edge_litert.interpreter import Interpreter


class BareModel:
    """A LiteRT model of one row."""

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._interpreter.allocate_tensors()
        self._row = np.zeros(self._interpreter.get_input_details()[0]["shape"], np.float32)

    def predict(self, values: list[object]) -> float:
        """Compute the output of one row."""
        self._row[0, : len(values)] = values
        self._interpreter.set_tensor(self._input, self._row)
        self._interpreter.invoke()
        return float(self._interpreter.get_tensor(self._output)[0])


class BareConnection(asyncio.Protocol):
    """Answers V1 where the path begins with `/v1`, else V2."""

    def __init__(self, model: BareModel) -> None:
        self._model = model
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep the path."""
        self._is_v1 = url.startswith(b"/v1")
        self._body = b""

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        content: object = {}
        if self._body:
            request = msgspec.json.decode(self._body)
            if self._is_v1:
                (instance,) = request["instances"]
                content = {"predictions": [self._model.predict(list(instance.values()))]}
            else:
                values = [tensor["data"][0] for tensor in request["inputs"]]
                output = {"name": "probability", "shape": [1], "datatype": "FP32"}
                output["data"] = [self._model.predict(values)]
                content = {"model_name": "bench", "id": "", "outputs": [output]}
        body = msgspec.json.encode(content)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def serve(model: BareModel, port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BareConnection(model), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    arguments = parser.parse_args()
    uvloop.run(serve(BareModel(arguments.model_path / "model.tflite"), arguments.http_port))
