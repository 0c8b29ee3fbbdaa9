import pytest

from components.evaluate_model.champion import explain_mismatch
from components.evaluate_model.gates import (
    check_baseline,
    check_champion,
    check_floor,
    pass_without_champion,
)
from mulgil.artifacts import Interval
from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary, Metric


def between(low, value, high):
    return Interval(value=value, low=low, high=high, confidence=0.95)


@pytest.mark.parametrize(
    ("metric", "value", "floor", "is_passed"),
    [
        (Metric.ROC_AUC, 0.9, 0.9, True),
        (Metric.ROC_AUC, 0.89, 0.9, False),
        (Metric.LOG_LOSS, 0.3, 0.3, True),
        (Metric.LOG_LOSS, 0.31, 0.3, False),
    ],
)
def test_a_floor_is_the_least_value_and_a_losss_the_greatest(metric, value, floor, is_passed):
    check = check_floor(metric, between(0, value, 1), floor)

    assert check.is_passed is is_passed
    assert (check.name, check.value, check.limit) == (f"{metric}_floor", value, floor)


@pytest.mark.parametrize(("low", "is_passed"), [(0.011, True), (0.01, False), (-0.2, False)])
def test_better_than_the_baseline_means_the_lower_bound_beyond_the_margin(low, is_passed):
    check = check_baseline(Metric.ROC_AUC, between(low, 0.3, 0.4), 0.01)

    assert check.is_passed is is_passed


@pytest.mark.parametrize(("low", "is_passed"), [(0.1, True), (-0.02, True), (-0.021, False)])
def test_no_worse_than_the_champion_means_the_lower_bound_within_the_margin(low, is_passed):
    check = check_champion(Metric.ROC_AUC, between(low, 0.1, 0.2), 0.02, "7")

    assert check.is_passed is is_passed
    assert "version 7" in check.reason


def test_an_equal_champion_passes_without_any_margin():
    assert check_champion(Metric.ROC_AUC, between(0, 0, 0), 0, "1").is_passed


def test_a_champion_that_cannot_be_compared_leaves_its_reason():
    check = pass_without_champion("it reads columns that are not there any more: age")

    assert check.is_passed
    assert check.reason == "Not compared: it reads columns that are not there any more: age"


def dictionary(*features, derived="num > 0", target="answer"):
    keys = (
        Column(name="key", role=ColumnRole.ENTITY, type=ColumnType.INTEGER, description="Who."),
        Column(name="at", role=ColumnRole.EVENT_TIMESTAMP, type=ColumnType.TIMESTAMP, description="When."),
        Column(name="num", role=ColumnRole.IGNORE, type=ColumnType.INTEGER, description="Any."),
        Column(
            name=target,
            role=ColumnRole.TARGET,
            type=ColumnType.BOOLEAN,
            derived=derived,
            description="Whether.",
        ),
    )
    return DataDictionary(columns=(*keys, *features))


AGE = Column(name="age", type=ColumnType.INTEGER, description="Any.")
WEIGHT = Column(name="weight", type=ColumnType.FLOAT, description="Any.")
AGE_GROUP = Column(name="age", type=ColumnType.CATEGORY, categories=["young", "old"], description="Any.")


def test_a_champion_of_fewer_columns_can_be_compared():
    assert explain_mismatch(dictionary(AGE), dictionary(WEIGHT, AGE)) is None


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        (dictionary(AGE, WEIGHT), "reads columns that are not there any more: weight"),
        (dictionary(AGE_GROUP), "reads age as category"),
        (dictionary(AGE, derived="num > 1"), "predicts something else: answer (num > 1)"),
        (dictionary(AGE, target="reply"), "predicts something else: reply"),
    ],
)
def test_a_champion_that_asks_something_else_says_so(champion, reason):
    assert explain_mismatch(champion, dictionary(AGE)).startswith(reason)
