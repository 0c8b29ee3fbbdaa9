"""Reading a table of which nothing is known yet: every column of a file, with how the file is written."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from components.ingest_data.compression import open_uncompressed
from components.ingest_data.dialect import detect_dialect, detect_encoding, is_utf8
from components.ingest_data.locations import fetch_location
from components.ingest_data.parquet_source import read_parquet
from mulgil.errors import InputError, describe

_CHARACTERS_JUDGED = 1_000_000


@dataclass(frozen=True)
class UndescribedTable:
    """A table, and how it is to be read again.

    Attributes:
        source: The keys of `source` in project.yaml, without the location.
        columns: Every column by its name: text as a file has it, or typed.
    """

    source: dict[str, object]
    columns: dict[str, pa.ChunkedArray]


def read_undescribed(location: str, header: Sequence[str] | None, scratch: Path) -> UndescribedTable:
    """Read a CSV or Parquet file.

    Args:
        location: A resolved path or URL.
        header: The columns, where the file has no header line.
        scratch: A folder for a download.

    Raises:
        InputError: It is neither, has no rows, no header or a column twice.
        TemporaryError: A server did not answer.
    """
    path = fetch_location(location, scratch)[0]
    with open_uncompressed(path, location) as file:
        content = file.read()
    if not content:
        raise InputError(describe(f"The source is empty: {location}", expected="rows"))
    if content.startswith(b"PAR1"):
        return _read_parquet(path, location)
    return _read_text(content, location, header)


def _read_parquet(path: Path, location: str) -> UndescribedTable:
    table = read_parquet(path, location)
    batches = [batch.columns for batch in table.batches]
    _require_names(table.header, location)
    columns = [pa.chunked_array(parts) for parts in zip(*batches, strict=True)]
    return UndescribedTable({"kind": "parquet"}, dict(zip(table.header, columns, strict=True)))


def _read_text(content: bytes, location: str, header: Sequence[str] | None) -> UndescribedTable:
    encoding = detect_encoding(content)
    # The beginning, however many bytes a character takes; a last one that is cut off is not judged.
    text = codecs.getincrementaldecoder("utf-8-sig" if is_utf8(encoding) else encoding)().decode(
        content[:_CHARACTERS_JUDGED]
    )
    dialect = detect_dialect(text)
    if header is None and not dialect.has_header:
        raise InputError(
            describe(
                f"The first line of {location} is no header",
                expected="names of columns",
                received=text.splitlines()[0][:200] if text.splitlines() else "nothing",
                next_step="name the columns in their order: --header age,sex,…",
            )
        )
    names = list(header) if header is not None and not dialect.has_header else None
    columns = _divide(content, location, encoding, dialect.delimiter, dialect.quote, names)
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
    return UndescribedTable(source, columns)


def _divide(
    content: bytes, location: str, encoding: str, delimiter: str, quote: str, header: Sequence[str] | None
) -> dict[str, pa.ChunkedArray]:
    parse = pyarrow.csv.ParseOptions(
        delimiter=delimiter,
        quote_char=quote,
        newlines_in_values=True,
        # A row of another width is set aside by a run, and tells nothing here.
        invalid_row_handler=lambda row: "skip",
    )
    read = pyarrow.csv.ReadOptions(encoding=encoding, column_names=header, block_size=1 << 24)
    try:
        with pyarrow.csv.open_csv(pa.BufferReader(content), read, parse) as reader:
            names = reader.schema.names
        _require_names(names, location)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        table = pyarrow.csv.read_csv(pa.BufferReader(content), read, parse, convert)
    except (pa.ArrowException, OSError, UnicodeError) as exc:
        raise InputError(
            describe(
                f"The source cannot be divided into cells: {location}",
                expected="delimited text or Parquet",
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


def _require_names(names: Sequence[str], location: str) -> None:
    twice = [name for name, times in Counter(name.strip() for name in names).items() if times > 1]
    if twice:
        raise InputError(
            describe(
                f"Two columns of {location} have one name",
                expected="each name once",
                received=", ".join(twice),
                next_step="rename one of them in the file",
            )
        )


def _has_comma_decimals(columns: dict[str, pa.ChunkedArray]) -> bool:
    """Whether some column's cells are numbers with a comma and none of them has a point."""

    def is_such(cell: str) -> bool:
        whole, comma, fraction = cell.strip().lstrip("-+").partition(",")
        return bool(comma) and whole.isdigit() and fraction.isdigit()

    heads = [column.slice(0, 200).to_pylist() for column in columns.values()]
    return any(sum(map(is_such, cells)) > len(cells) / 2 for cells in heads)
