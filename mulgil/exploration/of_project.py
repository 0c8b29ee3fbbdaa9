"""A project's table in the form in which it is explored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mulgil.contract import Column, ColumnType, DataDictionary
from mulgil.contract.learning import Task
from mulgil.drafting.profile import profile_column
from mulgil.exploration.columns import Explored, thin_out

_TASK_OF = {
    ColumnType.BOOLEAN: Task.BINARY_CLASSIFICATION,
    ColumnType.CATEGORY: Task.MULTICLASS_CLASSIFICATION,
}


def explored_table(
    dictionary: DataDictionary,
    columns: Mapping[str, pa.ChunkedArray],
    newest_span: str = "",
    newest_rows: int = 0,
) -> Explored:
    """Profile a table by its dictionary.

    Args:
        dictionary: What the columns are; of several targets the first is looked at.
        columns: By their names in the dictionary.
        newest_span: The newest of its spans, if it has several.
        newest_rows: How many of the last rows are of it.
    """
    target, *other_targets = dictionary.targets
    # What a target is derived from tells it, and is known to.
    told = {column.name for column in other_targets}
    told |= {name for column in dictionary.targets if column.expression for name in column.expression.columns}
    shown = {name: cells for name, cells in columns.items() if name not in told - {target.name}}
    if dictionary.created_timestamp is not None:
        # It is later than the event by its meaning.
        shown.pop(dictionary.created_timestamp.name, None)
    rows = len(shown[target.name])
    is_newest = np.arange(rows) >= rows - newest_rows
    shown = thin_out(shown)
    profiles = {name: profile_column(name, cells) for name, cells in shown.items()}
    return Explored(
        rows=rows,
        looked_at=len(shown[target.name]),
        cells=shown,
        profiles=tuple(profiles.values()),
        target=profiles[target.name],
        moment=profiles.get(dictionary.event_timestamp.name),
        entity=profiles.get(dictionary.entity.name),
        task=_task(target),
        newest_span=newest_span,
        is_newest=thin_out({"": pa.chunked_array([is_newest])})[""].to_numpy(),
        hidden=frozenset(column.name for column in dictionary.columns if column.sensitive),
    )


def _task(target: Column) -> Task:
    return _TASK_OF.get(target.type, Task.SCALAR_REGRESSION)
