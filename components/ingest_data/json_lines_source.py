"""A JSON object a line, read into a raw table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.compression import open_uncompressed
from components.ingest_data.lines import GREATEST_LINE, describe_endless
from components.ingest_data.table import BATCH_ROWS, Batch, Misfit, RawTable
from mulgil.errors import InputError, describe

# A line that is no object, with what it is instead.
_NoObject = tuple[str, str]


def read_json_lines(path: Path, location: str) -> RawTable:
    """Read a file of JSON lines, compressed or not. A key that a line lacks is a missing value.

    Args:
        path: The file.
        location: Where it came from.

    Raises:
        InputError: It has no row, or none of its first lines is a JSON object.
    """
    rows = _rows(path, location)
    beginning = list(islice(rows, BATCH_ROWS))
    if not beginning:
        raise InputError(describe(f"The source is empty: {location}", expected="rows"))
    header = tuple(dict.fromkeys(key for row in beginning if isinstance(row, dict) for key in row))
    if not header:
        raise InputError(
            describe(
                f"The source is not JSON lines: {location}",
                expected='an object a line, such as {"age": 63, "ill": true}',
                received=beginning[0][1] if isinstance(beginning[0], tuple) else "an object without keys",
            )
        )
    return RawTable(location, header, _batches(chain(beginning, rows), header), read_typed_cell)


def _batches(rows: Iterator[dict[str, Any] | _NoObject], header: tuple[str, ...]) -> Iterator[Batch]:
    known = set(header)
    first = 1
    while some := list(islice(rows, BATCH_ROWS)):
        right: list[dict[str, Any]] = []
        numbers: list[int] = []
        misfits: list[Misfit] = []
        for number, row in enumerate(some, start=first):
            if isinstance(row, tuple):
                line, received = row
                misfits.append(Misfit(number, "a JSON object", received, {"line": line}))
            elif row.keys() <= known:
                right.append(row)
                numbers.append(number)
            else:
                others = ", ".join(sorted(row.keys() - known))
                misfits.append(Misfit(number, "the keys " + ", ".join(header), f"{others}, too", row))
        columns = tuple([row.get(name) for row in right] for name in header)
        yield Batch(np.array(numbers, dtype=np.int64), columns, tuple(misfits))
        first += len(some)


def _rows(path: Path, location: str) -> Iterator[dict[str, Any] | _NoObject]:
    """Yield each line that is not empty, as its object."""
    with open_uncompressed(path, location) as file:
        number = 0
        while line := file.readline(GREATEST_LINE):
            number += 1
            if len(line) == GREATEST_LINE and not line.endswith(b"\n"):
                raise describe_endless(location, number)
            if line.strip():
                yield _read_line(line)


def _read_line(line: bytes) -> dict[str, Any] | _NoObject:
    text = line.decode("utf-8-sig", errors="backslashreplace").strip()
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        return text, f"a line that is none ({exc})"
    return row if isinstance(row, dict) else (text, f"a {type(row).__name__}")
