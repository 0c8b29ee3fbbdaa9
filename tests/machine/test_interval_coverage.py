"""Intervals hold a simulated truth as often as they say, and an A/A comparison seldom finds a winner.

The whole of it is `make bench NAME=interval_coverage`: 1,000 test sets, and two points either way of 95 %.
"""

import pytest
from scipy.stats import binomtest

from benchmarks.interval_coverage import CONFIDENCE, SCENES, measure_scene

REPETITIONS = 300
POINTS = 0.02
# What a false "better" may be said in: the half of what the interval leaves.
STATED = 1 - CONFIDENCE


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_intervals_hold_the_truth_and_equal_models_are_told_apart_no_more_than_stated(scene):
    for one in measure_scene(scene, rows=300, repetitions=REPETITIONS, seed=10**7):
        too_few = binomtest(one.covered, REPETITIONS, CONFIDENCE - POINTS, alternative="less")
        too_many = binomtest(one.covered, REPETITIONS, CONFIDENCE + POINTS, alternative="greater")
        assert min(too_few.pvalue, too_many.pvalue) > 0.001, one
        assert binomtest(one.called_better, REPETITIONS, STATED, alternative="greater").pvalue > 0.001, one
