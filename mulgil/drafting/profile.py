"""What a column's values look like, seen whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mulgil.contract.number_signs import without_signs
from mulgil.contract.values import GREATEST_WHOLE, read_truth
from mulgil.drafting.signs import find_number_signs

# What tables write where they have no value. The first are never a category; the others are one where the
# column has other words.
MISSING_WORDS = frozenset(["?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A", "<NA>"])
MISSING_WORDS_AMONG_NUMBERS = MISSING_WORDS | {"None", "none", "-", "--", ".", "missing", "unknown", "*"}

# More values of one column than a person reads; with more, only the count is told.
VALUES_KEPT = 200

_DATES = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%y"),
    *("%m/%d/%y", "%b %d, %Y", "%b %d %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%B %d, %Y", "%d %B %Y"),
    *("%A, %B %d, %Y", "%a, %d %b %Y", "%Y년 %m월 %d일"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_TIME_FORMATS = tuple(f"{date}{clock}" for date in _DATES for clock in _CLOCKS)

# Eight digits may be a date; of amounts hardly all are one. Chosen by eye.
_COMPACT_DATE = re.compile(r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$")
_LEAST_DATES = 10

_ZERO_FIRST = re.compile(r"^[-+]?0\d")

# A word that several rows have among numbers is a code for missing. More than a few such words, or more of
# their rows, or few different numbers, are a category. Chosen by eye.
_MOST_WORDS = 5
_GREATEST_SHARE_OF_WORDS = 0.2
_LEAST_NUMBERS = 10

# So many of a column's values must be read for the column to be of a type; the others' rows are set aside.
_LEAST_READ = 0.98


class Kind(StrEnum):
    """What a column's values are, before anyone says what they mean."""

    NUMBER = "number"
    WHOLE = "whole"
    TRUTH = "truth"
    TIME = "time"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True)
class ColumnProfile:
    """A column as the data show it.

    Attributes:
        name: In the source.
        rows: How many the table has.
        missing: Of them, without a value.
        kind: What the values are.
        distinct: How many different values there are.
        values: The commonest values as text, with their rows; all where there are at most `VALUES_KEPT`.
        numbers: The values of a number or a truth, NaN where missing; empty for other kinds.
        codes: For every row which value it has, counted from 0 in no order; -1 where missing.
        missing_words: What stands in cells without a value, beside nothing.
        unread: Values that are not of the kind, with their rows; such rows are set aside.
        time_format: How a time is written, if not in ISO 8601.
        is_time_ambiguous: Whether another order of day and month reads every value, too.
        mean_length: Of a text's values.
        has_zero_first: Whether numbers are written as codes are, such as 007.
        is_text: Whether the source holds text, in which a number is written out.
        has_all_digits: Whether the source has every digit of a whole number, so that it can be read as text.
        number_signs: What stands in the text of numbers and is no part of them.
    """

    name: str
    rows: int
    missing: int
    kind: Kind
    distinct: int
    values: tuple[tuple[str, int], ...]
    numbers: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]
    missing_words: tuple[str, ...] = ()
    unread: tuple[tuple[str, int], ...] = ()
    time_format: str | None = None
    is_time_ambiguous: bool = False
    mean_length: float = 0.0
    has_zero_first: bool = False
    is_text: bool = False
    has_all_digits: bool = False
    number_signs: tuple[str, ...] = ()

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def finite(self) -> npt.NDArray[np.float64]:
        """The numbers that are there."""
        return self.numbers[np.isfinite(self.numbers)]

    @property
    def is_beyond_whole(self) -> bool:
        """Whether there are whole numbers so large that a float, and so a model, takes several for one."""
        return self.kind is Kind.WHOLE and _is_any_rounded(self.finite)

    @property
    def is_sequential(self) -> bool:
        """Whether the values count the rows, from 0 or 1 on: years and ranks do not."""
        known = self.finite
        if self.kind is not Kind.WHOLE or len(known) != self.rows or not len(known):
            return False
        return known[0] in (0, 1) and bool((np.diff(known) == 1).all())


def profile_column(name: str, cells: pa.ChunkedArray, *, decimal: str = ".") -> ColumnProfile:
    """Look at a column.

    Args:
        name: In the source.
        cells: Its values: text as a file has it, or typed.
        decimal: The sign before a number's fraction in text.
    """
    if pa.types.is_dictionary(cells.type):
        cells = pc.cast(cells, cells.type.value_type)
    if pa.types.is_string_view(cells.type):
        cells = pc.cast(cells, pa.string())
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return _profile_text(name, cells, decimal)
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        return _profile_typed(name, cells, Kind.TIME)
    if pa.types.is_boolean(cells.type):
        return _profile_typed(name, cells, Kind.TRUTH)
    if pa.types.is_integer(cells.type):
        return replace(_profile_typed(name, cells, Kind.WHOLE), has_all_digits=True)
    if pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type):
        return _profile_typed(name, cells, Kind.NUMBER)
    nothing = np.full(len(cells), -1)
    kind = Kind.TEXT if pa.types.is_null(cells.type) else Kind.OTHER
    return ColumnProfile(name, len(cells), cells.null_count, kind, 0, (), np.empty(0), nothing)


def _profile_typed(name: str, cells: pa.ChunkedArray, kind: Kind) -> ColumnProfile:
    if kind is Kind.NUMBER:
        cells = pc.cast(cells, pa.float64())
        # NaN is a missing value.
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, pa.float64()), cells)
    encoded = cells.combine_chunks().dictionary_encode()
    codes = _codes(encoded)
    words = [_word(value) for value in encoded.dictionary.to_pylist()]
    of_values = np.empty(0)
    if kind is not Kind.TIME:
        of_values = np.array([float(value) for value in encoded.dictionary.to_pylist()], dtype=np.float64)
        if kind is Kind.NUMBER and len(of_values) and np.all(of_values == np.floor(of_values)):
            kind = Kind.WHOLE
    return _profile(name, codes, words, kind, of_values)


def _profile_text(name: str, cells: pa.ChunkedArray, decimal: str) -> ColumnProfile:
    encoded = pc.utf8_trim_whitespace(cells.combine_chunks()).dictionary_encode()
    codes, words = _codes(encoded), [str(word) for word in encoded.dictionary.to_pylist()]
    rows_of = np.bincount(codes[codes >= 0], minlength=len(words))
    numbers = _numbers(encoded.dictionary, words, decimal)
    no_numbers = MISSING_WORDS_AMONG_NUMBERS | _words_among(numbers, words, rows_of)
    are_numbers = _share(~np.isnan(numbers), words, rows_of, no_numbers)
    has_zero_first = any(map(_ZERO_FIRST.match, words))
    plain = [word for word in words if word and word not in MISSING_WORDS_AMONG_NUMBERS]
    are_dates = len(plain) >= _LEAST_DATES and all(map(_COMPACT_DATE.match, plain))
    if are_numbers >= _LEAST_READ and not has_zero_first and not are_dates:
        is_read = ~np.isnan(numbers)
        kind = Kind.WHOLE if np.all(numbers[is_read] == np.floor(numbers[is_read])) else Kind.NUMBER
        return _read_text_profile(name, codes, words, kind, numbers, is_read, no_numbers)
    signs = find_number_signs(plain, decimal)
    if signs and not has_zero_first:
        unsigned = [without_signs(word, signs, decimal) for word in words]
        numbers = np.array([_number(word, decimal) for word in unsigned], dtype=np.float64)
        if _share(~np.isnan(numbers), words, rows_of, MISSING_WORDS_AMONG_NUMBERS) >= _LEAST_READ:
            is_read = ~np.isnan(numbers)
            kind = Kind.WHOLE if np.all(numbers[is_read] == np.floor(numbers[is_read])) else Kind.NUMBER
            return _read_text_profile(
                name, codes, words, kind, numbers, is_read, MISSING_WORDS_AMONG_NUMBERS, number_signs=signs
            )
    truths = [read_truth(word) for word in words]
    is_truth = np.array([truth is not None for truth in truths], dtype=bool)
    if len(set(truths) - {None}) == 2 and _share(is_truth, words, rows_of, MISSING_WORDS) == 1:
        of_values = np.array([np.nan if truth is None else float(truth) for truth in truths])
        return _read_text_profile(name, codes, words, Kind.TRUTH, of_values, is_truth, MISSING_WORDS)
    form = _time_format(words)
    if form is not None:
        text, is_ambiguous = form
        is_time = np.array([_is_time(word, text) for word in words], dtype=bool)
        return _read_text_profile(
            name, codes, words, Kind.TIME, np.empty(0), is_time, MISSING_WORDS,
            time_format=text or None, is_time_ambiguous=is_ambiguous,
        )  # fmt: skip
    is_word = np.array([bool(word) and word not in MISSING_WORDS for word in words], dtype=bool)
    return _read_text_profile(
        name, codes, words, Kind.TEXT, np.empty(0), is_word, MISSING_WORDS, has_zero_first=has_zero_first
    )


def _read_text_profile(
    name: str,
    codes: npt.NDArray[np.int64],
    words: Sequence[str],
    kind: Kind,
    of_values: npt.NDArray[np.float64],
    is_read: npt.NDArray[np.bool_],
    missing_words: frozenset[str],
    **more: object,
) -> ColumnProfile:
    """Divide a text column's words into values, words for missing and what cannot be read."""
    rows_of = np.bincount(codes[codes >= 0], minlength=len(words))
    missing = [word for word, read in zip(words, is_read, strict=True) if not read and word in missing_words]
    unread = [
        (word, int(rows))
        for word, rows, read in zip(words, rows_of, is_read, strict=True)
        if word and not read and word not in missing_words
    ]
    # Values alone are numbered; with no code left the array still needs one place to look at.
    renumbered = np.append(np.where(is_read, np.cumsum(is_read) - 1, -1), -1)
    kept = [word for word, read in zip(words, is_read, strict=True) if read]
    return _profile(
        name,
        renumbered[codes],
        kept,
        kind,
        of_values[is_read] if len(of_values) else of_values,
        missing_words=tuple(sorted(missing)),
        unread=tuple(sorted(unread, key=lambda pair: -pair[1])),
        is_text=True,
        has_all_digits=True,
        **more,
    )


def _profile(
    name: str,
    codes: npt.NDArray[np.int64],
    words: Sequence[str],
    kind: Kind,
    of_values: npt.NDArray[np.float64],
    **more: object,
) -> ColumnProfile:
    rows_of = np.bincount(codes[codes >= 0], minlength=len(words))
    commonest = np.argsort(-rows_of, kind="stable")[: VALUES_KEPT + 1]
    lengths = np.array([len(word) for word in words], dtype=np.float64)
    present = int(rows_of.sum())
    # 1 and 1.0 are one number; of great ones a float makes one of several.
    is_told_by_words = not len(of_values) or (kind is Kind.WHOLE and _is_any_rounded(of_values))
    return ColumnProfile(
        name=name,
        rows=len(codes),
        missing=len(codes) - present,
        kind=kind,
        distinct=len(words) if is_told_by_words else len(np.unique(of_values)),
        values=tuple((words[place], int(rows_of[place])) for place in commonest),
        numbers=np.append(of_values, np.nan)[codes] if len(of_values) else np.empty(0),
        codes=codes,
        mean_length=float((lengths * rows_of).sum() / present) if present else 0.0,
        **more,  # type: ignore[arg-type]
    )


def _is_any_rounded(whole: npt.NDArray[np.float64]) -> bool:
    return bool((np.abs(whole) > GREATEST_WHOLE).any())


def _codes(encoded: pa.DictionaryArray) -> npt.NDArray[np.int64]:
    codes: npt.NDArray[np.int64] = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    return codes


def _word(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _share(
    is_read: npt.NDArray[np.bool_],
    words: Sequence[str],
    rows_of: npt.NDArray[np.int64],
    missing_words: frozenset[str],
) -> float:
    """Return which share of the rows with a value is read."""
    has_value = np.array([bool(word) and word not in missing_words for word in words], dtype=bool)
    rows = rows_of[has_value].sum()
    return float(rows_of[is_read & has_value].sum() / rows) if rows else 0.0


def _words_among(
    numbers: npt.NDArray[np.float64], words: Sequence[str], rows_of: npt.NDArray[np.int64]
) -> frozenset[str]:
    """Return the few words that several rows have where nearly all others have numbers."""
    is_number = ~np.isnan(numbers)
    there = [
        (word, int(rows))
        for word, rows, read in zip(words, rows_of, is_number, strict=True)
        if word and not read and rows > 1 and word not in MISSING_WORDS_AMONG_NUMBERS
    ]
    rows = sum(rows for _, rows in there)
    is_few = len(there) <= _MOST_WORDS and rows <= _GREATEST_SHARE_OF_WORDS * (
        rows + rows_of[is_number].sum()
    )
    are_many = is_number.sum() > _LEAST_NUMBERS
    return frozenset(word for word, _ in there) if is_few and are_many else frozenset()


def _numbers(vocabulary: pa.Array, words: Sequence[str], decimal: str) -> npt.NDArray[np.float64]:
    """Return every word as a number, NaN where it is none."""
    if decimal != ".":
        # The cast would take a point between thousands for that before a fraction.
        return np.array([_number(word, decimal) for word in words], dtype=np.float64)
    try:
        numbers: npt.NDArray[np.float64] = pc.cast(vocabulary, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return np.array([_number(word, decimal) for word in words], dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _number(word: str, decimal: str) -> float:
    if decimal == ",":
        if "." in word:
            return float("nan")
        word = word.replace(",", ".")
    if "_" in word:
        return float("nan")
    try:
        number = float(word)
    except ValueError:
        return float("nan")
    return number if np.isfinite(number) else float("nan")


def _time_format(words: Sequence[str]) -> tuple[str, bool] | None:
    """Return the format that reads nearly every word, empty for ISO 8601, and whether another does, too."""
    candidates = [word for word in words if word and word not in MISSING_WORDS][:2000]
    # A bare number is a date to ISO 8601 as well.
    if not candidates or all(word.isdigit() and len(word) != 8 for word in candidates):
        return None
    least = _LEAST_READ * len(candidates)
    if sum(_is_time(word, "") for word in candidates) >= least:
        return "", False
    # Of a text few words tell that none of the formats is its.
    possible = [form for form in _TIME_FORMATS if any(_is_time(word, form) for word in candidates[:20])]
    found = [form for form in possible if sum(_is_time(word, form) for word in candidates) >= least]
    return (found[0], len(found) > 1) if found else None


def _is_time(word: str, form: str) -> bool:
    try:
        datetime.strptime(word, form) if form else datetime.fromisoformat(word)
    except ValueError:
        return False
    return True
