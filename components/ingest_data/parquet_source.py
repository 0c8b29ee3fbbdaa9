"""A Parquet file, read into a raw table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.table import RawTable
from components.ingest_data.typed_cells import plain
from mulgil.errors import InputError, describe


def read_parquet(content: bytes, location: str) -> RawTable:
    """Read a Parquet file.

    Raises:
        InputError: It is none, or it has no rows.
    """
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
    except (pa.ArrowException, OSError) as exc:
        raise InputError(
            describe(f"The source is not a Parquet file: {location}", received=str(exc).splitlines()[0])
        ) from exc
    if not table.num_rows:
        raise InputError(describe(f"The source has columns and no rows: {location}", expected="rows"))
    columns = [[plain(cell) for cell in column.to_pylist()] for column in table.columns]
    return RawTable(location, tuple(table.column_names), list(zip(*columns, strict=True)), read_typed_cell)
