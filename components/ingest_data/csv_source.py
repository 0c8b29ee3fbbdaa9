"""Delimited text, read into a raw table."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence

from components.ingest_data.cells import text_cell_reader
from components.ingest_data.dialect import DELIMITERS, detect_encoding, is_utf8, marked_encoding
from components.ingest_data.table import RawTable
from mulgil.contract.sources import CsvSource
from mulgil.errors import InputError, describe


def read_csv(content: bytes, location: str, source: CsvSource, names: Collection[str]) -> RawTable:
    """Read a delimited text file.

    A header line of the file's own goes before the one that the project gives, so that a copy of the table
    with its columns in another order is still read right.

    Args:
        content: The file.
        location: Where it came from.
        source: Encoding, delimiter, quote, header and codes for missing.
        names: The columns that the dictionary knows in the source.

    Raises:
        InputError: The file has no rows, is of another encoding, or is not divided as the project says.
    """
    lines = _divide(_decode(content, location, source.encoding), location, source)
    if not lines:
        raise InputError(describe(f"The source is empty: {location}", expected="rows"))
    first = tuple(cell.strip() for cell in lines[0])
    if source.header is None or _is_header(first, {*names, *source.header}):
        header, rows = first, lines[1:]
    else:
        header, rows = source.header, lines
    _check_width(first, len(source.header or names), location, source.delimiter)
    if not rows:
        raise InputError(
            describe(
                f"The source has a header and no rows: {location}",
                expected="at least one row under the header",
                received=f"header={','.join(header)}",
            )
        )
    if source.header == header and not any(len(row) == len(header) for row in rows):
        raise InputError(
            describe(
                f"The rows of {location} do not fit the header that project.yaml gives",
                expected=f"{len(header)} cells: {', '.join(header)}",
                received=f"{len(rows[0])} cells in the first row",
                next_step="correct `source.header`",
            )
        )
    missing = frozenset(code.strip() for code in source.missing_values)
    return RawTable(location, header, rows, text_cell_reader(missing, source.decimal))


def _decode(content: bytes, location: str, encoding: str) -> str:
    # A byte-order mark says what the text is in.
    encoding = marked_encoding(content) or encoding
    try:
        return content.decode("utf-8-sig" if is_utf8(encoding) else encoding)
    except UnicodeError as exc:
        found = detect_encoding(content)
        received = (
            f"byte 0x{content[exc.start]:02x} at position {exc.start}" if hasattr(exc, "start") else str(exc)
        )
        name = "UTF-8" if is_utf8(encoding) else encoding
        raise InputError(
            describe(
                f"The source is not {name} text: {location}",
                expected=f"{name}, with or without a byte-order mark",
                received=received,
                next_step=f"save it as UTF-8, or set `source.encoding: {found}` if that is what it is in",
            )
        ) from exc


def _divide(text: str, location: str, source: CsvSource) -> list[list[str]]:
    delimiter = source.delimiter
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quotechar=source.quote, strict=True
    )
    try:
        # An empty line is no row.
        return [line for line in reader if line]
    except csv.Error as exc:
        raise InputError(
            describe(
                f"The source cannot be divided into cells at line {reader.line_num} of {location}: {exc}",
                expected=f'{delimiter!r} between cells, and a quote within a quoted cell twice: "5"" pipe"',
                next_step="correct the line, or `source.delimiter` in project.yaml",
            )
        ) from exc


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
