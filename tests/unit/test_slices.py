"""Groups of the test rows: measured by what their few rows can tell, and judged by intervals."""

import numpy as np
import pyarrow as pa
import pytest

from components.evaluate_model.slices import check_slices, score_slices
from components.evaluate_model.worst_rows import find_worst_rows
from mulgil.contract import DataDictionary, Metric, Task
from mulgil.contract.answers import AnswerForm
from mulgil.preprocessing.rows import TrainingRows

KEYS = [
    {"name": "key", "role": "entity", "type": "integer", "description": "Who."},
    {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
]


def _dictionary(**of_site):
    features = [
        {"name": "age", "type": "float", "missing": "mean", "description": "Years."},
        {
            "name": "site",
            "type": "category",
            "categories": ["a", "b", "rare"],
            "description": "Where.",
            **of_site,
        },
        {"name": "income", "type": "float", "sensitive": True, "description": "Pay."},
    ]
    target = {"name": "ill", "role": "target", "type": "boolean", "description": "Whether."}
    return DataDictionary.model_validate({"columns": [*KEYS, *features, target]})


def _rows(count=400, seed=0):
    """Rows in which the model knows nothing of site b."""
    random = np.random.default_rng(seed)
    site = np.where(np.arange(count) < 5, "rare", np.where(random.random(count) < 0.5, "a", "b"))
    target = random.random(count) < 0.5
    noise = random.random(count)
    predicted = np.where(site == "b", noise, np.clip(0.6 * target + 0.4 * noise, 0, 1))
    age = [None if place % 10 == 0 else float(place % 97) for place in range(count)]
    features = pa.table({"age": pa.array(age), "site": site.tolist(), "income": random.random(count)})
    return TrainingRows(features, target, left_out=0), predicted


def _score(dictionary=None, seed=0):
    rows, predicted = _rows(seed=seed)
    return score_slices(
        Task.BINARY_CLASSIFICATION, Metric.ROC_AUC, dictionary or _dictionary(), rows, predicted, 0.95
    )


def test_a_group_that_is_surely_worse_is_named_and_fails():
    scores = {(one.column, one.group): one for one in _score()}
    assert scores["site", "b"].score.high < scores["site", "a"].score.low
    check = check_slices(Metric.ROC_AUC, 0.8, tuple(scores.values()), margin=0.05)
    assert not check.is_passed
    assert "site b" in check.reason
    assert "site a" not in check.reason
    assert check_slices(Metric.ROC_AUC, 0.8, tuple(scores.values()), margin=0.5).is_passed


def test_of_a_loss_the_greater_is_the_worse():
    rows, predicted = _rows()
    scores = score_slices(
        Task.BINARY_CLASSIFICATION, Metric.LOG_LOSS, _dictionary(), rows, np.clip(predicted, 0.01, 0.99), 0.95
    )
    check = check_slices(Metric.LOG_LOSS, 0.6, scores, margin=0.1)
    assert not check.is_passed
    assert "site b" in check.reason
    assert "site a" not in check.reason


def test_few_rows_are_not_judged_and_say_why():
    [rare] = [one for one in _score() if one.group == "rare"]
    assert (rare.rows, rare.score) == (5, None)
    assert "fewer than 20 rows" in rare.reason


def test_every_row_is_in_one_group_of_a_column_and_a_sensitive_column_is_left_out():
    scores = _score()
    for name in ("age", "site"):
        assert sum(one.rows for one in scores if one.column == name) == 400
    assert [one.group for one in scores if one.column == "age"][-1] == "missing"
    assert "income" not in {one.column for one in scores}
    assert not any(one.is_compared_for_fairness for one in scores)


def test_of_very_many_rows_evenly_spread_ones_are_asked(monkeypatch):
    monkeypatch.setattr("components.evaluate_model.slices._MOST_ROWS", 200)
    scores = {(one.column, one.group): one for one in _score()}
    assert sum(one.rows for (column, _), one in scores.items() if column == "site") == 200
    assert scores["site", "b"].score.value < scores["site", "a"].score.value


def test_a_column_that_is_marked_is_compared_first_although_it_is_sensitive():
    scores = _score(_dictionary(sensitive=True, fairness=True))
    assert scores[0].column == "site"
    assert scores[0].is_compared_for_fairness


def test_groups_alike_seldom_fail_however_many_are_asked():
    failed = 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        target = random.random(240) < 0.5
        codes = {f"c{place}": [str(code) for code in random.integers(0, 4, 240)] for place in range(3)}
        features = [
            {"name": name, "type": "category", "categories": list("0123"), "description": "Any."}
            for name in codes
        ]
        ill = {"name": "ill", "role": "target", "type": "boolean", "description": "Whether."}
        dictionary = DataDictionary.model_validate({"columns": [*KEYS, *features, ill]})
        rows = TrainingRows(pa.table(codes), target, left_out=0)
        predicted = np.clip(0.5 * target + 0.8 * random.random(240), 0, 1)
        scores = score_slices(Task.BINARY_CLASSIFICATION, Metric.ACCURACY, dictionary, rows, predicted, 0.95)
        whole = float(((predicted >= 0.5) == target).mean())
        failed += not check_slices(Metric.ACCURACY, whole, scores, margin=0.0).is_passed
    # At 5 % for twelve groups together, more than 2 of 8 has a chance of 6 in 1,000.
    assert failed <= 2


def test_the_rows_of_the_greatest_loss_come_first_without_sensitive_values():
    dictionary = _dictionary()
    rows, predicted = _rows()
    predicted = predicted.copy()
    predicted[7] = 0.0 if rows.target[7] else 1.0
    worst = find_worst_rows(
        AnswerForm.of(Task.BINARY_CLASSIFICATION, dictionary), dictionary, rows, predicted
    )
    assert worst[0].row == 7
    assert worst[0].truth == ("yes" if rows.target[7] else "no")
    assert set(worst[0].instance) == {"age", "site"}
    assert [one.loss for one in worst] == sorted((one.loss for one in worst), reverse=True)


@pytest.mark.parametrize(
    ("task", "target", "predicted", "truth"),
    [
        (Task.MULTICLASS_CLASSIFICATION, [0, 1], [[0.1, 0.9], [0.2, 0.8]], "a"),
        (Task.SCALAR_REGRESSION, [5.0, 1.0], [9.0, 1.1], "5"),
    ],
)
def test_worst_rows_of_classes_and_numbers(task, target, predicted, truth):
    kind = {"type": "category", "categories": ["a", "b"]} if task.is_classification else {"type": "float"}
    features = [{"name": "x", "type": "float", "description": "Any."}]
    answer = {"name": "y", "role": "target", "description": "Any.", **kind}
    dictionary = DataDictionary.model_validate({"columns": [*KEYS, *features, answer]})
    rows = TrainingRows(pa.table({"x": [1.0, 2.0]}), np.array(target), left_out=0)
    worst = find_worst_rows(AnswerForm.of(task, dictionary), dictionary, rows, np.array(predicted))
    assert (worst[0].row, worst[0].truth) == (0, truth)
