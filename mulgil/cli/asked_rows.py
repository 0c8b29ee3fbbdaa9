"""The rows of a file that a model is to be asked about."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

from mulgil.contract import ColumnType, ProjectFolder
from mulgil.contract.sources import CsvSource
from mulgil.errors import InputError, describe

_IMAGES = {".png", ".jpg", ".jpeg"}
_TABLES = {".csv", ".tsv", ".data", ".txt", ".gz"}


def read_rows(path: Path, folder: ProjectFolder) -> list[Any]:
    """Read rows as a request carries them.

    Args:
        path: JSON; or by its ending a CSV file, divided as the project's own is, or an image.
        folder: The project.

    Raises:
        InputError: The file cannot be read, or is not what its name says.
    """
    suffix = path.suffix.lower()
    if suffix in _IMAGES:
        return [_read_image(path, folder)]
    return _read_table(path, folder) if suffix in _TABLES else _read_json(path)


def _read_image(path: Path, folder: ProjectFolder) -> dict[str, Any]:
    image = next((c for c in folder.dictionary.inputs if c.type is ColumnType.IMAGE), None)
    if image is None:
        raise InputError(
            describe(f"{path} is an image, and this model reads none", expected="a JSON or CSV file")
        )
    return {image.name: {"b64": b64encode(_read(path)).decode()}}


def _read_json(path: Path) -> list[Any]:
    try:
        rows = json.loads(_read(path).decode("utf-8"))
        # Python reads NaN and numbers beyond a float's range too, and neither can be sent.
        json.dumps(rows, allow_nan=False)
    except (ValueError, RecursionError) as exc:
        raise InputError(
            describe(
                f"{path} is not JSON: {exc}",
                expected="a row, or a list of rows; null is a missing value",
            )
        ) from exc
    return rows if isinstance(rows, list) else [rows]


def _read_table(path: Path, folder: ProjectFolder) -> list[dict[str, Any]]:
    """Read a table's features; its target, where it has one, is not sent."""
    # It loads Arrow, which no other file needs.
    from components.ingest_data.columns import read_column
    from components.ingest_data.csv_source import read_csv
    from components.ingest_data.images import gather_pixels

    _read(path)
    columns = [column for column in folder.dictionary.columns if column.is_in_source]
    names = [name for column in columns for name in column.names_in_source]
    own = folder.project.source
    source = own if isinstance(own, CsvSource) else CsvSource(kind="csv", location=str(path))
    table = gather_pixels(read_csv(path, str(path), source, names), folder.dictionary)
    # A file of features by the dictionary's names is as right as one of the source's.
    places = {}
    for column in folder.dictionary.inputs:
        found = [name for name in (column.name_in_source, column.name) if name in table.header]
        if found:
            places[column.name] = (column, table.header.index(found[0]))
    if not places:
        raise InputError(
            describe(
                f"{path} has no column that the model reads",
                expected=", ".join(column.name for column in folder.dictionary.inputs),
                received=", ".join(table.header)[:200],
            )
        )
    rows: list[dict[str, Any]] = []
    for batch in table.batches:
        if batch.misfits:
            misfit = batch.misfits[0]
            raise InputError(
                describe(
                    f"Row {misfit.number} of {path} is no row of the table",
                    expected=misfit.expected,
                    received=misfit.received,
                )
            )
        values: dict[str, list[Any]] = {}
        for name, (column, place) in places.items():
            read = read_column(column, batch.columns[place], table.read_cell)
            for wrong, mistake in read.mistakes.items():
                raise InputError(f"{path}, row {int(batch.numbers[wrong])}: {mistake}")
            values[name] = [_as_json(value) for value in read.values.to_pylist()]
        rows += [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return rows


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": b64encode(value).decode()}
    return value.isoformat() if isinstance(value, datetime) else value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InputError(
            describe(
                f"Cannot read {path}: {exc.strerror}",
                expected="a JSON file with a row, or a list of rows; a CSV file; or an image",
            )
        ) from exc
