"""Folds: what they hold apart, that they are scikit-learn's own, and what their scores tell."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, StratifiedKFold

from components.evaluate_model.cross_validation import (
    check_cross_validated,
    score_folds,
    summarise_folds,
)
from components.train_model.comparison import divide_into
from components.train_model.cross_validation import cross_validate
from mulgil.artifacts import FoldAnswers, HeldOutAnswers
from mulgil.contract import Metric, MissingPolicy, Task
from mulgil.contract.cross_validation import CrossValidation
from mulgil.contract.learning import SEEDS, Training
from mulgil.contract.project import Project
from mulgil.contract.specifications import PreprocessingColumn, PreprocessingSpecification
from mulgil.errors import InputError
from mulgil.preprocessing.rows import TrainingRows


def rows_of(target, entities=None):
    target = np.asarray(target)
    numbers = pa.table({"x": np.arange(len(target), dtype=np.float32)})
    return TrainingRows(
        numbers, target, left_out=0, entities=None if entities is None else np.array(entities)
    )


ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=8, max_size=60)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(2, 8), st.integers(0, 5), st.booleans(), st.booleans())
def test_folds_hold_every_row_out_once_and_no_entity_is_on_both_sides(
    drawn, folds, seed, is_class, is_grouped
):
    # Every class is there, and several entities of each.
    drawn = [*drawn, *((bool(place % 2), 100 + place // 2) for place in range(8))]
    target = [answer if is_class else float(place) for place, (answer, _) in enumerate(drawn)]
    entities = [entity for _, entity in drawn]
    task = Task.BINARY_CLASSIFICATION if is_class else Task.SCALAR_REGRESSION
    try:
        parts = list(divide_into(folds, seed, task, rows_of(target, entities if is_grouped else None)))
    except InputError:
        assert is_grouped
        return

    held_out = np.concatenate([part for _, part in parts])
    assert sorted(held_out.tolist()) == list(range(len(drawn)))
    for fitted, part in parts:
        assert sorted([*fitted.tolist(), *part.tolist()]) == list(range(len(drawn)))
        if is_grouped:
            assert not {entities[place] for place in fitted} & {entities[place] for place in part}
    if not is_grouped:
        kind = StratifiedKFold if is_class else KFold
        theirs = kind(len(parts), shuffle=True, random_state=seed).split(target, target)
        assert [part.tolist() for _, part in parts] == [part.tolist() for _, part in theirs]


def test_too_few_entities_are_told():
    with pytest.raises(InputError, match="too few entities"):
        list(divide_into(3, 0, Task.SCALAR_REGRESSION, rows_of([1.0, 2.0, 3.0], ["a", "a", "a"])))
    with pytest.raises(InputError, match="too few entities"):
        list(divide_into(2, 0, Task.BINARY_CLASSIFICATION, rows_of([True, True, False, False], list("aabb"))))


@pytest.mark.parametrize("task", [Task.SCALAR_REGRESSION, Task.MULTILABEL_CLASSIFICATION])
def test_more_folds_than_rows_leave_two_rows_in_each(task):
    parts = list(divide_into(50, 0, task, rows_of(np.arange(45.0))))

    assert len(parts) == 22
    assert min(len(held_out) for _, held_out in parts) == 2


class Half:
    """A learner that says a half."""

    is_fitted_by_epochs = False

    def fit(self, head, examples, curve):
        return self

    def predict(self, numbers):
        return np.full(len(numbers), 0.5)


def test_after_the_last_seed_comes_the_first():
    rows = rows_of(np.arange(20) % 2 == 0)
    specification = PreprocessingSpecification(
        (PreprocessingColumn("x", False, MissingPolicy.REJECT, None, ()),)
    )
    fitted = (Training(), CrossValidation(folds=2, repeats=2, seed=SEEDS - 1))

    answers = cross_validate(Half(), *fitted, Task.BINARY_CLASSIFICATION, 1, specification, rows)

    asked = [divide_into(2, seed, Task.BINARY_CLASSIFICATION, rows) for seed in (SEEDS - 1, 0)]
    held_out = [rows.target[part] for parts in asked for _, part in parts]
    assert [list(fold.target) for fold in answers.folds] == [part.tolist() for part in held_out]


def test_the_interval_goes_by_the_rows_held_out_over_those_fitted_on():
    right, wrong = ((True, False, True), (0.9, 0.1, 0.8)), ((True, False), (0.2, 0.6))
    asked = (Task.BINARY_CLASSIFICATION, answers_of(right, wrong), (Metric.ACCURACY,), 0.95, 0.5)

    assert score_folds(*asked).metrics["accuracy"] == summarise_folds(Metric.ACCURACY, [1.0, 0.0], 0.25, 0.95)


def answers_of(*folds, repeats=1):
    per_repeat = len(folds) // repeats
    return HeldOutAnswers(
        folds=tuple(
            FoldAnswers(
                repeat=place // per_repeat, fitted_rows=4 * len(target), target=target, predicted=predicted
            )
            for place, (target, predicted) in enumerate(folds)
        ),
        rows=sum(len(target) for target, _ in folds) // repeats,
    )


def test_each_fold_is_scored_alone_and_one_that_tells_nothing_apart_is_left_out():
    right = ((True, False, True), (0.9, 0.1, 0.8))
    wrong = ((True, False), (0.2, 0.6))
    one_class = ((True, True), (0.9, 0.9))
    scores = score_folds(
        Task.BINARY_CLASSIFICATION,
        answers_of(right, wrong, one_class, right, right, one_class, repeats=2),
        (Metric.ROC_AUC, Metric.ACCURACY),
        0.95,
        0.5,
    )

    assert (scores.folds, scores.repeats) == (3, 2)
    assert scores.metrics["roc_auc"].values == (1.0, 0.0, 1.0, 1.0)
    assert scores.metrics["roc_auc"].mean == 0.75


def test_the_pinball_loss_of_a_fold_is_of_the_quantile_that_is_asked_for():
    too_low = ((1.0, 2.0, 3.0), (0.0, 1.0, 2.0))
    asked = (Task.SCALAR_REGRESSION, answers_of(too_low, too_low), (Metric.PINBALL,), 0.95)

    assert score_folds(*asked, 0.9).metrics["pinball"].mean == pytest.approx(0.9)
    assert score_folds(*asked, 0.2).metrics["pinball"].mean == pytest.approx(0.2)


def test_the_interval_is_wider_than_independent_folds_would_make_it_and_keeps_to_what_a_metric_can_be():
    values = [0.7, 0.75, 0.8, 0.72, 0.78, 0.7, 0.74, 0.79, 0.71, 0.76]
    found = summarise_folds(Metric.ROC_AUC, values, 0.25, 0.95)

    # By hand: t(9) at 97.5 % is 2.262157; 1/10 + 1/4.
    margin = np.std(values, ddof=1) * np.sqrt(0.1 + 0.25) * 2.262157
    assert (found.low, found.high) == pytest.approx((found.mean - margin, found.mean + margin), rel=1e-6)
    assert summarise_folds(Metric.ROC_AUC, [0.9, 1.0, 0.8], 0.5, 0.95).high == 1.0
    assert summarise_folds(Metric.LOG_LOSS, [0.01, 0.3, 0.02], 0.5, 0.95).low == 0.0


def test_an_interval_of_repeated_folds_covers_the_truth_where_one_of_independent_folds_does_not():
    random = np.random.default_rng(0)
    ours, naive, draws = 0, 0, 400
    for _ in range(draws):
        # Accuracy of a rule that is right in 80 of 100 cases, on 60 rows in 5 folds, ten times over.
        is_right = random.random(60) < 0.8
        orders = [random.permutation(60).reshape(5, 12) for _ in range(10)]
        values = [float(is_right[fold].mean()) for order in orders for fold in order]
        found = summarise_folds(Metric.ACCURACY, values, 0.25, 0.95)
        ours += found.low <= 0.8 <= found.high
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        naive += abs(found.mean - 0.8) <= 2 * error
    assert ours / draws > 0.93
    assert naive / draws < 0.7


def test_a_floor_is_held_against_the_mean_and_what_was_not_measured_is_a_no():
    folds = ((True, False), (0.9, 0.1)), ((True, False), (0.2, 0.6))
    scores = score_folds(
        Task.BINARY_CLASSIFICATION, answers_of(*folds), (Metric.ROC_AUC, Metric.LOG_LOSS), 0.95, 0.5
    )

    assert check_cross_validated(Metric.ROC_AUC, scores, 0.5).is_passed
    assert not check_cross_validated(Metric.ROC_AUC, scores, 0.6).is_passed
    assert not check_cross_validated(Metric.LOG_LOSS, scores, 0.1).is_passed
    assert not check_cross_validated(Metric.RECALL, scores, 0.0).is_passed
    assert not check_cross_validated(Metric.ROC_AUC, None, 0.0).is_passed
    assert "in the mean of 2 folds" in check_cross_validated(Metric.ROC_AUC, scores, 0.5).reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cross_validation": {"repeats": 2}, "split": {"kind": "time"}}, "the same whenever they are made"),
        ({"gates": {"cross_validated_floors": {"roc_auc": 0.7}}}, "goes with the section cross_validation"),
        (
            {"cross_validation": {}, "gates": {"cross_validated_floors": {"r2": 0.7}}},
            "binary_classification has the metrics",
        ),
        (
            {
                "cross_validation": {},
                "decision": {"least_recall": 0.9},
                "gates": {"cross_validated_floors": {"recall": 0.7}},
            },
            "goes by `decision`",
        ),
    ],
)
def test_what_folds_cannot_tell_is_refused_in_words(changes, words):
    project = {
        "name": "p",
        "problem": {"goal": "g", "success_measure": "s"},
        "task": "binary_classification",
        "source": {"kind": "csv", "location": "rows.csv"},
    }
    with pytest.raises(ValueError, match=words):
        Project.model_validate({**project, **changes})
