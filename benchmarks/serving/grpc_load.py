"""So many calls at once over gRPC: `python -m benchmarks.serving.grpc_load PORT MESSAGE CALLS SECONDS`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import grpc


async def run(port: int, message: bytes, calls: int, seconds: float) -> dict[str, float]:
    """Call until the time is over."""
    taken: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        await infer(message)
        begun = time.perf_counter()

        async def work() -> None:
            while (before := time.perf_counter()) - begun < seconds:
                await infer(message)
                taken.append(time.perf_counter() - before)

        await asyncio.gather(*(work() for _ in range(calls)))
        whole = time.perf_counter() - begun
    taken.sort()
    return {
        "requests": len(taken),
        "requests_per_second": len(taken) / whole,
        "p50_seconds": taken[len(taken) // 2],
        "p99_seconds": taken[int(len(taken) * 0.99)],
    }


if __name__ == "__main__":
    port, path, calls, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(run(int(port), Path(path).read_bytes(), int(calls), float(seconds)))))
