"""A function of the project folder that returns the rows."""

from __future__ import annotations

import sys
import traceback
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.table import BATCH_ROWS, Cells, RawTable, number_batches
from components.ingest_data.typed_cells import plain
from mulgil.contract.sources import PythonSource
from mulgil.errors import InputError, MulgilError, describe


def read_python(source: PythonSource, folder: Path) -> RawTable:
    """Call the project's function and take its data frame.

    Raises:
        InputError: There is no such function, it fails, or what it returns is no data frame with rows.
    """
    module, function = source.function.split(":")
    path = folder / f"{module}.py"
    location = f"{path.resolve()}:{function}"
    frame = _call(path, function, location)
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


def _call(path: Path, function: str, location: str) -> Any:
    # It is run from its text, so that no byte code appears in the user's folder, and under a name of its own
    # for as long as it runs, because dataclasses and pickles look their module up.
    module = types.ModuleType(f"mulgil_source_{uuid.uuid4().hex}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(_read(path), str(path), "exec"), module.__dict__)
        return _function(module, function, location)()
    except MulgilError:
        raise
    except Exception as exc:
        raise _failure(location, path, exc) from exc
    finally:
        del sys.modules[module.__name__]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InputError(
            describe(
                f"The project's own source cannot be read: {exc.strerror}",
                expected="the file that `source.function` in project.yaml names",
                received=str(path),
            )
        ) from exc


def _function(module: types.ModuleType, name: str, location: str) -> Callable[[], Any]:
    function: Callable[[], Any] | None = getattr(module, name, None)
    if not callable(function):
        raise InputError(
            describe(
                f"There is no function {location}",
                expected=f"`def {name}():` that returns a pandas DataFrame",
                next_step="correct `source.function` in project.yaml",
            )
        )
    return function


def _failure(location: str, path: Path, exc: Exception) -> InputError:
    remedy = f"correct {path.name}, or give a file instead: --source PATH"
    if isinstance(exc, FileNotFoundError):
        # A run reads a copy of the project, of which no data is a part.
        remedy = (
            f"in {path.name}, name other files by absolute path or URL: a run has a copy of its Python alone"
        )
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == str(path)]
    return InputError(
        describe(
            f"The project's own source failed: {location}",
            received=f"{type(exc).__name__}: {exc}" + (f" (line {lines[-1]})" if lines else ""),
            next_step=remedy,
        )
    )
