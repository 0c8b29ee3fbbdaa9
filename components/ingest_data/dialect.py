"""How a delimited text file is written: its encoding, delimiter, quote and header.

A run reads what `project.yaml` says, because a guess could silently turn one code into another. These
guesses are what `mulgil init` writes there, and what an error's message proposes.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import charset_normalizer

DELIMITERS = ",;\t|"

# UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What texts of western Europe have beside ASCII; a sign such as ° is never followed by a letter.
_WESTERN = re.compile(r"^([\x00-\x7fÀ-ÖØ-öø-ÿŒœßªº«»¡¿–—‘’“”„‚…•]|[€£¥§©®°±²³µ·¼½¾×÷™†‡‰´¨¸](?![a-zà-ÿ]))*$")
_WORD_WITH_ACCENTS = re.compile(r"\w*[À-ÿŒœ]\w*")

_BEYOND_ASCII = bytes(range(128, 256))

# Enough to tell languages apart; more costs seconds. Chosen by eye.
_BYTES_JUDGED = 200_000
_LINES_JUDGED = 200

# So many lines have as many words as the others where spaces divide cells; chosen by eye.
_LEAST_BY_SPACES = 0.95


@dataclass(frozen=True)
class Dialect:
    """How a file's lines are divided.

    Attributes:
        delimiter: The sign between two cells.
        quote: The sign around a quoted cell.
        has_header: Whether the first line names the columns.
    """

    delimiter: str
    quote: str
    has_header: bool


def marked_encoding(content: bytes) -> str | None:
    """Return the encoding that a byte-order mark says, if there is one."""
    return next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)


def is_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, under any of its names."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def detect_encoding(content: bytes) -> str:
    """Return the encoding that a text is most probably in.

    Args:
        content: The file, or its beginning.
    """
    marked = marked_encoding(content)
    if marked is not None:
        return marked
    try:
        # A beginning may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError as exc:
        # Around what is not ASCII; a large table may begin with none.
        part = content[max(0, exc.start - _BYTES_JUDGED // 2) : exc.start + _BYTES_JUDGED // 2]
        # Of a file of two encodings, its lines of UTF-8 tell nothing of the other.
        part = b"".join(line for line in io.BytesIO(part) if not _is_utf8_beyond_ascii(line))
        western = part.decode("cp1252", errors="replace")
        if _is_western(western):
            return "cp1252"
        best = charset_normalizer.from_bytes(part).best()
        # Where nothing tells it from others, Windows' superset of Latin-1, which most such files are in.
        if best is None or str(best) == western:
            return "cp1252"
        return best.encoding.replace("_", "-")
    return "utf-8"


def count_utf8_lines(content: bytes, encoding: str) -> int:
    """Return how many lines of a text are in UTF-8 beyond ASCII, though the whole of it is not.

    In an encoding of one byte a letter such a line has signs that hardly follow each other, as in `KÃ¶ln`. Of
    others nothing can be told so.

    Args:
        content: The file.
        encoding: What the whole is read as.
    """
    if is_utf8(encoding) or len(_BEYOND_ASCII.decode(encoding, errors="replace")) != len(_BEYOND_ASCII):
        return 0
    return sum(_is_utf8_beyond_ascii(line) for line in io.BytesIO(content))


def _is_utf8_beyond_ascii(line: bytes) -> bool:
    if line.isascii():
        return False
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_western(text: str) -> bool:
    """Whether what Windows' Latin-1 makes of bytes are words, mostly of ASCII as Latin languages' are.

    Short cells tell the languages' own detectors little: of `Köln` they make Baltic.
    """
    if not _WESTERN.match(text):
        return False
    words = "".join(_WORD_WITH_ACCENTS.findall(text))
    accented = sum(not letter.isascii() for letter in words)
    return accented <= len(words) / 2


def detect_dialect(text: str, known: Collection[str] = ()) -> Dialect:
    """Return how a text's lines are most probably divided.

    Args:
        text: The beginning of the file; a last line that is cut off is not judged.
        known: Columns that the table is said to have; a first line that names one is a header.
    """
    quote = _detect_quote(text)
    rows = {delimiter: _rows(text, delimiter, quote) for delimiter in f"{DELIMITERS} "}
    delimiter = max(DELIMITERS, key=lambda sign: _agreement(rows[sign]))
    # Words have spaces between them, too: only where no other sign divides, and all lines alike.
    if not _agreement(rows[delimiter])[0] and _agreement(rows[" "])[0] >= _LEAST_BY_SPACES:
        delimiter = " "
    return Dialect(delimiter, quote, _has_header(rows[delimiter], known))


def is_aligned(text: str) -> bool:
    """Whether a text's cells stand under each other, by as many spaces as that takes."""
    lines = [line.split() for line in text.splitlines()[:_LINES_JUDGED] if line.strip()]
    has_runs = any("  " in line.strip() for line in text.splitlines()[:_LINES_JUDGED])
    return has_runs and len(lines) > 2 and _agreement(lines)[0] >= _LEAST_BY_SPACES


def _detect_quote(text: str) -> str:
    pairs = {
        quote: sum(text.count(f"{sign}{quote}") + text.count(f"{quote}{sign}") for sign in DELIMITERS)
        for quote in "\"'"
    }
    return "'" if pairs["'"] > max(2, pairs['"']) else '"'


def _rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _LINES_JUDGED:
                break
    except csv.Error:
        return rows
    return rows[:-1] if len(rows) > 2 and not text.endswith("\n") else rows


def _agreement(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """Return which share of the rows have the commonest number of cells, and how many cells those are."""
    if not rows:
        return 0.0, 0
    ((width, times),) = Counter(map(len, rows)).most_common(1)
    # A file of one cell a line agrees with every delimiter.
    return (times / len(rows) if width > 1 else 0.0), width


def names_columns(cells: Sequence[str], known: Collection[str]) -> bool:
    """Whether a line is a header: it has one of the names that are known, and no number."""
    return any(cell in known for cell in cells) and not any(map(_is_number, cells))


def _has_header(rows: Sequence[Sequence[str]], known: Collection[str]) -> bool:
    """Whether the first row looks like names: no number, none empty but the first, none twice."""
    if not rows:
        return True
    first = [cell.strip() for cell in rows[0]]
    if any(cell in known for cell in first):
        return True
    if len(set(first)) < len(first) or any(not cell for cell in first[1:]):
        # Two equal cells are a row, unless every row below has a number where they are words.
        return any(_is_number(cell) for row in rows[1:] for cell in row) and not any(map(_is_number, first))
    return not any(_is_number(cell) or cell == "?" for cell in first)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
