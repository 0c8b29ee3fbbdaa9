"""How fast is the model server, beside its peers?

    python -m benchmarks.serving [--only protocols batches tensors images starts] [--peers kserve_litert …]

Every server has the same columns (13, or an image) and the same network, and is pinned to one core; the load
comes from the other, and idle cores wait without sleeping where root allows it. The servers of a part run at
the same time and are loaded in turn; a round loads every one, and the first only warms them up. Ours has its
contract check, its metrics and its prediction log, which a sink on the load's core takes.

- protocols: one row as JSON, over V1 and V2, by 1 and by 16 connections, beside KServe's own server (LiteRT
  and SavedModel), MLServer, BentoML, LitServe, FastAPI with ONNX Runtime, and the bare limit, an asyncio
  protocol of our libraries that checks nothing.
- batches: 64 and 1,024 rows as JSON, beside KServe's own server.
- tensors: 1, 64 and 1,024 rows as V2's binary tensors and over gRPC, beside that and PyTriton.
- images: one image of 28 x 28 to a convolutional network, in JSON, binary tensors and gRPC, beside both.
- starts: from nothing to the first answer, the median of several with warm files.

Without flags it measures all, which takes about a quarter of an hour. A part that was measured alone is kept,
and the last line is of the newest of each. Peers are installed when they are first asked for, each into an
environment of its own.

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
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.bundle import PROJECT, list_instances, make_bundle
from benchmarks.serving.contenders import Contender, list_contenders
from benchmarks.serving.measuring import LOAD_CORE, Sample, Samples, measure, measure_starts, start
from benchmarks.serving.parts import PARTS
from benchmarks.serving.servers import count_lost_records, end_servers_on_sigterm, run_sink
from benchmarks.serving.wakefulness import keep_awake
from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import BUNDLE_DICTIONARY, write_text
from mulgil.contract import DataDictionary

RESULTS = Path(__file__).parents[1] / "results" / "serving"
_PACKAGES = ("ai-edge-litert", "httptools", "kserve", "msgspec", "numpy", "tensorflow", "uvloop")
_STARTS = "starts"
_STARTED = ("mulgil", "bare", "kserve_litert")
_OURS = ("mulgil", "mulgil_no_log")


def run_part(
    name: str,
    contenders: dict[str, Contender],
    bundle: Path,
    work: Path,
    *,
    peers: Sequence[str] | None,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Measure one part; return its results."""
    if name == _STARTS:
        chosen = [contenders[one] for one in _STARTED if one in _OURS or peers is None or one in peers]
        return {"ready_seconds": measure_starts(chosen, bundle, rounds=rounds)}
    part = PARTS[name]
    dictionary = DataDictionary.model_validate_json((bundle / BUNDLE_DICTIONARY).read_bytes())
    names = [one for one in part.contenders if one in _OURS or peers is None or one in peers]
    with ExitStack() as stack:
        servers = {one: start(stack, contenders[one], bundle, with_grpc=part.has_grpc) for one in names}
        samples = measure(
            servers,
            contenders,
            part,
            list_instances(dictionary),
            dictionary.features,
            work,
            rounds=rounds,
            seconds=seconds,
        )
        return {
            "samples": Samples(samples).to_json(),
            "resident_mb": {one: server.resident_mb for one, server in servers.items()},
            "lost_records": count_lost_records(servers["mulgil"]),
        }


def write_part(name: str, result: dict[str, Any]) -> None:
    """Write versions, machine and every sample of one part."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{one: version(one) for one in _PACKAGES}},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        **result,
    }
    write_text(RESULTS / f"{name}.json", json.dumps(content, indent=2) + "\n")


def read_parts() -> dict[str, dict[str, Any]]:
    """Return the newest results of each part."""
    paths = {name: RESULTS / f"{name}.json" for name in (*PARTS, _STARTS)}
    return {name: json.loads(path.read_bytes()) for name, path in paths.items() if path.exists()}


def print_samples(name: str, result: dict[str, Any]) -> None:
    """Print a part's table."""
    samples = Samples([Sample.of(one) for one in result["samples"]])
    print(f"\n{name}, of {result['at']}")
    print(
        f"{'server':<20}{'load':>14}{'conns':>6}{'req/s':>9}{'least':>9}{'most':>9}{'p50 us':>9}{'cpu us':>9}"
        f"{'of ours':>9}"
    )
    for kind, connections in samples.loads:
        for server in samples.servers:
            found = samples.of(server, kind, connections)
            if not found:
                continue
            rates = [one.load.requests_per_second for one in found]
            p50 = statistics.median(one.load.p50_seconds for one in found)
            cpu = statistics.median(one.cpu_seconds for one in found)
            print(
                f"{server:<20}{kind:>14}{connections:>6}{statistics.median(rates):>9.0f}{min(rates):>9.0f}"
                f"{max(rates):>9.0f}{p50 * 1e6:>9.0f}{cpu * 1e6:>9.1f}"
                f"{samples.cpu_ratio(server, 'mulgil', kind, connections):>9.2f}"
            )
    memory = ", ".join(f"{server} {mb:.0f}" for server, mb in result["resident_mb"].items())
    print(f"MB after the load: {memory}")
    if result["lost_records"]:
        print(f"The prediction log lost {result['lost_records']:.0f} records: its cost is not all in this.")


def summarize(parts: dict[str, dict[str, Any]]) -> str:
    """Return the last line, of what the parts have."""
    results: dict[str, str] = {}
    if "protocols" in parts:
        samples = Samples([Sample.of(one) for one in parts["protocols"]["samples"]])
        both = ("v1", "v2")
        if "kserve_litert" in samples.servers:
            for protocol in both:
                ratio = samples.rate_ratio("mulgil", "kserve_litert", protocol, 16)
                results[f"{protocol}_vs_kserve_litert_c16"] = f"{ratio:.1f}"
        # The worse of the two protocols', where one figure stands for both.
        if "bare" in samples.servers:
            share = min(samples.rate_ratio("mulgil", "bare", protocol, 16) for protocol in both)
            p50 = max(samples.p50_ratio("mulgil", "bare", protocol, 1) for protocol in both)
            results |= {"bare_share_c16": f"{share:.2f}", "p50_vs_bare_c1": f"{p50:.2f}"}
        results["rss_mb"] = f"{parts['protocols']['resident_mb']['mulgil']:.0f}"
    if _STARTS in parts:
        results["ready_s"] = f"{statistics.median(parts[_STARTS]['ready_seconds']['mulgil']):.2f}"
    if "protocols" in parts:
        least = min(samples.rate_ratio("mulgil", "mulgil_no_log", protocol, 16) for protocol in both)
        work = max(samples.cpu_ratio("mulgil", "mulgil_no_log", protocol, 16) for protocol in both)
        results |= {"log_cost": f"{1 - least:.3f}", "log_cpu_ratio": f"{work:.2f}"}
    return "result: " + " ".join(f"{key}={value}" for key, value in results.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    every = (*PARTS, _STARTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=every, default=every, help="parts (default: all)")
    parser.add_argument("--peers", nargs="*", help="by name; none leaves ours alone (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how many count (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of each load (default: %(default)s)")
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
        projects = {PROJECT} | {PARTS[name].project for name in arguments.only if name in PARTS}
        bundles = {project: work / project.name / "bundle" for project in projects}
        onnx = work / "network.onnx"
        for project, bundle in bundles.items():
            bundle.parent.mkdir()
            make_bundle(bundle, project=project, onnx=onnx if project == PROJECT else None)
        stack.enter_context(keep_awake())
        contenders = {
            one.name: one for one in list_contenders(stack.enter_context(run_sink(LOAD_CORE)), onnx)
        }
        if unknown := set(arguments.peers or ()) - contenders.keys():
            parser.error(f"--peers: expected some of {', '.join(contenders)}; received {', '.join(unknown)}")
        for name in arguments.only:
            result = run_part(
                name,
                contenders,
                bundles[PARTS[name].project if name in PARTS else PROJECT],
                work,
                peers=arguments.peers,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
            )
            write_part(name, result)
    parts = read_parts()
    for name, result in parts.items():
        if name != _STARTS:
            print_samples(name, result)
    for server, seconds in parts.get(_STARTS, {}).get("ready_seconds", {}).items():
        print(
            f"{server} ready in {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        )
    print(summarize(parts))
    return 1 if any(result.get("lost_records") for result in parts.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
