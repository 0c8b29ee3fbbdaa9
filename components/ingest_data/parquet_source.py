"""A Parquet file, read into a raw table row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.table import BATCH_ROWS, Cells, RawTable, number_batches
from components.ingest_data.unreadable import describe_unreadable
from mulgil.errors import InputError, describe


def read_parquet(path: Path, location: str) -> RawTable:
    """Read a Parquet file.

    Raises:
        InputError: It is none, or it has no rows. Where a part of it is damaged, the batches say so.
        TemporaryError: Its disk or its server broke off; the batches say so, too.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise describe_unreadable(location, exc) from exc
        raise InputError(
            describe(
                f"The source is not a Parquet file: {location}",
                expected="a Parquet file, whole",
                received=str(exc).splitlines()[0],
                next_step="fetch or write it again, or correct `source` in project.yaml",
            )
        ) from exc
    if not file.metadata.num_rows:
        file.close()
        raise InputError(describe(f"The source has columns and no rows: {location}", expected="rows"))
    batches = number_batches(_read(file, location))
    return RawTable(location, tuple(file.schema_arrow.names), batches, read_typed_cell)


def _read(file: pq.ParquetFile, location: str) -> Iterator[tuple[Cells, ...]]:
    rows = 0
    try:
        with file:
            for batch in file.iter_batches(BATCH_ROWS):
                rows += batch.num_rows
                yield tuple(batch.columns)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise describe_unreadable(location, exc) from exc
        raise InputError(
            describe(
                f"The source is damaged after row {rows}: {location}",
                expected=f"a Parquet file of {file.metadata.num_rows} rows",
                received=str(exc).splitlines()[0],
                next_step="fetch or write it again",
            )
        ) from exc
