"""Why a prediction is what it is: Shapley values of the columns, against a background of training rows.

A column's share is what it changes in the prediction, in the mean over all orders in which columns are taken
from the instance instead of from a background row. The shares add up to the prediction less the background's
mean prediction, exactly, however few orders were drawn.

Source:
    Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value based on sampling", Computers &
    Operations Research 36 (2009). Štrumbelj and Kononenko, "Explaining prediction models and individual
    predictions with feature contributions", Knowledge and Information Systems 41 (2014). An order and its
    reverse are drawn together: Mitchell et al., "Sampling permutations for Shapley value estimation", JMLR 23
    (2022).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Encoded = npt.NDArray[np.float32]

# Rows that the exact way may compute for an instance: a dozen columns against few rows. Chosen by eye.
_MOST_EXACT_ROWS = 16_384
# Predictions between two looks at the clock: a few tenths of a millisecond of a network. Chosen by eye.
_ROWS_AT_ONCE = 256
# Draws after which an estimate is good enough for a reader: its error is given. Chosen by eye.
_MOST_ROUNDS = 16


class OutOfTimeError(Exception):
    """An explanation was not done in time."""


@dataclass(frozen=True)
class Explanation:
    """One instance's.

    Attributes:
        expectation: Mean prediction of the background, by output.
        prediction: Of the instance, by output.
        shares: By column and output; their sum over columns is prediction less expectation.
        errors: Standard error of each share; zeros where the shares are exact, `None` where the time was
            enough for one draw only.
    """

    expectation: Floats
    prediction: Floats
    shares: Floats
    errors: Floats | None


class Explainer:
    """Explains a model of encoded rows by raw columns.

    Args:
        predict: Encoded rows to predictions, of shape (rows,) or (rows, outputs).
        widths: How many numbers of an encoded row each column has, in order.
        background: Encoded rows to compare with, at least one.
    """

    def __init__(
        self,
        predict: Callable[[Encoded], npt.NDArray[np.float32]],
        widths: Sequence[int],
        background: Encoded,
    ) -> None:
        self._predict_encoded = predict
        self._columns = len(widths)
        self._column_of = np.repeat(np.arange(len(widths)), widths)
        self._background = background
        # A way through all columns begins with the background row itself, so that this is the same mean.
        self.expectation = self._predict(background).mean(axis=0)

    def explain(
        self, instance: Encoded, *, seed: int = 0, deadline: float = math.inf, end: float = math.inf
    ) -> Explanation:
        """Explain one prediction: exactly where there is time for it, else by draws.

        Args:
            instance: One encoded row.
            seed: The same seed gives the same answer where the time is enough.
            deadline: When to stop, by `time.monotonic`, as soon as there is an answer.
            end: When to stop without one.

        Shapes:
            (width,).

        Raises:
            OutOfTimeError: There is no answer by the end.
        """
        prediction = self._predict(instance[None, :])[0]
        if 2**self._columns * len(self._background) <= _MOST_EXACT_ROWS:
            with suppress(OutOfTimeError):
                shares = self._compute(instance, deadline)
                return Explanation(self.expectation, prediction, shares, np.zeros_like(shares))
        random = np.random.default_rng(seed)
        draws = [self._draw(instance, random, end)]
        with suppress(OutOfTimeError):
            while len(draws) < _MOST_ROUNDS:
                draws.append(self._draw(instance, random, deadline))
        errors = np.std(draws, axis=0, ddof=1) / math.sqrt(len(draws)) if len(draws) > 1 else None
        return Explanation(self.expectation, prediction, np.mean(draws, axis=0), errors)

    def _compute(self, instance: Encoded, end: float) -> Floats:
        """Go through every set of columns."""
        count = self._columns
        sets = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
        values = self._evaluate(instance, sets[:, None, :], end).mean(axis=1)
        sizes = sets.sum(axis=1)
        weights = np.array(
            [math.factorial(k) * math.factorial(count - k - 1) / math.factorial(count) for k in range(count)]
        )
        shares = np.empty((count, values.shape[-1]))
        for column in range(count):
            without = np.flatnonzero(~sets[:, column])
            gains = values[without | (1 << column)] - values[without]
            shares[column] = weights[sizes[without]] @ gains
        return shares

    def _draw(self, instance: Encoded, random: np.random.Generator, end: float) -> Floats:
        """Draw an order for each background row, and go through it both ways."""
        rows, count = len(self._background), self._columns
        orders = random.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)
        orders = np.stack([orders, orders[:, ::-1]])
        # A column is taken from the instance from its place in the order on.
        places = np.argsort(orders, axis=-1)
        is_taken = places[:, None, :, :] < np.arange(count + 1)[None, :, None, None]
        values = self._evaluate(instance, is_taken.reshape(-1, rows, count), end)
        values = values.reshape(2, count + 1, rows, -1)
        gains = np.diff(values, axis=1)
        by_column = np.take_along_axis(gains, places.transpose(0, 2, 1)[..., None], axis=1)
        return np.asarray(by_column.mean(axis=(0, 2)), np.float64)

    def _evaluate(self, instance: Encoded, is_taken: npt.NDArray[np.bool_], end: float) -> Floats:
        """Predict rows of which some columns are the instance's and the others the background's.

        Shapes:
            (sets, rows or 1, columns) to (sets, rows, outputs).

        Raises:
            OutOfTimeError: The end comes before the last row.
        """
        mixed = np.where(is_taken[..., self._column_of], instance, self._background)
        rows = mixed.reshape(-1, mixed.shape[-1])
        parts = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            if time.monotonic() > end:
                raise OutOfTimeError
            parts.append(self._predict(rows[start : start + _ROWS_AT_ONCE]))
        return np.concatenate(parts).reshape(*mixed.shape[:2], -1)

    def _predict(self, encoded: Encoded) -> Floats:
        values = np.asarray(self._predict_encoded(np.ascontiguousarray(encoded)), np.float64)
        return values.reshape(len(encoded), -1)
