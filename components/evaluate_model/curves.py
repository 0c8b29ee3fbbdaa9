"""What pictures show of a model's probabilities: curves, calibration, and the counts behind them."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from components.evaluate_model.metrics import THRESHOLD, Booleans, Floats
from mulgil.artifacts import CalibrationBin, Confusion, ScoreCurves

# A line of so many points is smooth in a picture; chosen by eye.
_MOST_POINTS = 200
_SCORE_BINS = 20
# Ten, as calibration is commonly shown, and fewer where a bin would have less than about ten rows.
_MOST_CALIBRATION_BINS = 10
_ROWS_IN_A_BIN = 10


def draw_curves(target: Booleans, probability: Floats, threshold: float = THRESHOLD) -> ScoreCurves:
    """Compute everything that is drawn of one model.

    Args:
        target: The truth, with both classes.
        probability: What the model gave for yes.
        threshold: From which probability on it is called one.

    Shapes:
        (rows,) each.
    """
    false_positive_rate, true_positive_rate, _ = roc_curve(target, probability)
    precision, recall, _ = precision_recall_curve(target, probability, drop_intermediate=True)
    return ScoreCurves(
        roc=_thin(false_positive_rate, true_positive_rate),
        precision_recall=_thin(recall[::-1], precision[::-1]),
        calibration=_calibrate(target, probability),
        confusion=_confuse(target, probability, threshold),
        scores={"no": _count_scores(probability[~target]), "yes": _count_scores(probability[target])},
    )


def _thin(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    return tuple((float(x[i]), float(y[i])) for i in kept)


def _calibrate(target: Booleans, probability: Floats) -> tuple[CalibrationBin, ...]:
    """Put the rows into bins of about equally many, by rising probability."""
    bins = max(1, min(_MOST_CALIBRATION_BINS, len(target) // _ROWS_IN_A_BIN))
    order = np.argsort(probability, kind="stable")
    return tuple(
        CalibrationBin(
            probability=float(probability[rows].mean()), share=float(target[rows].mean()), rows=len(rows)
        )
        for rows in np.array_split(order, bins)
    )


def _confuse(target: Booleans, probability: Floats, threshold: float) -> Confusion:
    called = probability >= threshold
    return Confusion(
        threshold=threshold,
        true_positives=int((called & target).sum()),
        false_positives=int((called & ~target).sum()),
        false_negatives=int((~called & target).sum()),
        true_negatives=int((~called & ~target).sum()),
    )


def _count_scores(probability: Floats) -> tuple[int, ...]:
    counts, _ = np.histogram(probability, bins=_SCORE_BINS, range=(0, 1))
    return tuple(int(count) for count in counts)
