"""Each row's numbers of its entity's past, with one part of the entities in memory at a time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ingest_data.dataset import RowStore
from components.ingest_data.identity import hash_cells
from components.ingest_data.past import History, aggregate_past
from components.ingest_data.splits import Places
from mulgil.contract import DataDictionary

# Rows whose past is computed at once, of some hundred bytes each with what computing takes. Chosen by eye.
_PART_ROWS = 1 << 21
_ENTITY_KEY = "mulgil look back"
# No column of a dictionary begins with an underscore.
_PLACE, _ENTITY, _TIME, _CREATED = "_place", "_entity", "_time", "_created"


def look_back(
    store: RowStore, first: Places, dictionary: DataDictionary, scratch: Path
) -> dict[str, npt.NDArray[np.float64]]:
    """Compute the dictionary's aggregates for every row that is no repetition of another.

    Args:
        store: The rows, in any order.
        first: Places of those that repeat no earlier one.
        dictionary: What is computed.
        scratch: A folder for the parts of the rows, and for what is computed.

    Returns:
        By column a number for each row of the store, on disk; NaN where its past has none.
    """
    aggregates = {c.name: c.aggregate for c in dictionary.aggregates if c.aggregate is not None}
    if not aggregates or not len(first):
        return {}
    shape = (len(aggregates), int(first[-1]) + 1)
    found = np.memmap(scratch / "past.numbers", np.float64, "w+", shape=shape)
    found[:] = np.nan
    taken = sorted({one.of for one in aggregates.values() if one.of is not None})
    parts = -(-len(first) // _PART_ROWS)
    for part in _write_parts(store, first, dictionary, taken, scratch, parts):
        rows = pq.read_table(part)
        part.unlink()
        created = rows[_CREATED].to_numpy() if _CREATED in rows.column_names else None
        history = History(
            entity=_codes(rows[_ENTITY]),
            time=rows[_TIME].to_numpy(),
            created=created,
            values={name: rows[name].to_numpy() for name in taken},
        )
        numbers = aggregate_past(history, aggregates)
        places = rows[_PLACE].to_numpy()
        for number, name in enumerate(aggregates):
            found[number, places] = numbers[name]
    return dict(zip(aggregates, found, strict=True))


def look_back_at_once(
    columns: Mapping[str, pa.ChunkedArray], dictionary: DataDictionary
) -> dict[str, pa.ChunkedArray]:
    """Compute the dictionary's aggregates for the rows of a table in memory, repetitions counted, too.

    Args:
        columns: The table; it need not have an entity or a time where ingestion makes them.
        dictionary: What is computed.

    Returns:
        By column a number for each row, null where its past has none or nobody can say whose it is or when.
    """
    aggregates = {c.name: c.aggregate for c in dictionary.aggregates if c.aggregate is not None}
    entity, time = dictionary.entity.name, dictionary.event_timestamp.name
    if not aggregates or entity not in columns or time not in columns:
        return {}
    created = dictionary.created_timestamp
    keys = [entity, time] + ([] if created is None else [created.name])
    taken = sorted({one.of for one in aggregates.values() if one.of is not None})
    rows = pa.table({name: columns[name] for name in {*keys, *taken}})
    is_known = functools.reduce(pc.and_, [pc.is_valid(rows[name]) for name in keys])
    known = rows.filter(is_known).combine_chunks()
    history = History(
        entity=_codes(known[entity]),
        time=known[time].cast(pa.int64()).to_numpy(),
        created=None if created is None else known[created.name].cast(pa.int64()).to_numpy(),
        values={name: _numbers(known[name]).to_numpy() for name in taken},
    )
    places = np.flatnonzero(is_known.to_numpy())
    found = {}
    for name, numbers in aggregate_past(history, aggregates).items():
        every = np.full(len(rows), np.nan)
        every[places] = numbers
        found[name] = pa.chunked_array([pa.array(every, from_pandas=True)])
    return found


def tell_cut_past(store: RowStore, dictionary: DataDictionary, first_day: date | None) -> str | None:
    """Say which windows are longer than all the time of which there are rows; `None` where none is.

    Args:
        store: The rows; older ones than these were not read.
        dictionary: What is computed.
        first_day: The date from which on all were read, where it is known; else that of the first row.
    """
    if not dictionary.aggregates:
        return None
    name = dictionary.event_timestamp.name
    found = [pc.min_max(batch[name]).as_py() for batch in store.read_groups([name])]
    if not found:
        return None
    begin = min(one["min"] for one in found)
    if first_day is not None:
        begin = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
    reach = max(one["max"] for one in found) - begin
    longer = [
        f"{column.name} (over {column.aggregate.over})"
        for column in dictionary.aggregates
        if column.aggregate is not None and column.aggregate.window > reach
    ]
    return f"windows go back beyond {begin:%Y-%m-%d}: {', '.join(longer)}" if longer else None


def _write_parts(
    store: RowStore, first: Places, dictionary: DataDictionary, taken: list[str], scratch: Path, parts: int
) -> Iterator[Path]:
    """Write what is needed of the rows, an entity's all into one file."""
    created = dictionary.created_timestamp
    names = [dictionary.entity.name, dictionary.event_timestamp.name, *taken]
    names += [] if created is None else [created.name]
    paths = [scratch / f"past-{part:04}.parquet" for part in range(parts)]
    with contextlib.ExitStack() as stack:
        writers: dict[int, pq.ParquetWriter] = {}
        start = 0
        for batch in store.read_groups(names):
            begin, end = np.searchsorted(first, [start, start + batch.num_rows])
            kept = batch.take(pa.array(first[begin:end] - start))
            start += batch.num_rows
            entity = kept[dictionary.entity.name]
            columns = {
                _PLACE: pa.array(first[begin:end]),
                _ENTITY: entity,
                _TIME: kept[dictionary.event_timestamp.name].cast(pa.int64()),
                **({} if created is None else {_CREATED: kept[created.name].cast(pa.int64())}),
                **{name: _numbers(kept[name]) for name in taken},
            }
            table = pa.table(columns)
            of = hash_cells(entity, _ENTITY_KEY[:16]) % np.uint64(parts)
            for part in np.unique(of).tolist():
                if part not in writers:
                    writers[part] = stack.enter_context(pq.ParquetWriter(paths[part], table.schema))
                writers[part].write_table(table.filter(pa.array(of == part)))
    yield from (paths[part] for part in sorted(writers))


def _codes(entity: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    codes: npt.NDArray[np.int64] = entity.combine_chunks().dictionary_encode().indices.to_numpy()
    return codes.astype(np.int64)


def _numbers(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return float64, NaN where missing, which Parquet gives back without a copy of another type."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return pc.fill_null(column.cast(pa.float64()), float("nan"))
