"""How fast is the point-in-time join, beside Feast's own on files?

    python -m benchmarks.historical_join [--rows 100000 1000000] [--rounds 3]

A history of 22 features, ten rows an entity, and as many questions at random times, a hundredth of them asked
twice. `FeatureStore.get_historical_features` with our offline store and with Feast's; the two take turns, and
the first round only warms up. What both answer is held to be the same; `dropped` is how many rows Feast's
leaves out: those that are asked twice, and those of which nothing was known yet.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64

from mulgil.artifacts import write_text

RESULTS = Path(__file__).parent / "results" / "historical_join.json"
_STORES = {"ours": "feature_repo.point_in_time_offline_store.PointInTimeOfflineStore", "feast": "dask"}
_START = np.datetime64("2024-01-01", "us")
_SECONDS = 30 * 24 * 3600
_FEATURES = [f"feature_{place}" for place in range(22)]
_HISTORY = 10


def make_rows(path: Path, count: int) -> pd.DataFrame:
    """Write a history; return the questions."""
    random = np.random.default_rng(0)

    def moments(number: int) -> pa.Array:
        seconds = random.integers(0, _SECONDS, number).astype("timedelta64[s]")
        return pa.array(_START + seconds, pa.timestamp("us", "UTC"))

    columns: dict[str, Any] = {
        "person": random.integers(0, count // _HISTORY, count),
        "seen_at": moments(count),
        # Tells rows of one entity and time apart, so that there is one answer.
        "created": pa.array(_START + np.arange(count).astype("timedelta64[us]"), pa.timestamp("us", "UTC")),
    }
    columns |= {name: random.normal(size=count) for name in _FEATURES}
    pq.write_table(pa.table(columns), path)
    asked = pd.DataFrame(
        {
            "person": random.integers(0, count // _HISTORY, count),
            "event_timestamp": moments(count).to_pandas(),
            "place": np.arange(count),
        }
    )
    return pd.concat([asked, asked.head(count // 100).assign(place=-1)], ignore_index=True)


def open_store(folder: Path, rows: Path, offline_store: str) -> FeatureStore:
    """Open a store with the view applied."""
    entity = Entity(name="person", join_keys=["person"], value_type=ValueType.INT64)
    source = FileSource(
        name="rows", path=str(rows), timestamp_field="seen_at", created_timestamp_column="created"
    )
    fields = [Field(name=name, dtype=Float64) for name in _FEATURES]
    schema = [Field(name="person", dtype=Int64), *fields]
    view = FeatureView(name="rows", entities=[entity], schema=schema, ttl=timedelta(0), source=source)
    folder.mkdir()
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": offline_store},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    store.apply([entity, source, view])
    return store


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.historical_join",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    names = [f"rows:{name}" for name in _FEATURES]
    samples: dict[str, list[float]] = {}
    dropped: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as work:
        for count in arguments.rows:
            rows = Path(work, f"{count}.parquet")
            asked = make_rows(rows, count)
            stores = {kind: open_store(Path(work, f"{kind}{count}"), rows, _STORES[kind]) for kind in _STORES}
            for turn in range(arguments.rounds + 1):
                answers: dict[str, pd.DataFrame] = {}
                for kind, store in stores.items():
                    gc.collect()
                    begun, used = time.perf_counter(), time.process_time()
                    answers[kind] = store.get_historical_features(asked, names).to_df()
                    taken = time.perf_counter() - begun, time.process_time() - used
                    # The first round only warms up.
                    if turn:
                        samples.setdefault(f"{kind} {count}", []).append(len(asked) / taken[0])
                        samples.setdefault(f"{kind} {count} cpu", []).append(len(asked) / taken[1])
                if len(answers["ours"]) != len(asked):
                    raise RuntimeError("ours does not answer every row")
                dropped[count] = len(asked) - len(answers["feast"])
                _compare(answers["ours"], answers["feast"])
            for kind in _STORES:
                print(
                    f"{kind:>6} {count:>10,}: {statistics.median(samples[f'{kind} {count}']):>10,.0f} rows/s"
                )
    medians = {key: statistics.median(found) for key, found in samples.items()}
    result = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "versions": {package: version(package) for package in ("feast", "pandas", "pyarrow")},
        "rows_per_second": samples,
        "dropped_by_feast": dropped,
    }
    write_text(RESULTS, json.dumps(result, indent=2) + "\n")
    pairs = []
    for count in arguments.rows:
        size = f"{count:.0e}".replace("e+0", "e")
        pairs.append(f"join_ratio_{size}={medians[f'ours {count}'] / medians[f'feast {count}']:.1f}")
        pairs.append(
            f"join_cpu_ratio_{size}={medians[f'ours {count} cpu'] / medians[f'feast {count} cpu']:.1f}"
        )
        pairs.append(f"dropped_{size}={dropped[count]}")
    print("result: " + " ".join(pairs))
    return 0


def _compare(ours: pd.DataFrame, feasts: pd.DataFrame) -> None:
    """Hold each row that Feast answers to ours; of a row that is asked twice Feast keeps either."""
    once = ours[ours["place"] >= 0].set_index("place")
    kept = feasts[feasts["place"] >= 0].set_index("place").sort_index()
    pd.testing.assert_frame_equal(kept, once.loc[kept.index][kept.columns], check_dtype=False)


if __name__ == "__main__":
    raise SystemExit(main())
