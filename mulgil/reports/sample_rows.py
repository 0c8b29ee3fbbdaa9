"""Rows of a run's dataset, to be shown in its report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.contract import Column, ColumnRole, ColumnType
from mulgil.exploration.columns import Explored
from mulgil.exploration.of_project import explored_table
from mulgil.exploration.places import may_be_a_place
from mulgil.reports.evidence import RunEvidence

# Enough for every picture, and read in a second. Chosen by eye.
_MOST_GROUPS = 8
_MOST_ROWS = 20_000
_MOST_IMAGES = 2_000
_IMAGES_AT_ONCE = 64
_TRAIN = "train.parquet"


def read_samples(evidence: RunEvidence) -> Explored | None:
    """Read what can be shown of a run's training rows.

    Args:
        evidence: Of the run.

    Returns:
        Columns of images, texts and places, beside the target; `None` where there are none, or no rows.
    """
    if evidence.project is None or evidence.dataset_path is None:
        return None
    dictionary = evidence.project.dictionary
    names = [column.name for column in dictionary.kept if _can_be_shown(column)]
    path = evidence.dataset_path / _TRAIN
    if not names or not path.exists():
        return None
    try:
        columns = _read(path, [*names, dictionary.targets[0].name])
    except (OSError, pa.ArrowException, KeyError):
        # A page without them is better than none.
        return None
    return explored_table(dictionary, columns) if columns else None


def _can_be_shown(column: Column) -> bool:
    if column.sensitive or column.role is not ColumnRole.FEATURE:
        return False
    return column.type in (ColumnType.IMAGE, ColumnType.CATEGORY) or may_be_a_place(column.name)


def _read(path: Path, names: list[str]) -> dict[str, pa.ChunkedArray]:
    """Read some rows, evenly over some groups of them that lie evenly over a file."""
    with pq.ParquetFile(path) as file:
        has_images = any(pa.types.is_binary(file.schema_arrow.field(name).type) for name in names)
        most, at_once = (_MOST_IMAGES, _IMAGES_AT_ONCE) if has_images else (_MOST_ROWS, _MOST_ROWS)
        groups = np.linspace(0, file.num_row_groups - 1, _MOST_GROUPS).astype(int)
        groups = np.unique(groups)[: file.num_row_groups]
        rows = sum(file.metadata.row_group(group).num_rows for group in groups.tolist())
        step = max(1, -(-rows // most))
        batches, before = [], 0
        for batch in file.iter_batches(at_once, row_groups=groups.tolist(), columns=names):
            places = np.arange(-before % step, batch.num_rows, step)
            batches.append(batch.take(pa.array(places)))
            before += batch.num_rows
    table = pa.Table.from_batches(batches) if batches else None
    return {name: table[name] for name in names} if table is not None and table.num_rows else {}
