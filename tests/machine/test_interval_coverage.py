"""Intervals hold a simulated truth as often as they say, and an A/A comparison seldom finds a winner.

The whole of it is `make bench NAME=interval_coverage`: 1,000 test sets, and two points either way of 95 %.
"""

import pytest
from scipy.stats import binomtest

from benchmarks.interval_coverage.counting import CONFIDENCE, measure_scene
from benchmarks.interval_coverage.folds import TABLES, measure_folds
from benchmarks.interval_coverage.groups import GROUPED, measure_groups
from benchmarks.interval_coverage.scenes import SCENES

REPETITIONS = 300
POINTS = 0.02
# What a false "better" may be said in: the half of what the interval leaves.
STATED = 1 - CONFIDENCE


def require_coverage(counts):
    """Whatever chance makes of so few repetitions."""
    for one in counts:
        for held in (one.covered, one.gains_covered):
            if held is not None:
                too_few = binomtest(held, REPETITIONS, CONFIDENCE - POINTS, alternative="less")
                too_many = binomtest(held, REPETITIONS, CONFIDENCE + POINTS, alternative="greater")
                assert min(too_few.pvalue, too_many.pvalue) > 0.001, one


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_intervals_hold_the_truth_and_equal_models_are_told_apart_no_more_than_stated(scene):
    counts = measure_scene(scene, rows=300, repetitions=REPETITIONS, seed=10**7)

    require_coverage(counts)
    for one in counts:
        assert binomtest(one.called_better, REPETITIONS, STATED, alternative="greater").pvalue > 0.001, one


@pytest.mark.parametrize("scene", GROUPED, ids=lambda scene: scene.name)
def test_the_intervals_of_groups_hold_the_truth_all_together(scene):
    require_coverage(measure_groups(scene, rows=300, repetitions=REPETITIONS, seed=10**7))


@pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.name)
def test_the_interval_of_a_mean_over_folds_holds_the_mean_score_of_such_models(tables):
    require_coverage(measure_folds(tables, rows=120, repetitions=REPETITIONS, seed=10**7))
