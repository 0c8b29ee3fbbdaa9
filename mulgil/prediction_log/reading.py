"""What was predicted, as a table: for replay, for monitoring, and for whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mulgil.prediction_log.parquet import RECORD_FIELDS

# What rows are chosen and told apart by.
_NEEDED = ("_id", "_source", "_instance", "_time", "_namespace", "_status")


def read_predictions(
    root: Path,
    model: str,
    *,
    version: str | None = None,
    namespace: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    status: int | None = None,
    columns: Sequence[str] | None = None,
    keep: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> pa.Table:
    """Read a model's predictions, one row an instance, each once, in the order of their requests.

    A record is delivered at least once; one that came twice is told by its id.

    Args:
        root: The log's folder.
        model: The service's name.
        version: One version; all of them if left out.
        namespace: One namespace; all of them if left out.
        start: From this time on; without a zone it is UTC.
        end: Before this time.
        status: Only requests that were answered so, such as 200.
        columns: Only these, and those that the other arguments need; all of them if left out.
        keep: Applied to each file's rows as it is read, so that those nobody needs take no memory.

    Returns:
        The fields of `RECORD_FIELDS`, then the columns of the dictionary; one that a version does not have is
        null there. A sensitive one is a hash, or null. No rows where there are none.
    """
    start, end = _utc(start), _utc(end)
    wanted = None if columns is None else {*columns, *_NEEDED}
    tables = []
    for day in sorted(root.glob("date=*")):
        date = day.name.removeprefix("date=")
        if (start and date < start.date().isoformat()) or (end and date > end.date().isoformat()):
            continue
        versions = "*" if version is None else quote(version, safe="")
        for path in sorted(day.glob(f"model={quote(model, safe='')}/version={versions}/part-*.parquet")):
            # Not pq.read_table, which takes the folders for more columns.
            with pq.ParquetFile(path) as file:
                there = file.schema_arrow.names
                chosen = None if wanted is None else [name for name in there if name in wanted]
                tables.append(keep(file.read(columns=chosen)))
    if not tables:
        return RECORD_FIELDS.empty_table()
    table = pa.concat_tables(tables, promote_options="permissive")
    chosen_rows = pa.array([True] * table.num_rows, pa.bool_())
    if start is not None:
        chosen_rows = pc.and_(chosen_rows, pc.greater_equal(table["_time"], pa.scalar(start)))
    if end is not None:
        chosen_rows = pc.and_(chosen_rows, pc.less(table["_time"], pa.scalar(end)))
    if namespace is not None:
        chosen_rows = pc.and_(chosen_rows, pc.fill_null(pc.equal(table["_namespace"], namespace), False))
    if status is not None:
        chosen_rows = pc.and_(chosen_rows, pc.fill_null(pc.equal(table["_status"], status), False))
    table = _once(table.filter(chosen_rows))
    return table.sort_by([("_time", "ascending"), ("_id", "ascending"), ("_instance", "ascending")])


def _once(table: pa.Table) -> pa.Table:
    keys = ["_source", "_id", "_instance"]
    place = pa.array(range(table.num_rows), pa.int64())
    first = table.select(keys).append_column("__place", place).group_by(keys).aggregate([("__place", "min")])
    return table.take(first["__place_min"])


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)
