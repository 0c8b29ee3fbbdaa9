"""A table of 22 columns of every type, as large as it is asked for, and the project that describes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_NUMBERS = 16
_CODES = "abcdef"
_AT_ONCE = 500_000

PROJECT = """\
name: many-rows
problem: {goal: none, success_measure: none}
task: binary_classification
source: {kind: parquet, location: rows.parquet}
"""

DICTIONARY = f"""\
columns:
  - {{name: who, role: entity, type: integer, description: none}}
  - {{name: seen, role: event_timestamp, type: timestamp, description: none}}
  - {{name: code, type: category, categories: [{", ".join(_CODES)}], description: none}}
  - {{name: count, type: integer, range: [0, 1000], description: none}}
  - {{name: flag, type: boolean, description: none}}
  - {{name: ill, role: target, type: boolean, description: none}}
""" + "".join(
    f"  - {{name: x{i}, type: float, range: [-10, 10], missing: median, description: none}}\n"
    for i in range(_NUMBERS)
)


# Of an entity's past, in windows of about one and four of its rows.
AGGREGATES = "".join(
    f"  - {{name: {function}_before, type: float, missing: median, description: none, "
    f"aggregate: {{function: {function}, of: x{i}, over: {days} days}}}}\n"
    for i, (function, days) in enumerate(
        [("mean", 30), ("sum", 90), ("std", 90), ("min", 30), ("max", 90), ("last", 90)]
    )
)
GROUPED = """\
split: {kind: group}
"""

# One epoch to look and one to fit.
TRAINING = """\
training: {max_epochs: 1, batch_size: 4096}
"""


def write_project(
    folder: Path, rows: int, settings: str = "", columns: str = "", rows_of_entity: int = 1
) -> None:
    """Write a project with its table.

    Args:
        folder: Where.
        rows: How many there are.
        settings: More of project.yaml.
        columns: More of data_dictionary.yaml.
        rows_of_entity: How many each entity has, far from each other.
    """
    folder.mkdir(parents=True)
    (folder / "project.yaml").write_text(PROJECT + settings, encoding="utf-8")
    (folder / "data_dictionary.yaml").write_text(DICTIONARY + columns, encoding="utf-8")
    random = np.random.default_rng(0)
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, _AT_ONCE):
        part = make_rows(random, start, min(_AT_ONCE, rows - start))
        if rows_of_entity > 1:
            entities = part["who"].to_numpy() % -(-rows // rows_of_entity)
            part = part.set_column(0, "who", pa.array(entities))
        writer = writer or pq.ParquetWriter(folder / "rows.parquet", part.schema)
        writer.write_table(part)
    if writer:
        writer.close()


def make_rows(random: np.random.Generator, start: int, rows: int) -> pa.Table:
    """Make some of the rows, from the entity `start` on."""
    numbers = {
        f"x{i}": pa.array(random.normal(size=rows).round(4), mask=random.random(rows) < 0.02)
        for i in range(_NUMBERS)
    }
    severity = np.nan_to_num(numbers["x0"].to_numpy(zero_copy_only=False))
    return pa.table(
        {
            "who": np.arange(start, start + rows),
            "seen": pa.array(random.integers(1.7e15, 1.72e15, rows)).cast(pa.timestamp("us", "UTC")),
            "code": np.array(list(_CODES))[random.integers(0, len(_CODES), rows)],
            "count": random.integers(0, 1_000, rows),
            "flag": random.random(rows) < 0.3,
            "ill": severity + random.normal(size=rows) > 0,
            **numbers,
        }
    )
