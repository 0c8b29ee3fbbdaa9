"""Statistics four ways, in the validation environment.

`python -m benchmarks.data.statistics ROWS CSV ROUNDS`: ours in batches from a split's Parquet file, by as
many processes as are worth it and by one; TFDV's of the same rows as one Arrow batch in memory; and TFDV's of
a CSV file through Beam's DirectRunner. Of what one process does the rows a second of CPU time too (`…_cpu`),
which other work on the machine changes less.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from components.validate_data.dataset import StoredSplit
from components.validate_data.divided_statistics import compute_statistics_of
from components.validate_data.tfdv import array_util, stats_impl, tfdv

_KEYS = {"who", "seen"}


def main() -> None:
    """Print the rows a second of each, every round."""
    path, csv, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    stored = StoredSplit(path)
    columns = set(stored.schema.names) - _KEYS
    table = pq.ParquetFile(path).read(columns=sorted(columns))
    samples: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for name, run in (
            ("ours", lambda: compute_statistics_of(stored, columns)),
            ("one_process", lambda: compute_statistics_of(stored, columns, 1)),
            ("in_memory", lambda: _at_once(table)),
        ):
            started, used = time.perf_counter(), time.process_time()
            run()
            # The first round only warms up.
            if turn:
                samples.setdefault(name, []).append(table.num_rows / (time.perf_counter() - started))
                if name != "ours":
                    by_cpu = table.num_rows / (time.process_time() - used)
                    samples.setdefault(f"{name}_cpu", []).append(by_cpu)
    few = table.slice(0, min(table.num_rows, 50_000))
    pyarrow.csv.write_csv(few, csv)
    started = time.perf_counter()
    tfdv.generate_statistics_from_csv(str(csv))
    samples["csv"] = [few.num_rows / (time.perf_counter() - started)]
    print(json.dumps(samples))


def _at_once(table: pa.Table) -> None:
    columns = [column.combine_chunks() for column in table.columns]
    lists = [
        array_util.ToSingletonListArray(
            column.cast(pa.int64()) if pa.types.is_boolean(column.type) else column
        )
        for column in columns
    ]
    stats_impl.generate_statistics_in_memory(
        pa.RecordBatch.from_arrays(lists, names=table.column_names), tfdv.StatsOptions()
    )


if __name__ == "__main__":
    main()
