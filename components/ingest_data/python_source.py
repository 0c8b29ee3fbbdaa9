"""A function of the project folder that returns the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.table import BATCH_ROWS, Cells, RawTable, number_batches
from components.ingest_data.typed_cells import plain
from mulgil.contract.sources import PythonSource
from mulgil.errors import InputError, describe
from mulgil.project_code import ProjectFunction


def read_python(source: PythonSource, folder: Path) -> RawTable:
    """Call the project's function and take its data frame.

    Raises:
        InputError: There is no such function, it fails, or what it returns is no data frame with rows.
    """
    function = ProjectFunction(
        folder,
        source.function,
        key="source.function",
        title="source",
        form=f"`def {source.function.split(':')[1]}():` that returns a pandas DataFrame",
        alternative="give a file instead: --source PATH",
    )
    location = function.location
    frame = function()
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            describe(
                f"{location} returned no table", expected="a pandas DataFrame", received=type(frame).__name__
            )
        )
    if frame.empty:
        raise InputError(
            describe(f"{location} returned an empty table", expected="rows", received=f"shape={frame.shape}")
        )
    header = tuple(str(name) for name in frame.columns)
    return RawTable(location, header, number_batches(_divide(frame)), read_typed_cell)


def _divide(frame: pd.DataFrame) -> Iterator[tuple[Cells, ...]]:
    for start in range(0, len(frame), BATCH_ROWS):
        part = frame.iloc[start : start + BATCH_ROWS]
        yield tuple(_as_cells(part.iloc[:, place]) for place in range(part.shape[1]))


def _as_cells(values: pd.Series) -> Cells:
    # An object can be anything, and Arrow would make one thing of them all.
    if values.dtype == object or isinstance(values.dtype, pd.PeriodDtype | pd.IntervalDtype):
        return [plain(cell) for cell in values.tolist()]
    return pa.array(values, from_pandas=True)
