"""Quantiles from a part of the numbers, within the error that TFDV states for all of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from components.validate_data.statistics import compute_statistics

ROWS = 100_000
# What TFDV states: a hundredth in rank.
ERROR = 0.01


DRAWS = {
    "normal": lambda draw: draw.normal(size=ROWS),
    "rising": lambda _: np.arange(ROWS) / 7,
    "falling": lambda _: -np.arange(ROWS) / 7,
    # Each batch has another part of the numbers.
    "in_steps": lambda draw: np.sort(draw.normal(size=ROWS)).reshape(10, -1)[::-1].ravel(),
    "far_out": lambda draw: np.where(draw.random(ROWS) < 1e-4, 1e300, draw.lognormal(sigma=4, size=ROWS)),
    "one_number": lambda _: np.full(ROWS, 3.5),
    "mostly_one": lambda draw: np.where(draw.random(ROWS) < 0.02, draw.normal(size=ROWS), 0.0),
    "few_numbers": lambda draw: draw.integers(0, 7, ROWS),
    "yes_and_no": lambda draw: draw.random(ROWS) < 0.003,
    "large_numbers": lambda draw: draw.integers(-(2**62), 2**62, ROWS),
    "single_precision": lambda draw: draw.normal(size=ROWS).astype(np.float32),
}


def statistics_of(numbers, rows_at_once: int, missing=None):
    table = pa.table({"x": pa.array(numbers, mask=missing)})
    found = compute_statistics(table.to_batches(max_chunksize=rows_at_once))
    return found.datasets[0].features[0].num_stats


@pytest.mark.parametrize("rows_at_once", [65_536, 9_000, 777])
@pytest.mark.parametrize("kind", DRAWS)
def test_every_quantile_is_within_the_error_that_tfdv_states(kind, rows_at_once):
    numbers = DRAWS[kind](np.random.default_rng(0))
    missing = np.random.default_rng(1).random(ROWS) < 0.05
    found = statistics_of(numbers, rows_at_once, missing)
    _, quantiles = found.histograms
    ordered = np.sort(numbers[~missing].astype(np.float64))

    assert sum(bucket.sample_count for bucket in quantiles.buckets) == pytest.approx(len(ordered))
    assert (quantiles.buckets[0].low_value, quantiles.buckets[-1].high_value) == (ordered[0], ordered[-1])
    places = [(place / 10, bucket.high_value) for place, bucket in enumerate(quantiles.buckets, start=1)]
    for place, quantile in [*places, (0.5, found.median)]:
        below, up_to = (np.searchsorted(ordered, quantile, side) / len(ordered) for side in ("left", "right"))
        assert below - ERROR <= place <= up_to + ERROR, (place, quantile)


def test_infinite_numbers_are_counted_as_tfdv_counts_them():
    numbers = np.random.default_rng(0).normal(size=20_000)
    numbers[::100], numbers[1::400] = np.inf, -np.inf

    standard, _ = statistics_of(numbers, 65_536).histograms

    assert standard.buckets[-1].sample_count == 200
    assert standard.buckets[-1].low_value == np.inf
    # Of those below all, the sketch tells how many.
    assert standard.buckets[0].sample_count == pytest.approx(50, abs=ERROR * 20_000)
