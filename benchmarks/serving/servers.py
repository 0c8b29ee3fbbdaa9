"""The servers under test, each pinned to one core with all its processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mulgil.home import SOURCE_ROOT

_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: In the results.
        url: Its base address.
        pid: Its first process.
        ready_seconds: From the start of its process to its first answer.
        grpc_port: Where it answers gRPC, if anywhere.
    """

    name: str
    url: str
    pid: int
    ready_seconds: float
    grpc_port: int | None = None

    @property
    def resident_mb(self) -> float:
        """Resident memory of its processes now."""
        pages = sum(int(_read_text(pid, "statm").split()[1]) for pid in _family(self.pid))
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def cpu_seconds(self) -> float:
        """Processor time that its processes have had."""
        ticks = sum(int(one) for pid in _family(self.pid) for one in _fields(pid)[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def run_server(
    name: str,
    arguments: Sequence[str],
    core: int,
    *,
    python: str = sys.executable,
    ready_path: str = "/v2/health/ready",
    grpc_port: int | None = None,
) -> Iterator[Server]:
    """Start `python -m …`, wait until it answers, and end it at last."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["taskset", "-c", str(core), python, "-m", *arguments, "--http-port", str(port)]
    if grpc_port is not None:
        command += ["--grpc-port", str(grpc_port)]
    with tempfile.TemporaryFile() as log:
        begun = time.perf_counter()
        # A group of its own, so that what a peer starts ends with it.
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=_environment(python), start_new_session=True
        )
        try:
            while not _answers(f"{url}{ready_path}"):
                if process.poll() is not None or time.perf_counter() - begun > _PATIENCE_SECONDS:
                    raise RuntimeError(f"{name} does not start:\n{_read(log)}")
                time.sleep(0.01)
            yield Server(name, url, process.pid, time.perf_counter() - begun, grpc_port)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            # What its processes left.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def run_sink(core: int) -> Iterator[str]:
    """Start a collector that keeps nothing, and end it at last; yields its address."""
    port = free_port()
    # It gives way to the load, whose core it has for want of a third.
    command = ["nice", "-n", "19", "taskset", "-c", str(core), sys.executable]
    sink = subprocess.Popen([*command, "-m", "benchmarks.serving.sink", str(port)])
    try:
        # A record that finds no collector yet is sent again.
        yield f"http://127.0.0.1:{port}"
    finally:
        sink.terminate()
        sink.wait(timeout=20)


def end_servers_on_sigterm() -> None:
    """Let SIGTERM end this process as an error does, so that no server outlives it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


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


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _environment(python: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    # As wherever it is used: our sources compiled, as the peers' are installed.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(SOURCE_ROOT / ".tools" / "benchmarks" / "bytecode")
    if python != sys.executable:
        # Triton embeds an interpreter, which must be the one whose library its environment has.
        environment["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))
    return environment


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _family(pid: int) -> list[int]:
    """Return a process and those below it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents.setdefault(int(_fields(int(path.name))[1]), []).append(int(path.name))
            except OSError:
                # It ended meanwhile.
                continue
    family = [pid]
    for one in family:
        family += parents.get(one, [])
    return family


def _fields(pid: int) -> list[str]:
    # The name, which may have spaces, ends with the last parenthesis; proc(5) counts the fields.
    return _read_text(pid, "stat").rpartition(")")[2].split()


def _read_text(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")


def _read(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-3000:]
