"""Reading delimited text of which nothing is known yet, with how it is written."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from components.ingest_data.compression import open_uncompressed
from components.ingest_data.dialect import Dialect, count_utf8_lines, detect_dialect, detect_encoding, is_utf8
from components.ingest_data.lines import GREATEST_LINE, describe_endless
from components.ingest_data.structure import refuse_repeated_names
from mulgil.errors import InputError, describe

_CHARACTERS_JUDGED = 1_000_000

_COMMA_DECIMAL = re.compile(r"^[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+\D{0,4}$")


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
    if dialect.delimiter != "," and _has_comma_decimals(columns):
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
    text = codecs.getincrementaldecoder("utf-8-sig" if is_utf8(encoding) else encoding)().decode(
        content[:_CHARACTERS_JUDGED]
    )
    dialect = detect_dialect(text, known)
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
            names = reader.schema.names
        refuse_repeated_names(names, location)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
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
    return {name.strip(): column for name, column in zip(names, table.columns, strict=True)}


def _has_comma_decimals(columns: Mapping[str, pa.ChunkedArray]) -> bool:
    """Whether some column's cells are numbers with a comma before their fraction."""
    heads = [column.slice(0, 200).to_pylist() for column in columns.values()]
    return any(
        sum(bool(_COMMA_DECIMAL.match(cell.strip())) for cell in cells) > len(cells) / 2 for cells in heads
    )
