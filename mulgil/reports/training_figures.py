"""How a model came to be: the stages of its training with their scores, and pictures of what chose it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mulgil.artifacts import CapacityPath, CapacityStep, Evaluation, LearningCurvePoint, TrainingHistory
from mulgil.contract import Metric
from mulgil.reports.charts import Axis, Line, axis_around, draw_lines
from mulgil.reports.figures import Figure
from mulgil.reports.page import format_seconds, name_metric

# Of which a difference is told from chance, in standard errors.
_SURE = 2.0
_SERIES = (("validation rows", "c-validation"), ("training rows", "c-train"))


@dataclass(frozen=True)
class Stage:
    """A stage of the training.

    Attributes:
        name: What it is.
        note: What there is to know of it.
        rows: What was fitted on.
        parameters: How many numbers it learned.
        loss: On the training rows.
        val_loss: On the validation rows.
        test: What the test rows said.
    """

    name: str
    note: str = ""
    rows: str = "train"
    parameters: int | None = None
    loss: float | None = None
    val_loss: float | None = None
    test: str = ""


@dataclass(frozen=True)
class TrainingFigures:
    """What the report shows of a training.

    Attributes:
        stages: From the baseline to the one look at the test rows.
        figures: Pictures, in order.
        trials: What a search tried, where there was one.
        learning_curve: The loss by rows, where it was asked for.
        gain: What the last of those rows brought, in words.
        is_by_epoch: Whether the model that is served was fitted by epochs.
    """

    stages: tuple[Stage, ...]
    figures: tuple[Figure, ...]
    trials: Figure | None
    learning_curve: Figure | None
    gain: str
    is_by_epoch: bool


def draw_training(history: TrainingHistory, evaluation: Evaluation | None) -> TrainingFigures:
    """Draw all that is known of a training."""
    ladder, is_by_epoch = history.ladder, len(history.loss) > 1
    figures = []
    if ladder is not None:
        steps = [step for step in ladder.steps if step.val_loss]
        if len(steps) > 1:
            figures.append(_draw_ladder(steps))
        figures += [_draw_overfit(step) for step in steps if step.is_overfitting and len(step.loss) > 1]
    if is_by_epoch:
        figures.append(_draw_epochs("Loss by epoch", history.loss, history.val_loss, history.best_epoch, ""))
    trials = _draw_trials(history) if history.trials else None
    points = history.learning_curve.points if history.learning_curve else ()
    return TrainingFigures(
        stages=_tell_stages(history, evaluation),
        figures=tuple(figures),
        trials=trials,
        learning_curve=_draw_learning_curve(points) if points else None,
        gain=tell_gain(points) if len(points) > 1 else "",
        is_by_epoch=is_by_epoch,
    )


def tell_gain(points: Sequence[LearningCurvePoint]) -> str:
    """Say what the last rows brought, fold by fold, and what that lets one expect of more."""
    before, last = points[-2:]
    gains = [one - other for one, other in zip(before.losses, last.losses, strict=True)]
    mean = statistics.fmean(gains)
    told = f"From {before.rows:,} to {last.rows:,} rows the loss fell by {mean:.4f}"
    if len(gains) < 2:
        return f"{told}, in one fold, which tells nothing of chance."
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    told = f"{told} (standard error {error:.4f}, by pairs of {len(gains)} folds)"
    if mean > _SURE * error:
        return f"{told}: more rows may bring more."
    return f"{told}: chance can make as much of it, so these folds do not tell whether more rows bring more."


def _tell_stages(history: TrainingHistory, evaluation: Evaluation | None) -> tuple[Stage, ...]:
    stages = []
    if history.baseline_loss is not None:
        stages.append(
            Stage(
                "Baseline",
                "every row is told the training rows' shares or mean",
                loss=history.baseline_loss[0],
                val_loss=history.baseline_loss[1],
            )
        )
    if history.ladder is not None:
        stages += _tell_ladder(history.ladder)
    by_epoch = f", {history.best_epoch} epochs" if len(history.loss) > 1 else ""
    stages.append(
        Stage(
            "Regularised",
            f"{_tell_settings(history)}{by_epoch}",
            parameters=history.parameters,
            loss=history.loss[history.best_epoch - 1],
            val_loss=history.val_loss[history.best_epoch - 1],
        )
    )
    final = " and ".join(history.rows)
    note = f"the same settings{by_epoch}; its validation rows are no judge any more"
    if "validation" not in history.rows:
        note = "the very model of the row before"
    if history.fitted_rows is not None:
        note = (
            f"{note}; fitted on {history.fitted_rows:,} of the rows, evenly spread, as it is a linear program"
        )
    stages.append(Stage("Final", note, final, history.parameters))
    if evaluation is not None:
        stages.append(_tell_test(evaluation, history))
    return tuple(stages)


def _tell_settings(history: TrainingHistory) -> str:
    if not history.trials:
        return "the settings that are declared"
    taken = next(trial for trial in history.trials if trial.settings == history.settings)
    return f"the best of {len(history.trials)} that were tried: {taken.name}"


def _tell_ladder(ladder: CapacityPath) -> list[Stage]:
    fitted = [step for step in ladder.steps if step.val_loss]
    if not fitted:
        return [Stage("Without a penalty", f"no model could be fitted: {ladder.reason}")]
    last = fitted[-1]
    seconds = format_seconds(sum(step.seconds for step in ladder.steps))
    best = last.best_epoch
    note = f"step {len(ladder.steps)}, {last.name}; the ladder took {seconds}"
    if len(last.loss) > 1:
        note = f"{note}; least after epoch {best}, then {last.val_loss[-1]:.4f} after epoch {len(last.loss)}"
    if not last.is_overfitting:
        note = f"{note}; {ladder.reason}"
    name = "Overfits" if last.is_overfitting else "Does not overfit yet"
    return [
        Stage(
            name,
            note,
            parameters=last.parameters,
            loss=last.loss[best - 1],
            val_loss=last.val_loss[best - 1],
        )
    ]


def _tell_test(evaluation: Evaluation, history: TrainingHistory) -> Stage:
    shown = dict.fromkeys((evaluation.primary_metric, Metric.LOG_LOSS.value, Metric.RMSE.value))
    told = [
        f"{name_metric(name)} {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        for name in shown
        for found in [evaluation.metrics.get(name)]
        if found is not None
    ]
    return Stage(
        "One look at the test rows",
        f"{evaluation.rows:,} rows that no fit and no choice before it read",
        " and ".join(history.rows),
        history.parameters,
        test="; ".join(told),
    )


def _draw_ladder(steps: list[CapacityStep]) -> Figure:
    title = "Loss by capacity, without a penalty"
    losses = {
        "validation rows": [step.val_loss[step.best_epoch - 1] for step in steps],
        "training rows": [step.loss[step.best_epoch - 1] for step in steps],
    }
    least = min(range(len(steps)), key=lambda place: losses["validation rows"][place])
    turned = next((place for place, step in enumerate(steps, 1) if step.is_overfitting), None)
    words = f"step {turned} overfits" if turned else "no step overfits"
    by_epoch = ", each at its best epoch" if max(len(step.loss) for step in steps) > 1 else ""
    return Figure(
        title=title,
        note=f"{words}; the least validation loss is that of step {least + 1}{by_epoch}",
        picture=draw_lines(
            title,
            f"Loss of the training rows and of the validation rows over {len(steps)} models of more and more "
            f"capacity; {words}.",
            [Line(name, style, list(enumerate(losses[name], 1)), has_dots=True) for name, style in _SERIES],
            x=Axis(0, len(steps) + 1, "step"),
            y=axis_around([loss for part in losses.values() for loss in part], "loss"),
            marked_x=turned,
        ),
        head=("step", "settings", "numbers learned", "training rows", "validation rows", "took", ""),
        body=tuple(
            (
                str(place),
                step.name,
                f"{step.parameters:,}",
                f"{loss:.4f}",
                f"{val_loss:.4f}",
                format_seconds(step.seconds),
                "overfits" if step.is_overfitting else "",
            )
            for place, (step, loss, val_loss) in enumerate(
                zip(steps, losses["training rows"], losses["validation rows"], strict=True), 1
            )
        ),
    )


def _draw_overfit(step: CapacityStep) -> Figure:
    return _draw_epochs("Where it overfits", step.loss, step.val_loss, step.best_epoch, f"{step.name}: ")


def _draw_epochs(
    title: str, loss: tuple[float, ...], val_loss: tuple[float, ...], best: int, said: str
) -> Figure:
    epochs = range(1, len(loss) + 1)
    series = {"validation rows": val_loss, "training rows": loss}
    return Figure(
        title=title,
        note=f"{said}least on the validation rows after epoch {best}",
        picture=draw_lines(
            title,
            f"Loss of the training rows and of the validation rows over {len(loss)} epochs; "
            f"the least validation loss is {min(val_loss):.4f}, at epoch {best}.",
            [Line(name, style, list(zip(epochs, series[name], strict=True))) for name, style in _SERIES],
            x=Axis(1, max(2, len(loss)), "epoch"),
            y=axis_around([*loss, *val_loss], "loss"),
            marked_x=best,
        ),
        head=("epoch", "training rows", "validation rows"),
        body=tuple(
            (str(epoch), f"{one:.4f}", f"{other:.4f}")
            for epoch, one, other in zip(epochs, loss, val_loss, strict=True)
        ),
    )


def _draw_trials(history: TrainingHistory) -> Figure:
    title = "Loss of each setting that was tried"
    scored = [(place, trial) for place, trial in enumerate(history.trials, 1) if trial.loss is not None]
    least, so_far = float("inf"), []
    for place, trial in scored:
        # One that was ended early is no best, however its few folds went.
        least = least if trial.reason else min(least, trial.loss or 0.0)
        so_far.append((float(place), least))
    parts = {
        is_ended: [
            (float(place), trial.loss or 0.0) for place, trial in scored if bool(trial.reason) == is_ended
        ]
        for is_ended in (False, True)
    }
    ended = f", {len(parts[True])} of them ended early" if parts[True] else ""
    return Figure(
        title=title,
        note=f"cross-validated{ended}; the first is what the project declares",
        picture=draw_lines(
            title,
            f"Cross-validated loss of {len(scored)} settings in the order in which they were tried{ended}, "
            f"and the least so far, {least:.4f} in the end.",
            [
                Line("least so far", "c-model", so_far, is_stepped=True),
                Line("tried", "c-model", parts[False], has_dots=True, is_joined=False),
                Line("ended early", "c-baseline", parts[True], has_dots=True, is_joined=False),
            ],
            x=Axis(0, max(4, len(history.trials) + 1), "setting"),
            y=axis_around(
                _near([loss for _, loss in parts[False]], [loss for _, loss in parts[True]]), "loss"
            ),
        ),
        head=("", "settings", "loss", "folds", "took", ""),
        body=tuple(
            (
                str(place),
                trial.name,
                "" if trial.loss is None else f"{trial.loss:.4f}",
                str(len(trial.losses)),
                format_seconds(trial.seconds),
                "taken" if trial.settings == history.settings else trial.reason,
            )
            for place, trial in enumerate(history.trials, 1)
        ),
    )


def _near(whole: list[float], ended: list[float]) -> list[float]:
    """Return losses that an axis should hold: one that is far worse stands at its end."""
    most = max(whole) + 2 * (max(whole) - min(whole) or max(whole))
    return [*whole, *(min(loss, most) for loss in ended)]


def _draw_learning_curve(points: Sequence[LearningCurvePoint]) -> Figure:
    title = "Loss by rows"
    folds = len(points[0].losses)
    by_series = {
        name: [(point.rows, statistics.fmean(losses), _spread(losses)) for point, losses in part]
        for name, part in (
            ("rows held out", [(point, point.losses) for point in points]),
            ("rows fitted on", [(point, point.training_losses) for point in points]),
        )
    }
    last = by_series["rows held out"][-1]
    return Figure(
        title=title,
        note=f"mean of {folds} folds, and their standard deviation",
        picture=draw_lines(
            title,
            f"Loss of the rows held out and of those fitted on, by the number of rows, in {folds} folds; "
            f"with {last[0]:,} rows it is {last[1]:.4f} on rows held out.",
            [
                Line(
                    name,
                    style,
                    [(rows, mean) for rows, mean, _ in by_series[name]],
                    has_dots=True,
                    spread=[spread for _, _, spread in by_series[name]],
                )
                for name, style in (("rows held out", "c-validation"), ("rows fitted on", "c-train"))
            ],
            x=Axis(0, points[-1].rows * 1.05, "rows"),
            y=axis_around(
                [
                    mean + sign * spread
                    for part in by_series.values()
                    for _, mean, spread in part
                    for sign in (-1, 1)
                ],
                "loss",
            ),
        ),
        head=("rows", "held out", "standard deviation", "fitted on", "standard deviation"),
        body=tuple(
            (f"{rows:,}", f"{loss:.4f}", f"{spread:.4f}", f"{training_loss:.4f}", f"{other_spread:.4f}")
            for (rows, loss, spread), (_, training_loss, other_spread) in zip(
                by_series["rows held out"], by_series["rows fitted on"], strict=True
            )
        ),
    )


def _spread(losses: Sequence[float]) -> float:
    return statistics.stdev(losses) if len(losses) > 1 else 0.0
