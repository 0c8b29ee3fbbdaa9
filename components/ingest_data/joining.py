"""Several files as one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from components.ingest_data.table import Batch, FileOfRows, RawTable
from mulgil.errors import InputError, describe


def join_tables(tables: Iterator[RawTable], location: str) -> RawTable:
    """Put tables of the same columns, in whatever order, one after the other.

    Args:
        tables: At least one; each is opened when the rows before it are read.
        location: What all of them are called.

    Raises:
        InputError: Of the first table; of the others the batches say so, and where their columns differ.
    """
    first = next(tables)
    return replace(first, location=location, batches=_batches(first, tables))


def _batches(first: RawTable, others: Iterator[RawTable]) -> Iterator[Batch]:
    rows = 0
    file = FileOfRows(first.location, rows_before=0)
    for batch in first.batches:
        yield replace(batch, file=file)
        rows += len(batch.numbers) + len(batch.misfits)
    for table in others:
        if sorted(table.header) != sorted(first.header):
            raise InputError(
                describe(
                    f"{table.location} has other columns than {first.location}",
                    expected=", ".join(first.header),
                    received=", ".join(table.header),
                    next_step="give files of the same columns, or run on them one by one",
                )
            )
        order = [table.header.index(name) for name in first.header]
        before, file = rows, FileOfRows(table.location, rows)
        for batch in table.batches:
            misfits = tuple(replace(misfit, number=before + misfit.number) for misfit in batch.misfits)
            yield Batch(before + batch.numbers, tuple(batch.columns[at] for at in order), misfits, file)
            rows += len(batch.numbers) + len(batch.misfits)
