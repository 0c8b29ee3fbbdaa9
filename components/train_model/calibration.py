"""Calibration: a map from a model's probabilities to what comes true, fitted on rows that it has not seen.

The map becomes a part of the model's own files, so that graph, ONNX model and server answer calibrated
probabilities alike. float32 leaves an answer near 1 few digits, and a steep map would make much of the last:
hence the two bounds below, which keep what two runtimes answer within 1e-5 of each other.

Source:
    Platt (1999), Probabilistic outputs for support vector machines; Guo, Pleiss, Sun & Weinberger (2017), On
    calibration of modern neural networks, ICML (temperature); Zadrozny & Elkan (2002), Transforming
    classifier scores into accurate multiclass probability estimates, KDD (isotonic, each class against the
    rest); Oron & Flournoy (2017), Centered isotonic regression, Statistics in Biopharmaceutical Research 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from components.train_model.heads import Head
from mulgil.artifacts import CalibrationMap
from mulgil.contract import Task

# Beyond these a yes or a no is as sure as any other: some runtimes tell a small probability as what a great
# one leaves, and one unit of float32 is 1.5e-4 of log odds here.
LEAST_PROBABILITY, MOST_PROBABILITY = 4e-4, 1 - 4e-4
# Of several classes each has its own digits, however small.
LEAST_OF_CLASSES = 1e-12
# Knots of an isotonic map are no nearer than that, so that its slope is at most 50.
_LEAST_STEP = 0.02
# Log odds are multiplied by no more and no less. Chosen by eye: far more than any model needs.
_SLOPES = (0.05, 20.0)
# Beyond, float32's exponential has no number.
_MOST_LOG_ODDS = 80.0

Floats = npt.NDArray[np.float64]


def fit_calibration(
    kind: str, head: Head, target: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> CalibrationMap:
    """Fit a map.

    Args:
        kind: `isotonic`, `platt` or `temperature`.
        head: Of a classification.
        target: The truth as the head writes it.
        predicted: What a model gave that was not fitted on these rows.

    Shapes:
        target: (rows,), or of several labels (rows, labels); predicted: (rows,) or (rows, head.width).
    """
    probability = predicted.astype(np.float64)
    is_of_classes = head.task is Task.MULTICLASS_CLASSIFICATION
    if is_of_classes:
        truth = (target[:, None] == np.arange(head.width)).astype(np.float64)
    else:
        truth = target.astype(np.float64)
    if kind == "temperature" and is_of_classes:
        return CalibrationMap(
            kind=kind, is_of_classes=True, rows=len(target), slopes=(_cool(truth, probability),)
        )
    columns = list(zip(truth.reshape(len(truth), -1).T, probability.reshape(len(truth), -1).T, strict=True))
    if kind == "isotonic":
        lines = [_join_blocks(*column) for column in columns]
        return CalibrationMap(
            kind=kind,
            is_of_classes=is_of_classes,
            rows=len(target),
            knots=tuple(knots for knots, _ in lines),
            levels=tuple(levels for _, levels in lines),
        )
    fit: Callable[..., tuple[float, float]] = _fit_sigmoid if kind == "platt" else _fit_slope
    fitted = [fit(*column) for column in columns]
    return CalibrationMap(
        kind=kind,
        is_of_classes=is_of_classes,
        rows=len(target),
        slopes=tuple(slope for slope, _ in fitted),
        offsets=tuple(offset for _, offset in fitted),
    )


def calibrate(calibration: CalibrationMap, probability: Any, ops: Any = keras.ops) -> Any:
    """Apply a map.

    Args:
        calibration: The map.
        probability: A model's.
        ops: `keras.ops`, or numpy, whose functions have the same names.

    Shapes:
        (rows,) or (rows, width), and the same comes back.
    """
    if calibration.kind == "isotonic":
        starts, lengths, rises, lowest = (ops.array(part, "float32") for part in lines_of(calibration))
        passed = ops.clip((ops.expand_dims(probability, -1) - starts) / lengths, 0, 1)
        mapped = lowest + ops.sum(passed * rises, axis=-1)
        return mapped / ops.sum(mapped, axis=-1, keepdims=True) if calibration.is_of_classes else mapped
    slopes = ops.array(by_column(calibration.slopes), "float32")
    if calibration.kind == "temperature" and calibration.is_of_classes:
        powers = ops.exp(ops.log(ops.clip(probability, LEAST_OF_CLASSES, 1.0)) * slopes)
        return powers / ops.sum(powers, axis=-1, keepdims=True)
    clipped = ops.clip(probability, LEAST_PROBABILITY, MOST_PROBABILITY)
    log_odds = ops.log(clipped) - ops.log(1 - clipped)
    log_odds = log_odds * slopes + ops.array(by_column(calibration.offsets), "float32")
    mapped = 1 / (1 + ops.exp(-ops.clip(log_odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS)))
    return mapped / ops.sum(mapped, axis=-1, keepdims=True) if calibration.is_of_classes else mapped


def lines_of(calibration: CalibrationMap) -> tuple[Floats, Floats, Floats, Floats]:
    """Return an isotonic map's lines: where each starts, its length and its rise; and the lowest level.

    Shapes:
        (width, lines) and (width,), which one column's probabilities (rows,) meet as those of many do. A
        column of fewer lines than another ends in some that do not rise.
    """
    count = max(2, *(len(knots) for knots in calibration.knots))
    knots, levels = (
        np.array([[*part, *(part[-1:] * (count - len(part)))] for part in parts])
        for parts in (calibration.knots, calibration.levels)
    )
    lengths, rises = np.diff(knots), np.diff(levels)
    return knots[:, :-1], np.where(lengths > 0, lengths, 1.0), rises, levels[:, 0]


def by_column(values: tuple[float, ...]) -> Floats:
    """Return a number a column, or the one that all have."""
    return np.array(values if len(values) > 1 else values[0])


def _log_odds(probability: Floats) -> Floats:
    clipped = np.clip(probability, LEAST_PROBABILITY, MOST_PROBABILITY)
    return np.log(clipped) - np.log1p(-clipped)


def _fit_sigmoid(truth: Floats, probability: Floats) -> tuple[float, float]:
    """Fit a slope and an offset of log odds, to Platt's targets, which are short of 0 and 1."""
    log_odds, yes = _log_odds(probability), truth.sum()
    wanted = np.where(truth > 0, (yes + 1) / (yes + 2), 1 / (len(truth) - yes + 2))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        scores = parameters[0] * log_odds + parameters[1]
        wrong = expit(scores) - wanted
        return float((np.logaddexp(0, scores) - wanted * scores).mean()), np.array(
            [(wrong * log_odds).mean(), wrong.mean()]
        )

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[_SLOPES, (None, None)], method="L-BFGS-B")
    return float(found.x[0]), float(found.x[1])


def _fit_slope(truth: Floats, probability: Floats) -> tuple[float, float]:
    log_odds = _log_odds(probability)

    def loss(slope: float) -> float:
        return float((np.logaddexp(0, slope * log_odds) - truth * slope * log_odds).mean())

    return _minimise(loss), 0.0


def _cool(truth: Floats, probability: Floats) -> float:
    """Fit what the logarithms of all classes are multiplied by; it is 1 / temperature."""
    logs = np.log(np.clip(probability, LEAST_OF_CLASSES, 1))

    def loss(slope: float) -> float:
        return float((np.logaddexp.reduce(slope * logs, axis=1) - (truth * slope * logs).sum(axis=1)).mean())

    return _minimise(loss)


def _minimise(loss: Callable[[float], float]) -> float:
    low, high = np.log(_SLOPES)
    found = minimize_scalar(lambda log_slope: loss(np.exp(log_slope)), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def _join_blocks(truth: Floats, probability: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit an isotonic regression, and join the middles of its blocks by lines."""
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(probability, truth).predict(probability)
    blocks = [
        (probability[fitted == level].sum(), truth[fitted == level].sum(), int((fitted == level).sum()))
        for level in np.unique(fitted)
    ]
    joined = [blocks[0]]
    for block in blocks[1:]:
        places, yes, rows = joined[-1]
        if block[0] / block[2] - places / rows < _LEAST_STEP:
            # Their mean lies between them, so the levels go on rising.
            joined[-1] = (places + block[0], yes + block[1], rows + block[2])
        else:
            joined.append(block)
    # No answer is surer than one row more would have been.
    least = 1 / (len(truth) + 2)
    knots = tuple(float(places / rows) for places, _, rows in joined)
    return knots, tuple(float(np.clip(yes / rows, least, 1 - least)) for _, yes, rows in joined)
