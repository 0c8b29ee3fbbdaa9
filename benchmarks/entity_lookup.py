"""How fast is a prediction from an entity's key, beside Feast's own read inside KServe's own server?

    python -m benchmarks.entity_lookup

All servers have the same rows, materialized by Feast, and run the same LiteRT model of 13 columns. Ours reads
our own online store and checks the contract and counts; the peer reads Feast's stock store by
`get_online_features`, in SQLite and in Redis. Each request is V1 with one key, by 16 connections. All run at
the same time, the servers pinned to one core and loaded in turn from the other, which Redis has too; the
first round only warms them up. Idle cores wait without sleeping where root allows it.

It needs two cores, wrk, and for Redis redis-server (on Debian: `apt-get install wrk redis-server`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
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
from typing import Any

import pyarrow as pa

from benchmarks.redis_server import run_redis
from benchmarks.serving.bundle import PROJECT, make_bundle, make_rows
from benchmarks.serving.load import Load, run_wrk, write_script
from benchmarks.serving.payloads import write_v1
from benchmarks.serving.servers import Server, end_servers_on_sigterm, run_server
from benchmarks.serving.wakefulness import keep_awake
from components.tensorflow_startup import start_tensorflow
from feature_repo.online_places import FEAST_PROJECT
from mulgil.artifacts import FeatureServiceReference, write_text
from mulgil.contract import load_project
from mulgil.contract.specifications import FeatureSpecification, specify_features
from mulgil.online_rows import FORM, table_name
from mulgil.online_stores import URL_VARIABLE

RESULTS = Path(__file__).parent / "results" / "entity_lookup.json"
_PACKAGES = ("ai-edge-litert", "feast", "hiredis", "kserve", "msgspec", "numpy", "redis", "uvloop")
_SERVER_CORE, _LOAD_CORE = 0, 1
_PATH = "/v1/models/bench:predict"


def write_rows(path: Path, specification: FeatureSpecification) -> pa.Table:
    """Write the offline file of made-up rows."""
    from components.materialize_features.offline import stored_columns, write_offline

    rows = make_rows(load_project(PROJECT).dictionary)
    times = pa.array([datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(len(rows))])
    rows = rows.append_column(specification.event_timestamp, times)
    rows = rows.append_column(specification.entity, pa.array(range(len(rows)), pa.int64()))
    write_offline(path, [rows.select(stored_columns(specification))])
    return rows


def write_store(root: Path, online_store: dict[str, Any]) -> tuple[FeatureServiceReference, Path]:
    """Have Feast write a store of made-up rows; return what a bundle says of it, and its registry.

    Args:
        root: A folder.
        online_store: Feast's section of that name.
    """
    from components.materialize_features.online import materialize
    from feature_repo.feature_store import open_feature_store
    from feature_repo.translation import translate

    folder = load_project(PROJECT)
    specification = specify_features(folder.dictionary)
    offline, registry = root / "features.parquet", root / "registry.db"
    rows = write_rows(offline, specification)
    objects = translate(folder.project.name, specification, offline)
    store = open_feature_store(registry, online_store)
    store.apply([objects.entity, objects.source, objects.view, objects.service])
    times = rows[specification.event_timestamp]
    with contextlib.redirect_stdout(io.StringIO()):
        materialize(store, objects.view, times[0].as_py(), times[-1].as_py())
    name = objects.service.name
    is_redis = "path" not in online_store
    reference = FeatureServiceReference(
        name=name,
        project=FEAST_PROJECT,
        store_version=specification.version,
        store_kind="redis" if is_redis else "sqlite",
        online_store=table_name(FEAST_PROJECT, name) if is_redis else online_store["path"],
        row_form=FORM,
        entity=specification.entity,
        features=tuple(feature.name for feature in specification.features),
    )
    return reference, registry


def start_servers(work: Path, stack: ExitStack) -> list[Server]:
    """Start ours and the peer on each store that there can be here."""
    sections: dict[str, dict[str, dict[str, Any]]] = {
        "sqlite": {
            "mulgil": {
                "type": "feature_repo.sqlite_online_store.SqliteRowOnlineStore",
                "path": str(work / "rows.db"),
            },
            "kserve_feast": {"type": "sqlite", "path": str(work / "stock.db")},
        }
    }
    if shutil.which("redis-server"):
        redis = stack.enter_context(run_redis(work, prefix=("taskset", "-c", str(_LOAD_CORE))))
        os.environ[URL_VARIABLE] = redis.url
        sections["redis"] = {
            "mulgil": {"type": "feature_repo.redis_online_store.RedisRowOnlineStore", "url": redis.url},
            "kserve_feast": {"type": "redis", "connection_string": redis.connection_string},
        }
    servers = []
    for kind, by_server in sections.items():
        for server, section in by_server.items():
            name = f"{server}_{kind}"
            root = work / name
            root.mkdir()
            reference, registry = write_store(root, section)
            path = ["--model-path", str(root / "bundle")]
            make_bundle(root / "bundle", reference)
            flags = ["mulgil.serving", *path, "--model-name", "bench", "--model-version", "1"]
            if server == "kserve_feast":
                flags = [
                    *("benchmarks.serving.peers.kserve_feast", *path, "--registry-path", str(registry)),
                    *("--online-store", json.dumps(section)),
                ]
            servers.append(stack.enter_context(run_server(name, flags, _SERVER_CORE)))
    return servers


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
    end_servers_on_sigterm()
    start_tensorflow()
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        servers = start_servers(Path(work), stack)
        stack.enter_context(keep_awake())
        loads: dict[str, list[Load]] = {server.name: [] for server in servers}
        cpu: dict[str, list[float]] = {name: [] for name in loads}
        body = {"instances": [{load_project(PROJECT).dictionary.entity.name: 7}]}
        check_agreement(servers, body)
        script = Path(work, "body.lua")
        write_script(script, write_v1(body["instances"]))
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
            f"{name:<19} {statistics.median(counted):>8.0f} req/s, {min(counted):.0f} to {max(counted):.0f}; "
            f"p99 {statistics.median(load.p99_seconds for load in loads[name]) * 1e3:.2f} ms; "
            f"{statistics.median(cpu[name]) * 1e6:.0f} us of CPU a request"
        )
    results = []
    for kind, word in (("sqlite", "local"), ("redis", "redis")):
        if f"mulgil_{kind}" not in rates:
            print(f"no {kind}: its program is not here")
            continue
        ours, theirs = rates[f"mulgil_{kind}"], rates[f"kserve_feast_{kind}"]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        work_pairs = zip(cpu[f"kserve_feast_{kind}"], cpu[f"mulgil_{kind}"], strict=True)
        cpu_ratio = statistics.median(a / b for a, b in work_pairs)
        results.append(f"{word}_ratio={ratio:.1f} {word}_cpu_ratio={cpu_ratio:.1f}")
    print("result: " + " ".join(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
