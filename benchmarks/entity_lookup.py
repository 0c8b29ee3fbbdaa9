"""How fast is a prediction from an entity's key, beside Feast's own read inside KServe's own server?

    python -m benchmarks.entity_lookup

Both servers read the same SQLite store, which Feast wrote, and run the same LiteRT model of 13 columns; ours
checks the contract and counts. Each request is V1 with one key, by 16 connections. Both run at the same time,
each pinned to one core, and are loaded in turn from the other; the first round only warms them up.

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
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from benchmarks.serving.bundle import PROJECT, make_bundle, make_rows
from benchmarks.serving.load import Load, run_wrk, write_script
from benchmarks.serving.servers import Server, run_server
from components.tensorflow_startup import start_tensorflow
from mulgil.artifacts import FeatureServiceReference, write_text
from mulgil.contract import load_project
from mulgil.contract.specifications import specify_features

RESULTS = Path(__file__).parent / "results" / "entity_lookup.json"
_PACKAGES = ("ai-edge-litert", "feast", "kserve", "msgspec", "numpy", "uvloop")
_SERVER_CORE, _LOAD_CORE = 0, 1
_PATH = "/v1/models/bench:predict"


def write_store(root: Path) -> tuple[FeatureServiceReference, Path]:
    """Have Feast write a store of made-up rows; return what a bundle says of it, and its registry."""
    from components.materialize_features.offline import write_offline
    from components.materialize_features.online import materialize
    from components.materialize_features.staging import staged_store
    from feature_repo.layout import StoreLayout
    from feature_repo.translation import translate

    folder = load_project(PROJECT)
    specification = specify_features(folder.dictionary)
    layout = StoreLayout(root)
    name, store_version = folder.project.name, specification.version
    online, offline = layout.online(name, store_version), layout.offline(name, store_version)
    objects = translate(name, specification, offline)
    rows = make_rows(folder.dictionary)
    times = pa.array([datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(len(rows))])
    rows = rows.append_column(specification.event_timestamp, times)
    rows = rows.append_column(specification.entity, pa.array(range(len(rows)), pa.int64()))
    with staged_store(layout, online) as store:
        write_offline(offline, rows, specification)
        store.apply([objects.entity, objects.source, objects.view, objects.service])
        materialize(store, objects.view, rows[specification.event_timestamp])
    reference = FeatureServiceReference(
        name=objects.service.name,
        project="mulgil",
        store_version=store_version,
        online_store=str(online),
        entity=specification.entity,
        features=tuple(feature.name for feature in specification.features),
    )
    return reference, layout.registry


def check_agreement(servers: Sequence[Server], body: object) -> None:
    """Hold that all give the same prediction.

    Raises:
        RuntimeError: They differ.
    """
    scores = []
    for server in servers:
        request = urllib.request.Request(
            server.url + _PATH, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            scores += json.load(answer)["predictions"]
    if max(scores) - min(scores) > 1e-6:
        raise RuntimeError(f"the servers do not agree: {scores}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.entity_lookup",
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
    loads: dict[str, list[Load]] = {"mulgil": [], "kserve_feast": []}
    cpu: dict[str, list[float]] = {name: [] for name in loads}
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        reference, registry = write_store(Path(work, "store"))
        bundle = Path(work, "bundle")
        make_bundle(bundle, reference)
        path = ["--model-path", str(bundle)]
        commands = {
            "mulgil": ["mulgil.serving", *path, "--model-name", "bench", "--model-version", "1"],
            "kserve_feast": [
                *("benchmarks.serving.peers.kserve_feast", *path),
                *("--registry-path", str(registry)),
            ],
        }
        servers = [
            stack.enter_context(run_server(name, flags, _SERVER_CORE)) for name, flags in commands.items()
        ]
        body = {"instances": [{reference.entity: 7}]}
        check_agreement(servers, body)
        script = Path(work, "body.lua")
        write_script(script, body)
        for number in range(arguments.rounds + 1):
            for server in servers:
                before = server.cpu_seconds
                load = run_wrk(
                    server.url + _PATH, script, connections=16, seconds=arguments.seconds, core=_LOAD_CORE
                )
                if number:
                    loads[server.name].append(load)
                    cpu[server.name].append((server.cpu_seconds - before) / load.requests)
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "samples": {name: [asdict(load) for load in loads[name]] for name in loads},
        "cpu_seconds": cpu,
    }
    write_text(RESULTS, json.dumps(content, indent=2) + "\n")
    rates = {name: [load.requests_per_second for load in loads[name]] for name in loads}
    for name, counted in rates.items():
        print(
            f"{name:<14} {statistics.median(counted):>8.0f} req/s, {min(counted):.0f} to {max(counted):.0f}; "
            f"{statistics.median(cpu[name]) * 1e6:.0f} us of CPU a request"
        )
    pairs = zip(rates["mulgil"], rates["kserve_feast"], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    work_pairs = zip(cpu["kserve_feast"], cpu["mulgil"], strict=True)
    cpu_ratio = statistics.median(theirs / ours for theirs, ours in work_pairs)
    print(f"result: local_ratio={ratio:.1f} local_cpu_ratio={cpu_ratio:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
