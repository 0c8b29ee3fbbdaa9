"""What a bundle may take: time for a row, and room.

A row's time goes from its raw columns through the fitted transform and the very model file that is served, in
one thread of this process; checking the request and HTTP come on top. Other work on the machine makes rows
slow that the model does not, so it is asked in rounds and the quietest one counts.

Source:
    Python 3.11's documentation of `timeit`: the least of repeated measurements, since what is above it is
    usually other processes' doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mulgil.artifacts import BUNDLE_MANIFEST, BUNDLE_TRANSFORM, BundleManifest, Check, Latency
from mulgil.numeric_model import load_numeric_model
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.rows import TrainingRows

# A hundredth of a round is four rows; five rounds of a slow model of 10 ms take 20 s. Chosen by eye.
_ROWS, _ROUNDS = 400, 5
# Once what is compiled and allocated at the first call is there.
_WARM_UP = 20


def measure_latency(
    bundle_path: Path,
    rows: TrainingRows,
    answer_width: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Ask single rows.

    Args:
        bundle_path: The bundle, already held against its checksums.
        rows: The test rows, which are asked in turn.
        answer_width: How many numbers the model gives for a row.
        clock: Seconds.
    """
    transform = FittedTransform.read(bundle_path / BUNDLE_TRANSFORM)
    executor, model = TransformExecutor(transform), load_numeric_model(bundle_path, answer_width)
    names = list(transform.names)
    asked = [
        {name: rows.tensors[name][place : place + 1] for name in names}
        for place in range(min(len(rows), _ROWS))
    ]
    quietest: list[float] = []
    for round_ in range(-1, _ROUNDS):
        took = []
        for place in range(_WARM_UP if round_ < 0 else _ROWS):
            columns = asked[place % len(asked)]
            started = clock()
            model.predict(executor.apply(columns))
            took.append(clock() - started)
        if round_ >= 0 and (not quietest or _percentile(took, 99) < _percentile(quietest, 99)):
            quietest = took
    return Latency(
        median_milliseconds=1000 * _percentile(quietest, 50),
        p99_milliseconds=1000 * _percentile(quietest, 99),
        rows=_ROWS,
        rounds=_ROUNDS,
    )


def weigh_bundle(bundle_path: Path, manifest: BundleManifest) -> int:
    """Return the bytes of all files of a bundle: a server fetches them all."""
    return sum((bundle_path / name).stat().st_size for name in (BUNDLE_MANIFEST, *manifest.files))


def check_latency(latency: Latency, budget: float) -> Check:
    """Hold the time of a row against the budget."""
    return Check(
        name="latency",
        is_passed=latency.p99_milliseconds <= budget,
        value=latency.p99_milliseconds,
        limit=budget,
        reason=(
            f"99 of 100 single rows take at most {latency.p99_milliseconds:.3g} ms, half of them "
            f"{latency.median_milliseconds:.3g} ms, from raw columns to the prediction; "
            f"asked for: at most {budget:g} ms"
        ),
    )


def check_size(weight: int, budget: float) -> Check:
    """Hold the room that a bundle takes against the budget, which is in megabytes."""
    megabytes = weight / 1e6
    return Check(
        name="size",
        is_passed=megabytes <= budget,
        value=megabytes,
        limit=budget,
        reason=f"the bundle's files weigh {megabytes:.3g} MB; asked for: at most {budget:g} MB",
    )


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent, method="higher"))
