"""Files that are no table of text or Parquet, told by their first bytes, with what makes a table of them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from mulgil.errors import InputError, describe

# So many bytes tell.
BYTES_JUDGED = 512

# Some editors put it before UTF-8.
_MARK = b"\xef\xbb\xbf"

_SAVE_SHEET = "save the sheet as CSV, or read it in a function of the project: `source.kind: python`"
_WRITE_PARQUET = "write it as Parquet or CSV, such as with pandas"

_PAGE = rb"(?i)\s*<(!doctype|html|\?xml)"

# What a file begins with, what it then is, and what to do. A zip archive is looked into.
_KINDS = (
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet of Excel's old form", _SAVE_SHEET),
    (rb"SQLite format 3\x00", "a database of SQLite", "name it by its URL: sqlite:///{location}"),
    (rb"\s*\[\s*[{\[\]]", "one JSON array", "write an object a line: jq -c '.[]' FILE > FILE.jsonl"),
    (_PAGE, "a page of a website, or XML", "fetch the data itself, as CSV"),
    (rb"ARROW1\x00\x00", "a file of Arrow's (Feather)", _WRITE_PARQUET),
    (rb"\x89HDF", "a file of HDF5", _WRITE_PARQUET),
    # A column may be called ORCID.
    (rb"ORC.*\x00", "a file of ORC", _WRITE_PARQUET),
    (rb"Obj\x01", "a file of Avro", _WRITE_PARQUET),
    (rb"\x80[\x02-\x05].", "a pickle of Python", _WRITE_PARQUET),
    (rb"RD[AX][23]\n", "a file of R's", "write it as CSV: write.csv(rows, FILE, row.names = FALSE)"),
    (rb"\$FL[23]", "a file of SPSS", _WRITE_PARQUET),
    (rb"<stata_dta>", "a file of Stata", _WRITE_PARQUET),
    (rb"%PDF", "a PDF", "fetch the data itself, as CSV"),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it, or compress it with gzip"),
    (rb"7z\xbc\xaf\x27\x1c", "an archive of 7-Zip", "unpack it, and name its table"),
    (rb"Rar!", "an archive of RAR", "unpack it, and name its table"),
    (rb"(?s).{257}ustar", "a tar archive", "unpack it, and name its table"),
)
_PATTERNS = tuple((re.compile(pattern, re.S), kind, remedy) for pattern, kind, remedy in _KINDS)


def refuse_foreign(beginning: bytes, path: Path, location: str) -> None:
    """Refuse what is surely no table of text and no Parquet file.

    Args:
        beginning: Its first bytes, unpacked; at least `BYTES_JUDGED`, where there are so many.
        path: The file.
        location: What messages call it.

    Raises:
        InputError: It is of another kind; what to do with that is said.
    """
    found = _look_into_zip(path) if beginning.startswith(b"PK\x03\x04") else _recognise(beginning)
    if found is not None:
        kind, remedy = found
        raise InputError(
            describe(
                f"{location} is {kind}",
                expected="delimited text, JSON lines or Parquet",
                next_step=remedy.replace("{location}", location),
            )
        )


def is_page(beginning: bytes) -> bool:
    """Whether what begins so is a page of a website, or XML."""
    return re.match(_PAGE, beginning.removeprefix(_MARK)) is not None


def _recognise(beginning: bytes) -> tuple[str, str] | None:
    text = beginning.removeprefix(_MARK)
    return next(((kind, remedy) for pattern, kind, remedy in _PATTERNS if pattern.match(text)), None)


def _look_into_zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    if any(name.startswith("xl/") for name in names):
        return "a spreadsheet of Excel", _SAVE_SHEET
    tables = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    shown = f" of {', '.join(tables[:5])}" + (f", and {len(tables) - 5} more" if len(tables) > 5 else "")
    return f"a zip archive{shown if tables else ''}", "unpack it, and name its table"
