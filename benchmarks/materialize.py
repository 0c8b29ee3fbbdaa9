"""How fast are features put into the online store, beside Feast's own stores?

    python -m benchmarks.materialize

One feature view of 22 features, one row an entity, from a Parquet file into SQLite and into Redis by
`FeatureStore.materialize`: with our online store class and engine, and with Feast's stock ones. Each round
makes new stores; the two take turns, and the first round only warms up. What Feast then reads is held to be
the same from both. The stock stores take minutes for a million rows, so that they get fewer
(`--stock-entities`): their rate does not depend on it much.

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
from collections.abc import Sequence
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

from benchmarks.redis_server import run_redis
from mulgil.artifacts import write_text

RESULTS = Path(__file__).parent / "results" / "materialize.json"
_PACKAGES = ("feast", "msgspec", "pyarrow", "redis")
_TYPES = [Float64] * 14 + [Int64] * 4 + [Bool] * 2 + [String] * 2
_NOW = datetime(2024, 1, 1, tzinfo=UTC)
_COMPARED = 50


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


def open_store(folder: Path, rows: Path, online_store: dict[str, Any], engine: str) -> FeatureStore:
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
            offline_store={"type": "dask"},
            online_store=online_store,
            batch_engine={"type": engine},
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
    parser.add_argument("--stock-entities", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    ours, stock = "feature_repo.row_engine.RowComputeEngine", "local"
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        backends = {
            "sqlite": lambda folder: {"path": str(folder / "online.db")},
        }
        address = stack.enter_context(run_redis(Path(work))) if shutil.which("redis-server") else None
        if address is not None:
            backends["redis"] = lambda _: {}
        for turn in range(arguments.rounds + 1):
            for count in arguments.entities if turn > 0 else arguments.entities[:1]:
                rows = Path(work, f"{count}.parquet")
                if not rows.exists():
                    make_rows(rows, count)
                for backend, place in backends.items():
                    answers = []
                    for kind in (ours, stock):
                        if kind == stock and count > arguments.stock_entities:
                            continue
                        folder = Path(work, f"{backend}-{kind}-{count}-{turn}")
                        folder.mkdir()
                        section = place(folder)
                        if backend == "redis":
                            address.flush()  # type: ignore[union-attr]
                            if kind == ours:
                                section = {"url": address.url}  # type: ignore[union-attr]
                            else:
                                section = {"connection_string": address.connection_string}  # type: ignore[union-attr]
                        name = f"{backend.capitalize()}RowOnlineStore"
                        section["type"] = (
                            f"feature_repo.{backend}_online_store.{name}" if kind == ours else backend
                        )
                        store = open_store(folder, rows, section, kind)
                        key = f"{backend} {'ours' if kind == ours else 'stock'} {count}"
                        # Feast reports its progress by print.
                        with contextlib.redirect_stdout(io.StringIO()):
                            taken = measure(store)
                        answers.append(read(store))
                        shutil.rmtree(folder)
                        if turn > 0:
                            seconds.setdefault(key, []).append(taken)
                            print(f"{key:>26}: {count / taken:>10,.0f} rows/s", flush=True)
                    if len(set(answers)) != 1:
                        raise RuntimeError(f"{backend}: Feast reads other values from ours")
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
    pairs = []
    for backend in backends:
        stock_rate = max(rate for key, rate in rates.items() if key.startswith(f"{backend} stock"))
        # The least of all sizes, beside the best of the stock store.
        least = min(rate for key, rate in rates.items() if key.startswith(f"{backend} ours"))
        pairs.append(f"materialize_{backend}_ratio={least / stock_rate:.1f}")
        pairs.append(f"{backend}_rows_per_second={least:.0f}")
    print("result: " + " ".join(pairs))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
