"""How fast is the model server, beside its peers?

    python -m benchmarks.serving

One row of 13 columns as JSON, over V1 and V2, by 1 and by 16 connections: this server with its contract
check, its metrics and its prediction log, which a sink on the load's core takes, and again without the log;
KServe's own server with the same LiteRT model and with the SavedModel; and the bare limit, an asyncio
protocol that checks nothing. All run at the same time, each pinned to one core, and are loaded in turn from
the other; a round loads every one, so that what the machine does besides falls on all alike. The first round
only warms them up.

It needs two cores, and wrk (on Debian: `apt-get install wrk`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.bundle import make_bundle
from benchmarks.serving.load import Load, run_wrk, write_script
from benchmarks.serving.servers import Server, count_lost_records, run_server, run_sink
from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import BUNDLE_DICTIONARY, write_text
from mulgil.contract import ColumnType, DataDictionary

RESULTS = Path(__file__).parents[1] / "results" / "serving.json"
_PACKAGES = ("ai-edge-litert", "httptools", "kserve", "msgspec", "numpy", "tensorflow", "uvloop")
_SERVER_CORE, _LOAD_CORE = 0, 1
# Several times as long as the log waits for a batch.
_SETTLE_SECONDS = 0.3
_PATHS = {"v1": "/v1/models/bench:predict", "v2": "/v2/models/bench/infer"}
_DATATYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.CATEGORY: "BYTES",
}


@dataclass(frozen=True)
class Sample:
    """One load of one server.

    Attributes:
        server: Which.
        protocol: `v1` or `v2`.
        connections: At once.
        load: What wrk measured.
        cpu_seconds: Processor time of the server for one request, which other work on the machine hardly
            touches.
    """

    server: str
    protocol: str
    connections: int
    load: Load
    cpu_seconds: float


def write_bodies(work: Path, instance: dict[str, Any], dictionary: DataDictionary) -> dict[str, Path]:
    """Write the requests of both protocols for wrk."""
    inputs = [
        {
            "name": column.name,
            "shape": [1],
            "datatype": _DATATYPES[column.type],
            "data": [instance[column.name]],
        }
        for column in dictionary.features
    ]
    bodies: dict[str, object] = {"v1": {"instances": [instance]}, "v2": {"inputs": inputs}}
    scripts = {protocol: work / f"{protocol}.lua" for protocol in bodies}
    for protocol, script in scripts.items():
        write_script(script, bodies[protocol])
    return scripts


def start_servers(stack: ExitStack, bundle: Path) -> list[Server]:
    """Start all of them, one after the other."""
    path = ["--model-path", str(bundle)]
    ours = ["mulgil.serving", *path, "--model-name", "bench", "--model-version", "1"]
    log = ["--log-url", stack.enter_context(run_sink(_LOAD_CORE))]
    peer = ["benchmarks.serving.peers.kserve_model", *path, "--runtime"]
    commands = {
        "mulgil": [*ours, *log],
        "mulgil_no_log": ours,
        "bare": ["benchmarks.serving.peers.bare", *path],
        "kserve_litert": [*peer, "litert"],
        "kserve_saved_model": [*peer, "saved_model"],
    }
    return [
        stack.enter_context(run_server(name, arguments, _SERVER_CORE)) for name, arguments in commands.items()
    ]


def measure(
    servers: Sequence[Server], scripts: dict[str, Path], *, rounds: int, seconds: float
) -> list[Sample]:
    """Load every server in every round; the first does not count."""
    samples = []
    for number in range(rounds + 1):
        for protocol, script in scripts.items():
            for connections in (1, 16):
                for server in servers:
                    url = server.url + _PATHS[protocol]
                    length = seconds if number else 1
                    before = server.cpu_seconds
                    load = run_wrk(url, script, connections=connections, seconds=length, core=_LOAD_CORE)
                    # The last batch of the log belongs to this load, and not to the next server's.
                    time.sleep(_SETTLE_SECONDS)
                    cpu = (server.cpu_seconds - before) / load.requests
                    if number:
                        samples.append(Sample(server.name, protocol, connections, load, cpu))
    return samples


def choose(samples: Sequence[Sample], server: str, protocol: str, connections: int) -> list[Sample]:
    """Return the samples of one server's load, one a round."""
    return [s for s in samples if (s.server, s.protocol, s.connections) == (server, protocol, connections)]


def rates(samples: Sequence[Sample], server: str, protocol: str, connections: int) -> list[float]:
    """Return a server's requests a second, one a round."""
    return [s.load.requests_per_second for s in choose(samples, server, protocol, connections)]


def p50s(samples: Sequence[Sample], server: str, protocol: str, connections: int) -> list[float]:
    """Return a server's median latencies in seconds, one a round."""
    return [s.load.p50_seconds for s in choose(samples, server, protocol, connections)]


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: what disturbs a round disturbs both sides of it."""
    return statistics.median(n / d for n, d in zip(numerators, denominators, strict=True))


def print_results(samples: Sequence[Sample], facts: dict[str, dict[str, float]]) -> None:
    """Print a table and the last line."""
    print(f"\n{'server':<20}{'':>5}{'conns':>6}{'req/s':>9}{'least':>8}{'most':>9}{'p50 us':>9}{'cpu us':>9}")
    for protocol in _PATHS:
        for connections in (1, 16):
            for server in facts:
                counted = rates(samples, server, protocol, connections)
                cpu = statistics.median(s.cpu_seconds for s in choose(samples, server, protocol, connections))
                p50 = statistics.median(p50s(samples, server, protocol, connections))
                print(
                    f"{server:<20}{protocol:>5}{connections:>6}{statistics.median(counted):>9.0f}"
                    f"{min(counted):>8.0f}{max(counted):>9.0f}{p50 * 1e6:>9.0f}{cpu * 1e6:>9.1f}"
                )
    for server, fact in facts.items():
        print(f"{server:<20} {fact['rss_mb']:.0f} MB after the load, ready in {fact['ready_s']:.2f} s")

    def beside(peer: str, protocol: str) -> float:
        return ratio(rates(samples, "mulgil", protocol, 16), rates(samples, peer, protocol, 16))

    def work_beside(peer: str, protocol: str) -> float:
        ours, theirs = (
            [s.cpu_seconds for s in choose(samples, name, protocol, 16)] for name in ("mulgil", peer)
        )
        return ratio(theirs, ours)

    # The lesser of the two protocols', where one figure stands for both.
    share = min(beside("bare", protocol) for protocol in _PATHS)
    p50 = max(
        ratio(*(p50s(samples, name, protocol, 1) for name in ("mulgil", "bare"))) for protocol in _PATHS
    )
    log_cost = 1 - min(beside("mulgil_no_log", protocol) for protocol in _PATHS)
    for protocol in _PATHS:
        works = ", ".join(f"{peer} {work_beside(peer, protocol):.2f}" for peer in facts if peer != "mulgil")
        print(f"{protocol}, 16 connections, processor time a request over mulgil's: {works}")
    ours = facts["mulgil"]
    print(
        f"result: v1_vs_kserve_litert_c16={beside('kserve_litert', 'v1'):.1f} "
        f"v2_vs_kserve_litert_c16={beside('kserve_litert', 'v2'):.1f} bare_share_c16={share:.2f} "
        f"p50_vs_bare_c1={p50:.2f} rss_mb={ours['rss_mb']:.0f} ready_s={ours['ready_s']:.2f} "
        f"log_cost={log_cost:.3f}"
    )


def write_results(samples: Sequence[Sample], facts: dict[str, dict[str, float]]) -> None:
    """Write versions, machine and every sample."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "servers": facts,
        "samples": [asdict(sample) for sample in samples],
    }
    write_text(RESULTS, json.dumps(content, indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="how many count (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of each load (default: %(default)s)")
    arguments = parser.parse_args(argv)
    missing = [program for program in ("wrk", "taskset") if shutil.which(program) is None]
    if missing or (os.cpu_count() or 1) < 2:
        parser.error(
            f"two cores, wrk and taskset are needed; missing: {', '.join(missing) or 'a second core'}"
        )
    start_tensorflow()
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        bundle = Path(work, "bundle")
        instance = make_bundle(bundle)
        dictionary = DataDictionary.model_validate_json((bundle / BUNDLE_DICTIONARY).read_bytes())
        scripts = write_bodies(Path(work), instance, dictionary)
        servers = start_servers(stack, bundle)
        samples = measure(servers, scripts, rounds=arguments.rounds, seconds=arguments.seconds)
        facts = {
            server.name: {"rss_mb": server.resident_mb, "ready_s": server.ready_seconds} for server in servers
        }
        lost = count_lost_records(servers[0])
    write_results(samples, facts)
    print_results(samples, facts)
    if lost:
        print(f"The prediction log lost {lost:.0f} records: its cost is not all in these figures.")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
