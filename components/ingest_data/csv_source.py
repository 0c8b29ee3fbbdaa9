"""Delimited text, read into a raw table line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.ingest_data.cells import TextCells
from components.ingest_data.compression import open_uncompressed
from components.ingest_data.dialect import DELIMITERS, detect_encoding, is_utf8, marked_encoding
from components.ingest_data.lines import GREATEST_LINE, describe_endless
from components.ingest_data.structure import name_nameless
from components.ingest_data.table import BATCH_ROWS, Batch, Misfit, RawTable, rows_that_fit
from mulgil.contract.sources import CsvSource
from mulgil.errors import InputError, describe

_BEGINNING = 1 << 20


def read_csv(path: Path, location: str, source: CsvSource, names: Collection[str]) -> RawTable:
    """Read a delimited text file, compressed or not.

    A header line of the file's own goes before the one that the project gives, so that a copy of the table
    with its columns in another order is still read right.

    Args:
        path: The file.
        location: Where it came from.
        source: Encoding, delimiter, quote, header and codes for missing.
        names: The columns that the dictionary knows in the source.

    Raises:
        InputError: The file has no rows, is of another encoding, or is not divided as the project says. Of
            what stands further down, the batches say so.
    """
    rows = _Rows(path, location, source)
    first_row = next(rows, None)
    if first_row is None:
        raise InputError(describe(f"The source is empty: {location}", expected="rows"))
    first = tuple(cell.strip() for cell in first_row)
    has_header = source.header is None or _is_header(first, {*names, *source.header})
    header = name_nameless(first) if has_header or source.header is None else source.header
    _check_width(first, len(source.header or names), location, source.delimiter)
    batches = _batches(rows if has_header else chain([first_row], rows), rows, header)
    beginning = next(batches, None)
    if beginning is None:
        raise InputError(
            describe(
                f"The source has a header and no rows: {location}",
                expected="at least one row under the header",
                received=f"header={','.join(header)}",
            )
        )
    if source.header == header and not len(beginning.numbers):
        raise InputError(
            describe(
                f"The rows of {location} do not fit the header that project.yaml gives",
                expected=f"{len(header)} cells: {', '.join(header)}",
                received=f"{len(beginning.misfits[0].cells)} cells in the first row",
                next_step="correct `source.header`",
            )
        )
    missing = frozenset(code.strip() for code in source.missing_values)
    return RawTable(location, header, chain([beginning], batches), TextCells(missing, source.decimal))


class _Rows(Iterator[list[str]]):
    """The rows of a text file, divided into cells; an empty line is no row.

    Attributes:
        has_nul: Whether a NUL was met since it was last set to false.
    """

    def __init__(self, path: Path, location: str, source: CsvSource) -> None:
        self.has_nul = False
        self._path = path
        self._location = location
        self._source = source
        self._reader = csv.reader(
            self._lines(), delimiter=source.delimiter, quotechar=source.quote, strict=True
        )

    def __next__(self) -> list[str]:
        try:
            while not (row := next(self._reader)):
                pass
        except csv.Error as exc:
            raise self._indivisible(exc) from exc
        return row

    def _indivisible(self, exc: csv.Error) -> InputError:
        line, location = self._reader.line_num, self._location
        # Of what is wrong with a row csv has one exception, and its words.
        if "field limit" in str(exc):
            return InputError(
                describe(
                    f"A cell that ends at line {line} of {location}, or later, is too long",
                    expected=f"cells of at most {csv.field_size_limit():,} characters",
                    next_step="see whether a quote before it is never closed, or whether the file is damaged",
                )
            )
        return InputError(
            describe(
                f"The source cannot be divided into cells at line {line} of {location}: {exc}",
                expected=f"{self._source.delimiter!r} between cells, and a quote within a quoted cell "
                'twice: "5"" pipe"',
                next_step="correct the line, or `source.delimiter` in project.yaml",
            )
        )

    def _lines(self) -> Iterator[str]:
        with open_uncompressed(self._path, self._location) as file:
            # A byte-order mark says what the text is in.
            encoding = marked_encoding(file.peek(4)[:4]) or self._source.encoding
            text = io.TextIOWrapper(file, "utf-8-sig" if is_utf8(encoding) else encoding, newline="")
            number = 0
            try:
                while line := text.readline(GREATEST_LINE):
                    number += 1
                    if len(line) == GREATEST_LINE and not line.endswith(("\n", "\r")):
                        raise describe_endless(self._location, number)
                    if "\0" in line:
                        self.has_nul = True
                    yield line
            except UnicodeError as exc:
                raise self._undecodable(encoding, number, exc) from exc

    def _undecodable(self, encoding: str, lines_before: int, exc: UnicodeError) -> InputError:
        name = "UTF-8" if is_utf8(encoding) else encoding
        # Text is decoded some lines ahead of the one that is read.
        received = f"something else after line {lines_before}"
        found = "cp1252"
        with open_uncompressed(self._path, self._location) as file:
            for number, line in enumerate(file, start=1) if is_utf8(encoding) else ():
                try:
                    line.decode("utf-8-sig")
                except UnicodeDecodeError as wrong:
                    received = (
                        f"byte 0x{line[wrong.start]:02x} in line {number}, at position {wrong.start + 1}"
                    )
                    found = detect_encoding(line + file.read(_BEGINNING))
                    break
        remedy = "save it as UTF-8"
        if not is_utf8(found):
            remedy += f", or set `source.encoding: {found}` if all of it is in that"
        return InputError(
            describe(
                f"The source is not {name} text: {self._location}",
                expected=f"{name}, with or without a byte-order mark",
                received=received,
                next_step=remedy,
            )
        )


def _batches(rows: Iterator[list[str]], of_file: _Rows, header: Sequence[str]) -> Iterator[Batch]:
    number, at_once = 0, min(BATCH_ROWS, rows_that_fit(len(header)))
    while some := list(islice(rows, at_once)):
        misfits: list[Misfit] = []
        fits = np.ones(len(some), dtype=bool)
        for place, row in enumerate(some):
            mistake = _find_misfit(row, len(header), may_have_nul=of_file.has_nul)
            if mistake:
                fits[place] = False
                misfits.append(Misfit(number + place + 1, *mistake, _name_cells(header, row)))
        of_file.has_nul = False
        right = [row for row, is_right in zip(some, fits, strict=True) if is_right] if misfits else some
        columns = zip(*right, strict=True) if right else [()] * len(header)
        yield Batch(
            number + 1 + np.flatnonzero(fits),
            tuple(pa.array(column, pa.string()) for column in columns),
            tuple(misfits),
        )
        number += len(some)


def _find_misfit(row: Sequence[str], width: int, *, may_have_nul: bool) -> tuple[str, str] | None:
    """Return what a row should be and what it is, where it is no row of the table."""
    if len(row) != width:
        return f"{width} cells", str(len(row))
    if may_have_nul and any("\0" in cell for cell in row):
        return "text", "a NUL character"
    return None


def _name_cells(header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    names = [*header, *(f"cell {place}" for place in range(len(header) + 1, len(row) + 1))]
    return dict(zip(names, row, strict=False))


def _is_header(cells: Sequence[str], names: Collection[str]) -> bool:
    # A category's code can happen to be a column's name; most of a row's cells cannot.
    return 2 * sum(cell in names for cell in cells) > len(cells)


def _check_width(first: Sequence[str], width: int, location: str, delimiter: str) -> None:
    if len(first) > 1 or width == 1:
        return
    others = [other for other in DELIMITERS if len(first[0].split(other)) == width]
    raise InputError(
        describe(
            f"Everything in {location} is in one column",
            expected=f"{width} columns, with {delimiter!r} between two cells",
            received="one cell in the first line",
            next_step=f"set `source.delimiter: {others[0]!r}` in project.yaml"
            if others
            else "correct `source.delimiter` in project.yaml",
        )
    )
