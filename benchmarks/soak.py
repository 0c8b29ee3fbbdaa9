"""An hour's worth of mixed requests in ten minutes: is the server as quick and as small at its end?

    python -m benchmarks.soak [--minutes 8.5]

One server, pinned to one core, with entities, gRPC and the prediction log; its collector and the load have
the other core. The load is 360,000 requests however long it takes, at one pace: V1 and V2 in JSON, binary
tensors, gRPC, by entity, and requests that are wrong, each with the status that is due. For each minute it
says the p99 from when a request was due (one that had to wait for its turn has waited), and the memory. At
its end every request must be in the collector's Parquet, each once.

What the log costs is measured apart, by the throughput and by the processor time a request of two servers
under wrk, with and without the log, in turn, both under the same mixed requests but gRPC's, which wrk does
not speak; the collector is then one that answers at once, so that it takes nothing from wrk, and idle cores
wait without sleeping where root allows it.

It needs two cores, and wrk (on Debian: `apt-get install wrk`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.entity_lookup import write_store
from benchmarks.serving.bundle import PROJECT, make_bundle
from benchmarks.serving.load import run_wrk, write_mixed_script
from benchmarks.serving.payloads import Payload, write_binary, write_call, write_v1, write_v2
from benchmarks.serving.servers import Server, end_servers_on_sigterm, free_port, run_server, run_sink
from benchmarks.serving.wakefulness import keep_awake
from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import write_text
from mulgil.contract import load_project

RESULTS = Path(__file__).parent / "results" / "soak.json"
_REQUESTS = 360_000
_SERVER_CORE, _LOAD_CORE = 0, 1
# Of each kind, in a hundred: chosen by eye.
_SHARES = {"v1": 35, "v2": 20, "binary": 10, "grpc": 10, "entity": 15, "batch": 3, "bad": 5, "unknown": 2}
_CONNECTIONS = 16
_V1, _V2 = "/v1/models/bench:predict", "/v2/models/bench/infer"


@dataclass
class Seen:
    """What the load saw.

    Attributes:
        seconds: Latencies by minute.
        statuses: By kind, how many had which.
        resident_mb: Of the server at each minute's end.
    """

    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    resident_mb: list[float] = field(default_factory=list)


def make_requests(instance: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Write one request of each kind over HTTP, and the status that is due to it."""
    dictionary = load_project(PROJECT).dictionary
    columns, entity = dictionary.features, dictionary.entity.name
    bad = {**instance, columns[0].name: "not a value"}
    return {
        "v1": (_http(_V1, write_v1([instance])), 200),
        "v2": (_http(_V2, write_v2([instance], columns)), 200),
        "binary": (_http(_V2, write_binary([instance], columns)), 200),
        "entity": (_http(_V1, write_v1([{entity: 7}])), 200),
        "batch": (_http(_V1, write_v1([instance] * 64)), 200),
        "bad": (_http(_V1, write_v1([bad])), 400),
        "unknown": (_http(_V1, write_v1([{entity: 10**9}])), 404),
    }


def _http(path: str, payload: Payload) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in payload.headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: soak\r\n{more}Content-Length: {len(payload.body)}\r\n\r\n"
    return head.encode() + payload.body


def mix_kinds() -> list[str]:
    """Return the kinds of a hundred requests: the same order each time, well mixed."""
    kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
    np.random.default_rng(0).shuffle(kinds)
    return kinds


async def load(
    server: Server,
    grpc_port: int,
    requests: dict[str, tuple[bytes, int]],
    call: bytes,
    seconds: float,
    total: int,
) -> Seen:
    """Send all requests at one pace, and see what comes back."""
    import grpc

    seen, kinds = Seen(), mix_kinds()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}")
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    begun = time.perf_counter()
    numbers = iter(range(total))

    async def work() -> None:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = begun + number * seconds / total
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            kind = kinds[number % len(kinds)]
            if kind == "grpc":
                await infer(call)
                status, expected = 200, 200
            else:
                content, expected = requests[kind]
                writer.write(content)
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head[9:12])
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            if status != expected:
                raise RuntimeError(f"{kind}: {status} where {expected} is due")
            seen.statuses[kind][status] += 1
            seen.seconds[int((due - begun) / 60)].append(time.perf_counter() - due)
        writer.close()

    async def watch() -> None:
        while True:
            await asyncio.sleep(60 - (time.perf_counter() - begun) % 60)
            seen.resident_mb.append(server.resident_mb)
            minute = len(seen.resident_mb) - 1
            print(
                f"minute {minute + 1}: p99 {_p99(seen.seconds[minute]) * 1e3:.2f} ms, "
                f"{server.resident_mb:.1f} MB",
                flush=True,
            )

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(work() for _ in range(_CONNECTIONS)))
    watching.cancel()
    seen.resident_mb.append(server.resident_mb)
    await channel.close()
    return seen


def soak(
    work: Path, stack: ExitStack, bundle: Path, instance: dict[str, Any], minutes: float, total: int
) -> dict[str, Any]:
    """Run it; return what was seen."""
    folder, port, grpc_port = work / "log", free_port(), free_port()
    flags = ["--root-path", str(folder), "--http-port", str(port), "--flush-seconds", "10"]
    collector = subprocess.Popen(
        ["taskset", "-c", str(_LOAD_CORE), sys.executable, "-m", "mulgil.prediction_log", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    stack.callback(collector.kill)
    _wait_for(f"http://127.0.0.1:{port}")
    command = [*_serve(bundle), "--log-url", f"http://127.0.0.1:{port}", "--grpc-port", str(grpc_port)]
    server = stack.enter_context(run_server("mulgil", command, _SERVER_CORE))
    os.sched_setaffinity(0, {_LOAD_CORE})
    requests = make_requests(instance)
    call = write_call([instance], load_project(PROJECT).dictionary.features)
    seen = asyncio.run(load(server, grpc_port, requests, call, minutes * 60, total))
    deadline = time.monotonic() + 30
    while (counts := _log_counts(server.url))["sent"] + counts["dropped"] < total:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    collector.terminate()
    output, _ = collector.communicate(timeout=60)
    from mulgil.prediction_log.reading import read_predictions

    table = read_predictions(folder, "bench")
    recorded = len(set(table["_id"].to_pylist()))
    by_status = Counter(
        status
        for status, first in zip(table["_status"].to_pylist(), table["_instance"].to_pylist(), strict=True)
        if not first
    )
    print(output.strip().splitlines()[-1])
    # As the server saw it, which the load's own waiting for its core is not in.
    served: dict[int, list[float]] = defaultdict(list)
    first_time = min(table["_time"].to_pylist())
    for moment, latency in zip(
        table["_time"].to_pylist(), table["_latency_seconds"].to_pylist(), strict=True
    ):
        served[int((moment - first_time).total_seconds() / 60)].append(latency)
    p99 = [_p99(found) for _, found in sorted(seen.seconds.items())]
    return {
        "p99_seconds": p99,
        "served_p99_seconds": [_p99(found) for _, found in sorted(served.items())],
        "resident_mb": seen.resident_mb,
        "statuses": {kind: dict(count) for kind, count in seen.statuses.items()},
        "requests": total,
        "recorded": recorded,
        "recorded_by_status": {str(status): count for status, count in by_status.items()},
        **counts,
    }


def measure_log_cost(work: Path, bundle: Path, instance: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Return requests a second, and processor seconds a request, with and without the log."""
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    rates: dict[str, list[float]] = {"without": [], "with": []}
    requests = make_requests(instance)
    script = work / "mix.lua"
    write_mixed_script(script, [requests[kind][0] for kind in mix_kinds() if kind in requests])
    with ExitStack() as stack:
        log = ["--log-url", stack.enter_context(run_sink(_LOAD_CORE))]
        servers = {
            "without": stack.enter_context(run_server("without", _serve(bundle), _SERVER_CORE)),
            "with": stack.enter_context(run_server("with", [*_serve(bundle), *log], _SERVER_CORE)),
        }
        stack.enter_context(keep_awake())
        for number in range(rounds + 1):
            for name, server in servers.items():
                before = server.cpu_seconds
                done = run_wrk(
                    *(server.url, script), connections=16, seconds=2, core=_LOAD_CORE, takes_errors=True
                )
                # What is still in the buffer is of these requests too.
                deadline = time.monotonic() + 5
                while name == "with" and _log_counts(server.url)["buffered"] and time.monotonic() < deadline:
                    time.sleep(0.02)
                if number:
                    rates[name].append(done.requests_per_second)
                    cpu[name].append((server.cpu_seconds - before) / done.requests)
        counts = _log_counts(servers["with"].url)
    return {"requests_per_second": rates, "cpu_seconds": cpu, **counts}


def _serve(bundle: Path) -> list[str]:
    return [
        *("mulgil.serving", "--model-path", str(bundle)),
        *("--model-name", "bench", "--model-version", "1"),
    ]


def _log_counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        lines = [
            line for line in answer.read().decode().splitlines() if line.startswith("mulgil_prediction_log")
        ]
    return {
        name: int(next(line for line in lines if name in line).rpartition(" ")[2])
        for name in ("sent", "dropped", "buffered")
    }


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.99 * len(seconds))] if seconds else float("nan")


def _drift(p99: list[float]) -> float:
    """Return how much the last minutes' is of the first's, after the one that warms up."""
    third = max(1, (len(p99) - 1) // 3)
    return statistics.median(p99[-third:]) / statistics.median(p99[1 : 1 + third] or p99[:1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=_REQUESTS, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="of the log's cost (default: %(default)s)")
    arguments = parser.parse_args(argv)
    missing = [program for program in ("wrk", "taskset") if shutil.which(program) is None]
    if missing or (os.cpu_count() or 1) < 2:
        parser.error(
            f"two cores, wrk and taskset are needed; missing: {', '.join(missing) or 'a second core'}"
        )
    end_servers_on_sigterm()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        section = {
            "type": "feature_repo.sqlite_online_store.SqliteRowOnlineStore",
            "path": str(work / "rows.db"),
        }
        reference, _ = write_store(work, section)
        instance = make_bundle(work / "bundle", reference)
        cost = measure_log_cost(work, work / "bundle", instance, arguments.rounds)
        seen = soak(work, stack, work / "bundle", instance, arguments.minutes, arguments.requests)
    share, work_ratio = (
        statistics.median(one / other for one, other in zip(of["with"], of["without"], strict=True))
        for of in (cost["requests_per_second"], cost["cpu_seconds"])
    )
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "soak": seen,
        "log_cost": cost,
    }
    write_text(RESULTS, json.dumps(content, indent=2) + "\n")
    # The last minute is seldom a whole one, and the first has what warms up.
    whole = max(2, int(arguments.minutes))
    drift, served_drift = _drift(seen["p99_seconds"][:whole]), _drift(seen["served_p99_seconds"][:whole])
    growth = seen["resident_mb"][-1] - seen["resident_mb"][0]
    lost = seen["requests"] - seen["recorded"]
    print(
        f"{arguments.requests} requests in {arguments.minutes:g} minutes, "
        f"{arguments.requests / arguments.minutes / 60:.0f} a second"
    )
    print(f"log: {cost['sent']} sent and {cost['dropped']} dropped while its cost was measured")
    print(
        f"result: p99_drift={drift:.2f} served_p99_drift={served_drift:.2f} "
        f"rss_growth_mb={growth:.1f} rss_mb={seen['resident_mb'][-1]:.0f} "
        f"dropped={seen['dropped']} missing={lost} log_cost={1 - share:.3f} log_cpu_ratio={work_ratio:.2f}"
    )
    return 0 if lost == 0 and seen["dropped"] == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
