"""The servers under test, each a process pinned to one core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: In the results.
        url: Its base address.
        pid: Its process.
        ready_seconds: From the start of its process to its first answer.
    """

    name: str
    url: str
    pid: int
    ready_seconds: float

    @property
    def resident_mb(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    @property
    def cpu_seconds(self) -> float:
        """Processor time that its process and its threads have had."""
        # The name, which may have spaces, ends with the last parenthesis; proc(5) counts the fields.
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def run_server(name: str, arguments: list[str], core: int) -> Iterator[Server]:
    """Start `python -m …`, wait until it answers, and end it at last."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["taskset", "-c", str(core), sys.executable, "-m", *arguments, "--http-port", str(port)]
    with tempfile.TemporaryFile() as log:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not _answers(f"{url}/v2/health/ready"):
                if process.poll() is not None or time.perf_counter() - begun > _PATIENCE_SECONDS:
                    raise RuntimeError(f"{name} does not start:\n{_read(log)}")
                time.sleep(0.01)
            yield Server(name, url, process.pid, time.perf_counter() - begun)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def run_sink(core: int) -> Iterator[str]:
    """Start a collector that keeps nothing, and end it at last; yields its address."""
    port = free_port()
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.serving.sink", str(port)]
    sink = subprocess.Popen(command)
    try:
        # A record that finds no collector yet is sent again.
        yield f"http://127.0.0.1:{port}"
    finally:
        sink.terminate()
        sink.wait(timeout=20)


def count_lost_records(server: Server) -> float:
    """Return how many records of its prediction log a server of ours has lost so far."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    (line,) = (
        line
        for line in page.splitlines()
        if line.startswith("mulgil_prediction_log_records_total{") and 'outcome="dropped"' in line
    )
    return float(line.rpartition(" ")[2])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _read(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-3000:]
