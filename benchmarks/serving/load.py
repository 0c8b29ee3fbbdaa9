"""Load by wrk, and what it says."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Load:
    """What wrk measured.

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


def write_script(path: Path, body: object) -> None:
    """Write what wrk sends: one POST of JSON, again and again."""
    text = json.dumps(body, separators=(",", ":"))
    assert "]==]" not in text
    path.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{text}]==]\n',
        encoding="utf-8",
    )


def run_wrk(url: str, script: Path, *, connections: int, seconds: float, core: int) -> Load:
    """Load one server.

    Raises:
        RuntimeError: An answer was not 2xx, or a socket failed.
    """
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    output = subprocess.run(
        [*command, "-s", str(script), url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url} failed under load:\n{output}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    quantiles = {
        share: float(value) * _UNITS[unit]
        for share, value, unit in re.findall(r"(\d\d)%\s+([\d.]+)(us|ms|s)", output)
    }
    count = re.search(r"(\d+) requests in", output)
    assert rate is not None and count is not None, output
    return Load(int(count[1]), float(rate[1]), quantiles["50"], quantiles["99"])
