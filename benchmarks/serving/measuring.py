"""Loads in turn, and what they come to.

What the machine does besides falls on all alike: a round loads every server, and ratios are taken round by
round before their median is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.contenders import Contender
from benchmarks.serving.environments import find_python
from benchmarks.serving.load import Load, run_calls, run_wrk, write_script
from benchmarks.serving.parts import GRPC, LoadKind, Part
from benchmarks.serving.payloads import Rows, write_call
from benchmarks.serving.servers import Server, free_port, run_server
from mulgil.contract import Column

SERVER_CORE, LOAD_CORE = 0, 1
# Several times as long as the log waits for a batch.
_SETTLE_SECONDS = 0.3


@dataclass(frozen=True)
class Sample:
    """One load of one server.

    Attributes:
        server: Which.
        kind: Of load.
        connections: At once.
        load: What was measured of it.
        cpu_seconds: Processor time of the server for one request, which other work on the machine hardly
            touches.
    """

    server: str
    kind: str
    connections: int
    load: Load
    cpu_seconds: float

    @classmethod
    def of(cls, content: dict[str, Any]) -> Sample:
        """Read one from results."""
        return cls(**{**content, "load": Load(**content["load"])})


def start(stack: ExitStack, contender: Contender, bundle: Path, *, with_grpc: bool = False) -> Server:
    """Start a contender on the servers' core."""
    flags = [contender.module, "--model-path", str(bundle), *contender.flags]
    return stack.enter_context(
        run_server(
            contender.name,
            flags,
            SERVER_CORE,
            python=find_python(contender.environment),
            ready_path=contender.ready_path,
            grpc_port=free_port() if with_grpc and contender.speaks_grpc else None,
        )
    )


def measure(
    servers: dict[str, Server],
    contenders: dict[str, Contender],
    part: Part,
    rows: Rows,
    columns: Sequence[Column],
    work: Path,
    *,
    rounds: int,
    seconds: float,
) -> list[Sample]:
    """Load every server in every round; the first does not count."""
    requests = {kind.name: _write(kind, rows, columns, work) for kind in part.loads}
    samples = []
    for number in range(rounds + 1):
        for kind in part.loads:
            for connections in kind.connections:
                for name, server in servers.items():
                    contender = contenders[name]
                    length = seconds if number else 1
                    before = server.cpu_seconds
                    if kind.protocol != GRPC and kind.protocol in contender.paths:
                        url = server.url + contender.paths[kind.protocol]
                        load = run_wrk(
                            *(url, requests[kind.name]),
                            **{"connections": connections, "seconds": length, "core": LOAD_CORE},
                        )
                    elif kind.protocol == GRPC and server.grpc_port is not None:
                        load = run_calls(
                            *(server.grpc_port, requests[kind.name]),
                            **{"connections": connections, "seconds": length, "core": LOAD_CORE},
                        )
                    else:
                        continue
                    # The last batch of the log belongs to this load, and not to the next server's.
                    time.sleep(_SETTLE_SECONDS)
                    cpu = (server.cpu_seconds - before) / load.requests
                    if number:
                        samples.append(Sample(name, kind.name, connections, load, cpu))
    return samples


def measure_starts(contenders: Sequence[Contender], bundle: Path, *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each took to be ready, started in turn; the first start warms the files."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        for contender in contenders:
            with ExitStack() as stack:
                server = start(stack, contender, bundle)
                if number:
                    seconds[contender.name].append(server.ready_seconds)
    return seconds


@dataclass(frozen=True)
class Samples:
    """Those of one run, to be asked for.

    Attributes:
        samples: All.
    """

    samples: Sequence[Sample]

    @property
    def servers(self) -> tuple[str, ...]:
        """Who was loaded, in order."""
        return tuple(dict.fromkeys(sample.server for sample in self.samples))

    @property
    def loads(self) -> tuple[tuple[str, int], ...]:
        """Kinds and connections, in order."""
        return tuple(dict.fromkeys((sample.kind, sample.connections) for sample in self.samples))

    def of(self, server: str, kind: str, connections: int) -> list[Sample]:
        """Return one server's samples under one load, one a round."""
        return [s for s in self.samples if (s.server, s.kind, s.connections) == (server, kind, connections)]

    def rate_ratio(self, server: str, other: str, kind: str, connections: int) -> float:
        """Return how many requests one answers in the time of one of the other's."""
        return self._ratio(
            *([s.load.requests_per_second for s in self.of(n, kind, connections)] for n in (server, other))
        )

    def p50_ratio(self, server: str, other: str, kind: str, connections: int) -> float:
        """Return how many times the other's median latency one has."""
        return self._ratio(
            *([s.load.p50_seconds for s in self.of(n, kind, connections)] for n in (server, other))
        )

    def cpu_ratio(self, server: str, other: str, kind: str, connections: int) -> float:
        """Return how many times the other's processor time a request takes."""
        return self._ratio(*([s.cpu_seconds for s in self.of(n, kind, connections)] for n in (server, other)))

    @staticmethod
    def _ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
        return statistics.median(n / d for n, d in zip(numerators, denominators, strict=True))

    def to_json(self) -> list[dict[str, Any]]:
        """Return all as plain content."""
        return [asdict(sample) for sample in self.samples]


def _write(kind: LoadKind, rows: Rows, columns: Sequence[Column], work: Path) -> Path:
    wanted = [rows[place % len(rows)] for place in range(kind.rows)]
    if kind.write is None:
        path = work / f"{kind.name}.message"
        path.write_bytes(write_call(wanted, columns))
    else:
        path = work / f"{kind.name}.lua"
        write_script(path, kind.write(wanted, columns))
    return path
