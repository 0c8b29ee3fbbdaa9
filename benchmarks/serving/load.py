"""Load by wrk over HTTP and by a client of our own over gRPC, and what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.payloads import Payload

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Load:
    """What was measured of a load.

    Attributes:
        requests: Answered.
        requests_per_second: The same by time.
        p50_seconds: Median latency.
        p99_seconds: Its tail.
    """

    requests: int
    requests_per_second: float
    p50_seconds: float
    p99_seconds: float


def write_script(path: Path, payload: Payload) -> None:
    """Write what wrk sends: one POST, again and again."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in payload.headers.items()]
    lines = ['wrk.method = "POST"', *lines, f"wrk.body = {_quote(payload.body)}", ""]
    path.write_text("\n".join(lines), encoding="ascii")


def write_mixed_script(path: Path, requests: Sequence[bytes]) -> None:
    """Write what wrk sends: whole requests in this order, and again from the first."""
    places = {request: str(place + 1) for place, request in enumerate(dict.fromkeys(requests))}
    lines = [
        "local contents = {" + ", ".join(map(_quote, places)) + "}",
        "local order = {" + ", ".join(places[request] for request in requests) + "}",
        "local place = 0",
        "function request()",
        "  place = place % #order + 1",
        "  return contents[order[place]]",
        "end",
        "",
    ]
    path.write_text("\n".join(lines), encoding="ascii")


def _quote(content: bytes) -> str:
    """Write any bytes as a text of Lua's: each as three digits."""
    return '"' + "".join(f"\\{byte:03d}" for byte in content) + '"'


def run_wrk(
    url: str, script: Path, *, connections: int, seconds: float, core: int, takes_errors: bool = False
) -> Load:
    """Load one server over HTTP.

    Raises:
        RuntimeError: An answer was not 2xx and none such is due, or a socket failed.
    """
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    output = subprocess.run(
        [*command, "-s", str(script), url], capture_output=True, text=True, check=True
    ).stdout
    if ("Non-2xx" in output and not takes_errors) or "Socket errors" in output:
        raise RuntimeError(f"{url} failed under load:\n{output}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    quantiles = {
        share: float(value) * _UNITS[unit]
        for share, value, unit in re.findall(r"(\d\d)%\s+([\d.]+)(us|ms|s)", output)
    }
    count = re.search(r"(\d+) requests in", output)
    assert rate is not None and count is not None, output
    return Load(int(count[1]), float(rate[1]), quantiles["50"], quantiles["99"])


def run_calls(port: int, message: Path, *, connections: int, seconds: float, core: int) -> Load:
    """Load one server over gRPC. The client costs more than our server does: compare processor time.

    Raises:
        RuntimeError: A call failed.
    """
    command = [sys.executable, "-m", "benchmarks.serving.grpc_load", str(port), str(message)]
    done = subprocess.run(
        ["taskset", "-c", str(core), *command, str(connections), str(seconds)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"gRPC at {port} failed under load:\n{done.stderr[-2000:]}")
    return Load(**json.loads(done.stdout))
