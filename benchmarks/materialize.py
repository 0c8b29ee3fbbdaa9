"""How fast are features put into the online store, beside Feast's own stores?

    python -m benchmarks.materialize

One feature view of 22 features, one row an entity, from a Parquet file into SQLite and into Redis by
`FeatureStore.materialize`: with our offline store, engine and online store class, and with Feast's stock
ones. Each round makes new stores, in which the two take turns; what warms up is not counted. What Feast then
reads is held to be the same from both. `…_ratio_1e5` is the median rate of ours over that of Feast's at so
many entities, and `…_ratio` the least of them. The stock stores take minutes for a million entities: sizes
beyond `--stock-entities` have no ratio. A run replaces the sizes and stores that it measures, and others
stay, so that a size can be measured by itself.

Redis is started for the benchmark where `redis-server` is there (on Debian: `apt-get install redis-server`).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Bool, Float64, Int64, String

from benchmarks.redis_server import RedisServer, run_redis
from mulgil.artifacts import write_text

RESULTS = Path(__file__).parent / "results" / "materialize.json"
_PACKAGES = ("feast", "msgspec", "pyarrow", "redis")
_TYPES = [Float64] * 14 + [Int64] * 4 + [Bool] * 2 + [String] * 2
_NOW = datetime(2024, 1, 1, tzinfo=UTC)
_COMPARED = 50
_WARM_UP = 10_000
_OFFLINE_STORES = {
    "ours": "feature_repo.point_in_time_offline_store.PointInTimeOfflineStore",
    "stock": "dask",
}
_ENGINES = {"ours": "feature_repo.row_engine.RowComputeEngine", "stock": "local"}


def make_rows(path: Path, count: int) -> None:
    """Write the offline file."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {"person": np.arange(count), "seen_at": pa.array([_NOW] * count)}
    for place, kind in enumerate(_TYPES):
        match kind:
            case _ if kind == Float64:
                values: Any = pa.array(random.normal(size=count), mask=random.random(count) < 0.05)
            case _ if kind == Int64:
                values = random.integers(0, 1_000, count)
            case _ if kind == Bool:
                values = random.random(count) < 0.5
            case _:
                values = pa.array(random.choice(["a", "b", "a longer one"], count).tolist())
        columns[f"feature_{place}"] = values
    pq.write_table(pa.table(columns), path)


def open_store(folder: Path, rows: Path, online_store: dict[str, Any], kind: str) -> FeatureStore:
    """Open a store with the view applied."""
    entity = Entity(name="person", join_keys=["person"], value_type=ValueType.INT64)
    source = FileSource(name="rows", path=str(rows), timestamp_field="seen_at")
    fields = [Field(name=f"feature_{place}", dtype=kind) for place, kind in enumerate(_TYPES)]
    view = FeatureView(
        name="rows",
        entities=[entity],
        schema=[Field(name="person", dtype=Int64), *fields],
        ttl=timedelta(0),
        source=source,
    )
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": _OFFLINE_STORES[kind]},
            online_store=online_store,
            batch_engine={"type": _ENGINES[kind]},
            entity_key_serialization_version=3,
        )
    )
    store.apply([entity, source, view])
    return store


def read(store: FeatureStore) -> str:
    """Return what Feast reads of some entities."""
    names = [f"rows:feature_{place}" for place in range(len(_TYPES))]
    rows = [{"person": person} for person in range(_COMPARED)]
    return repr(store.get_online_features(names, rows).to_dict(include_event_timestamps=True))


def measure(store: FeatureStore) -> float:
    """Materialize; return the seconds."""
    gc.collect()
    begun = time.perf_counter()
    store.materialize(_NOW - timedelta(days=1), _NOW + timedelta(days=1), ["rows"])
    return time.perf_counter() - begun


def measure_size(
    work: Path, backend: str, count: int, kinds: Sequence[str], redis: RedisServer | None
) -> dict[str, float]:
    """Materialize one size with each kind of store in turn.

    Args:
        work: A folder.
        backend: `sqlite` or `redis`.
        count: Of entities.
        kinds: `ours`, `stock` or both.
        redis: What runs.

    Returns:
        Seconds by kind.
    """
    rows = work / f"{count}.parquet"
    if not rows.exists():
        make_rows(rows, count)
    seconds, answers = {}, []
    for kind in kinds:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            section: dict[str, Any] = {"path": str(Path(folder) / "online.db")}
            if redis is not None and backend == "redis":
                redis.flush()
                section = (
                    {"url": redis.url} if kind == "ours" else {"connection_string": redis.connection_string}
                )
            ours = f"feature_repo.{backend}_online_store.{backend.capitalize()}RowOnlineStore"
            section["type"] = ours if kind == "ours" else backend
            store = open_store(Path(folder), rows, section, kind)
            # Feast reports its progress by print.
            with contextlib.redirect_stdout(io.StringIO()):
                seconds[kind] = measure(store)
            answers.append(read(store))
    if len(set(answers)) != 1:
        raise RuntimeError(f"{backend}: Feast reads other values from ours")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.materialize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--entities", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="default: %(default)s"
    )
    parser.add_argument("--stock-entities", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=("sqlite", "redis"),
        default=["sqlite", "redis"],
        help="default: both",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    seconds = json.loads(RESULTS.read_text(encoding="utf-8"))["seconds"] if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work, redis = Path(folder), None
        backends = [one for one in arguments.backends if one == "sqlite" or shutil.which("redis-server")]
        if "redis" in backends:
            redis = stack.enter_context(run_redis(work))
        for backend in backends:
            measure_size(work, backend, _WARM_UP, ("ours", "stock"), redis)
            for count in arguments.entities:
                kinds = ["ours", "stock"][: 2 if count <= arguments.stock_entities else 1]
                samples = [measure_size(work, backend, count, kinds, redis) for _ in range(arguments.rounds)]
                for kind in ("ours", "stock"):
                    seconds.pop(f"{backend} {kind} {count}", None)
                for kind in kinds:
                    key = f"{backend} {kind} {count}"
                    seconds[key] = [sample[kind] for sample in samples]
                    print(f"{key:>26}: {count / statistics.median(seconds[key]):>10,.0f} rows/s", flush=True)
    rates = {key: int(key.rsplit(" ", 1)[1]) / statistics.median(found) for key, found in seconds.items()}
    write_text(
        RESULTS,
        json.dumps(
            {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
                "versions": {package: version(package) for package in _PACKAGES},
                "seconds": seconds,
                "rows_per_second": rates,
            },
            indent=2,
        )
        + "\n",
    )
    pairs = [pair for backend in ("sqlite", "redis") for pair in _summarise(backend, rates)]
    print("result: " + " ".join(pairs))
    return 0


def _summarise(backend: str, rates: Mapping[str, float]) -> Iterator[str]:
    ours = {int(key.split()[2]): rate for key, rate in rates.items() if key.startswith(f"{backend} ours")}
    ratios = {
        count: rate / rates[f"{backend} stock {count}"]
        for count, rate in sorted(ours.items())
        if f"{backend} stock {count}" in rates
    }
    if ratios:
        yield f"materialize_{backend}_ratio={min(ratios.values()):.1f}"
    for count, ratio in ratios.items():
        size = f"{count:.0e}".replace("e+0", "e")
        yield f"materialize_{backend}_ratio_{size}={ratio:.1f}"
    if ours:
        yield f"{backend}_rows_per_second={min(ours.values()):.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
