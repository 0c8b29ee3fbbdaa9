"""Reading delimited text of which nothing is known yet, with how it is written."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from components.ingest_data.compression import open_uncompressed
from components.ingest_data.dialect import (
    DELIMITERS,
    Dialect,
    count_utf8_lines,
    detect_dialect,
    detect_encoding,
    is_aligned,
    is_utf8,
    names_columns,
)
from components.ingest_data.lines import GREATEST_LINE, describe_endless
from components.ingest_data.structure import name_nameless, refuse_repeated_names
from mulgil.errors import InputError, describe

_CHARACTERS_JUDGED = 1_000_000

# A title has a few lines; more is another kind of file. Chosen by eye.
_LINES_OF_TITLES = 30
_CHARACTERS_OF_TITLES = 20_000

_COMMA_DECIMAL = re.compile(r"^[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+\D{0,4}$")
# Three digits may be thousands.
_SURE_COMMA_DECIMAL = re.compile(r"^[-+]?(\d+|\d{1,3}(\.\d{3})+),(\d{1,2}|\d{4,})\D{0,4}$")
_SURE_POINT_DECIMAL = re.compile(r"^[-+]?\d*\.(\d{1,2}|\d{4,})$")


def read_undescribed_text(
    files: Mapping[str, Path], header: Sequence[str] | None, known: Collection[str]
) -> tuple[dict[str, object], dict[str, pa.ChunkedArray], int]:
    """Read files that are written alike, which the first of them tells.

    Args:
        files: Each by what messages call it.
        header: The columns, where the files have no header line.
        known: Columns that the table is said to have; a first line that names one is a header.

    Returns:
        The keys of `source` in project.yaml, without the location; every column's text by its name; and how
        many lines are UTF-8 where the text is read as another encoding.

    Raises:
        InputError: They are no delimited text, have no rows, no header, other columns or a column twice.
    """
    contents = ((location, _unpack(path, location)) for location, path in files.items())
    location, content = next(contents)
    encoding = detect_encoding(content)
    dialect = _detect(content, encoding, location, header, known)
    names = list(header) if header is not None and not dialect.has_header else None
    columns = _divide(content, location, encoding, dialect, names)
    lines_of_utf8 = count_utf8_lines(content, encoding)
    parts = {name: [*column.chunks] for name, column in columns.items()}
    for other, more in contents:
        found = _divide(more, other, encoding, dialect, names)
        if found.keys() != parts.keys():
            raise InputError(
                describe(
                    f"{other} has other columns than {location}",
                    expected=", ".join(parts),
                    received=", ".join(found),
                    next_step="give files of the same columns",
                )
            )
        for name, column in found.items():
            parts[name] += column.chunks
        lines_of_utf8 += count_utf8_lines(more, encoding)
    columns = {name: pa.chunked_array(chunks, pa.string()) for name, chunks in parts.items()}
    source: dict[str, object] = {"kind": "csv"}
    if dialect.delimiter != ",":
        source["delimiter"] = dialect.delimiter
    if dialect.quote != '"':
        source["quote"] = dialect.quote
    if not is_utf8(encoding):
        source["encoding"] = encoding
    if names is not None:
        source["header"] = names
    if _has_comma_decimals(columns, dialect.delimiter):
        source["decimal"] = ","
    return source, columns, lines_of_utf8


def _unpack(path: Path, location: str) -> bytes:
    unpacked = io.BytesIO()
    with open_uncompressed(path, location) as file:
        while part := file.read(GREATEST_LINE):
            if len(part) == GREATEST_LINE and b"\n" not in part and b"\r" not in part:
                raise describe_endless(location)
            unpacked.write(part)
    content = unpacked.getvalue()
    if not content:
        raise InputError(describe(f"The source is empty: {location}", expected="rows"))
    return content


def _detect(
    content: bytes, encoding: str, location: str, header: Sequence[str] | None, known: Collection[str]
) -> Dialect:
    # The beginning, however many bytes a character takes; a last one that is cut off is not judged.
    decoder = codecs.getincrementaldecoder("utf-8-sig" if is_utf8(encoding) else encoding)()
    try:
        text = decoder.decode(content[:_CHARACTERS_JUDGED])
    except UnicodeDecodeError as exc:
        raise InputError(
            describe(
                f"The source is no text: {location}",
                expected="delimited text, JSON lines or Parquet",
                received=f"bytes that are neither UTF-8 nor {encoding}, such as 0x{content[exc.start]:02x}",
                next_step="save it as UTF-8, or write it as Parquet",
            )
        ) from exc
    dialect = detect_dialect(text, known)
    if not any(sign in text for sign in DELIMITERS) and is_aligned(text):
        raise InputError(
            describe(
                f"The cells of {location} are divided by several spaces",
                expected="one sign between two cells, such as a comma or a tab",
                next_step=r"write it so: pandas.read_csv(FILE, sep=r'\s+').to_csv(FILE, index=False)",
            )
        )
    if header is None:
        _refuse_lines_before_the_header(text, dialect, location, known)
    if header is None and not dialect.has_header:
        raise InputError(
            describe(
                f"The first line of {location} is no header",
                expected="names of columns",
                received=text.splitlines()[0][:200] if text.splitlines() else "nothing",
                next_step="name the columns in their order: --header age,sex,…",
            )
        )
    return dialect


def _refuse_lines_before_the_header(
    text: str, dialect: Dialect, location: str, known: Collection[str]
) -> None:
    """Refuse a file whose header is further down, under a title; a run reads it from its first line."""
    beginning = io.StringIO(text[:_CHARACTERS_OF_TITLES], newline="")
    lines = list(islice(beginning, _LINES_OF_TITLES))
    if not lines:
        return
    for delimiter in dict.fromkeys([dialect.delimiter, *DELIMITERS]):
        rows = [[cell.strip() for cell in row] for row in _cells(lines, delimiter, dialect.quote)]
        place = next((place for place, row in enumerate(rows) if names_columns(row, known)), 0)
        # A word of the table that is like the name stands under a header that is whole.
        is_title = len(rows[0]) != len(rows[place]) or not all(rows[0][1:])
        if place and is_title:
            raise InputError(
                describe(
                    f"The header of {location} is not its first line",
                    expected="names of columns in the first line",
                    received=f"{', '.join(rows[place])[:200]} in line {place + 1}",
                    next_step=f"remove the {place} lines before it"
                    if place > 1
                    else "remove the line before it",
                )
            )


def _cells(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    """Divide each line by itself: a title's quotes need not be closed."""
    return [next(csv.reader([line], delimiter=delimiter, quotechar=quote), []) for line in lines]


def _divide(
    content: bytes, location: str, encoding: str, dialect: Dialect, header: Sequence[str] | None
) -> dict[str, pa.ChunkedArray]:
    parse = pyarrow.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char=dialect.quote,
        newlines_in_values=True,
        # A row of another width is set aside by a run, and tells nothing here.
        invalid_row_handler=lambda row: "skip",
    )
    read = pyarrow.csv.ReadOptions(encoding=encoding, column_names=header, block_size=1 << 24)
    try:
        with pyarrow.csv.open_csv(pa.BufferReader(content), read, parse) as reader:
            written = reader.schema.names
        names = name_nameless([name.strip() for name in written])
        refuse_repeated_names(names, location)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(written, pa.string()), strings_can_be_null=False
        )
        table = pyarrow.csv.read_csv(pa.BufferReader(content), read, parse, convert)
    except (pa.ArrowException, OSError, UnicodeError) as exc:
        raise InputError(
            describe(
                f"The source cannot be divided into cells: {location}",
                expected="delimited text, JSON lines or Parquet",
                received=str(exc).splitlines()[0],
            )
        ) from exc
    if not table.num_rows:
        raise InputError(
            describe(
                f"The source has a header and no rows: {location}",
                expected="at least one row under the header",
                received=f"header={','.join(names)}",
            )
        )
    return dict(zip(names, table.columns, strict=True))


def _has_comma_decimals(columns: Mapping[str, pa.ChunkedArray], delimiter: str) -> bool:
    """Whether more columns have numbers with a comma before their fraction than with a point."""
    commas = _COMMA_DECIMAL if delimiter != "," else _SURE_COMMA_DECIMAL
    heads = [
        [c.strip() for c in column.slice(0, 200).to_pylist() if c.strip()] for column in columns.values()
    ]
    by_comma, by_point = (
        sum(sum(bool(pattern.match(cell)) for cell in cells) > len(cells) / 2 for cells in heads)
        for pattern in (commas, _SURE_POINT_DECIMAL)
    )
    return by_comma > by_point
