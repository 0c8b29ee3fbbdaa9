"""Ranges that new values of the same kind keep to, and the codes among numbers that stand for missing."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# New rows go a little beyond those that are known. A quarter of the span on each side is chosen by eye.
_MARGIN = 0.25

# So many interquartile ranges beyond the quartiles is no measurement of the same thing; chosen by eye.
_FAR = 20.0

# Below it a number is far smaller than any other of its column; and so many times as far from the others as
# these are from each other zero is no count among counts. Chosen by eye.
_LEAST_OF_MEDIAN = 0.2
_STEPS_APART = 5

# What surveys write for refused, not known and not there is so small that it may be a value as well.
_SMALL_CODES = (-1, -7, -8, -9)
_CODES = (*(sign * int("9" * digits) for digits in range(2, 10) for sign in (-1, 1)), *_SMALL_CODES)

# Whole numbers up to it are coded answers rather than measurements; chosen by eye.
_GREATEST_ANSWER = 10

# How many of their spans a code is away from all others; chosen by eye.
_SPANS_APART = 2

# How much commoner than any other value a code is that lies among them; chosen by eye.
_COMMONER = 10


def propose_range(values: Floats, *, is_whole: bool) -> tuple[float, float]:
    """Return a range that holds every value, with room, in round numbers, and on the same side of zero."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** (math.floor(math.log10(span)) - 1)
    if is_whole:
        step = max(1.0, step)
    wide_low = math.floor((low - _MARGIN * span) / step) * step
    wide_high = math.ceil((high + _MARGIN * span) / step) * step
    wide_low = max(0.0, wide_low) if low >= 0 else wide_low
    wide_high = min(0.0, wide_high) if high <= 0 else wide_high
    # What a step of 0.1 adds up to is not round in binary.
    return min(low, _tidy(wide_low, step)), max(high, _tidy(wide_high, step))


def find_missing_codes(values: Floats) -> tuple[float, ...]:
    """Return the numbers that stand apart from all others as codes for missing do, such as -999."""
    distinct, rows_of = np.unique(values, return_counts=True)
    there = _codes_there(distinct, rows_of)
    return tuple(code for code in there if _stands_apart(code, distinct, rows_of))


def find_doubtful_codes(values: Floats) -> tuple[float, ...]:
    """Return the numbers that are codes for missing or values, which nothing about them tells.

    They are written as codes are, such as -9, and no others are below zero: of degrees as of counts.
    """
    distinct, rows_of = np.unique(values, return_counts=True)
    if not len(_others(distinct)) or _others(distinct).min() < 0:
        return ()
    return tuple(
        code
        for code in _codes_there(distinct, rows_of)
        if code in _SMALL_CODES and not _stands_apart(code, distinct, rows_of)
    )


def _codes_there(distinct: Floats, rows_of: npt.NDArray[np.int64]) -> tuple[float, ...]:
    """Return the codes that several rows have, where there are values to compare them with."""
    if len(_others(distinct)) < 3:
        return ()
    repeated = distinct[rows_of > 1]
    return tuple(float(code) for code in _CODES if code in repeated)


def _others(distinct: Floats) -> Floats:
    """Return what is written as no code: another code of the same column is nothing to compare with."""
    return distinct[~np.isin(distinct, _CODES)]


def _stands_apart(code: float, distinct: Floats, rows_of: npt.NDArray[np.int64]) -> bool:
    others = _others(distinct)
    low, high = float(others.min()), float(others.max())
    commonest = int(rows_of[np.isin(distinct, others)].max())
    is_commoner = int(rows_of[distinct == code][0]) > _COMMONER * commonest
    reach = _SPANS_APART * (high - low)
    if code not in _SMALL_CODES:
        # -999 is a code among what cannot be negative, 99 among what is never near it.
        return is_commoner or code < 0 <= low or (code > 0 and code > high + reach)
    # -9 is one beside coded answers, or far below all others; beside measurements it may be one of them.
    are_answers = high <= _GREATEST_ANSWER and bool(np.all(others == np.floor(others)))
    return low >= 0 and (are_answers or is_commoner or code < low - reach)


def has_impossible_zero(values: Floats) -> bool:
    """Whether zero stands far below every other value, as where a measurement was not taken."""
    is_zero = values == 0
    others = values[~is_zero]
    if not 2 <= is_zero.sum() <= len(values) / 2 or len(np.unique(others)) < 20:
        return False
    step = float(np.median(np.diff(np.unique(others))))
    return bool(others.min() > max(_LEAST_OF_MEDIAN * np.median(others), _STEPS_APART * step))


def find_far_values(values: Floats) -> tuple[float, ...]:
    """Return the least and the greatest value where they are far from all that is usual."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = _FAR * (upper - lower)
    if not reach:
        return ()
    ends = (float(values.min()), float(values.max()))
    return tuple(end for end in ends if end < lower - reach or end > upper + reach)


def _tidy(value: float, step: float) -> float:
    return round(value, max(0, -math.floor(math.log10(step)))) if step < 1 else float(round(value))
