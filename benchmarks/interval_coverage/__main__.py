"""How often do the reported intervals hold the truth, and how often is one of two equal models called better?

    python -m benchmarks.interval_coverage

Test sets and tables are drawn from simulations whose truth is known, and the evaluation's own code gives the
intervals that a report prints:

- of each metric of each task, which should hold the truth in 95 % of the repetitions;
- of the improvement over another model, which should hold the true improvement in 95 %; where the two are
  equally good and err apart (an A/A comparison) it should lie above zero in no more than 2.5 %, and never in
  more than the 5 % that a 95 % interval leaves: the share's upper bound (Clopper & Pearson, 95 %) is told;
- of groups of the rows (`groups_…`), all of which together should hold the truth in 95 %;
- of the mean over folds of a small table (`folds_…`), which should hold the mean score of such models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.interval_coverage.counting import Counts, measure_scene
from benchmarks.interval_coverage.folds import TABLES, measure_folds
from benchmarks.interval_coverage.groups import GROUPED, measure_groups
from benchmarks.interval_coverage.scenes import SCENES
from benchmarks.learning_steps import describe_machine
from mulgil.artifacts import write_text
from mulgil.contract import Metric

RESULTS = Path(__file__).parents[1] / "results" / "interval_coverage.json"
# Of a table that asks for folds.
_FOLDED_ROWS = 120
_NAMES = [one.name for one in (*SCENES, *GROUPED, *TABLES)]


def measure(
    names: Sequence[str], metrics: Sequence[str], rows: int, repetitions: int, seed: int
) -> list[Counts]:
    """Count in the scenes of these names, of these metrics."""
    kinds = (
        (SCENES, measure_scene, rows),
        (GROUPED, measure_groups, rows),
        (TABLES, measure_folds, min(rows, _FOLDED_ROWS)),
    )
    counts: list[Counts] = []
    for scenes, measure_one, of_rows in kinds:
        for scene in scenes:
            asked = tuple(metric for metric in scene.metrics if metric in metrics)
            if scene.name in names and asked:
                print(scene.name, flush=True)
                counts += measure_one(replace(scene, metrics=asked), of_rows, repetitions, seed)
    return counts


def print_results(counts: Sequence[Counts]) -> None:
    """Print a table and the last line."""

    def show(share: float | None) -> str:
        return "" if share is None else f"{share:.3f}"

    print(f"\n{'scene':<22}{'metric':<21}{'coverage':>8}{'of gains':>10}{'called better':>15}{'at most':>9}")
    for one in counts:
        share = None if one.called_better is None else one.called_better / one.repetitions
        print(
            f"{one.scene:<22}{one.metric:<21}{show(one.coverage):>8}{show(one.gain_coverage):>10}"
            f"{show(share):>15}{show(one.most_called_better):>9}"
        )
    coverages = [one.coverage for one in counts]
    gains = [one.gain_coverage for one in counts if one.gain_coverage is not None]
    called = [one.most_called_better for one in counts if one.most_called_better is not None]
    print(
        f"result: repetitions={counts[0].repetitions} least_coverage={min(coverages):.3f} "
        f"greatest_coverage={max(coverages):.3f} least_of_gains={min(gains, default=1):.3f} "
        f"greatest_of_gains={max(gains, default=0):.3f} most_called_better={max(called, default=0):.3f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interval_coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=300, help="Of a test set.")
    parser.add_argument("--scenes", nargs="+", choices=_NAMES, default=_NAMES, help="All, if not given.")
    parser.add_argument(
        "--metrics", nargs="+", choices=list(Metric), default=list(Metric), help="All, if not given."
    )
    parser.add_argument("--repetitions", type=int, default=1000, help="Test sets.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first test set.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file to write to.")
    arguments = parser.parse_args(argv)
    counts = measure(
        arguments.scenes, arguments.metrics, arguments.rows, arguments.repetitions, arguments.seed
    )
    if not counts:
        parser.error("none of these scenes has one of these metrics")
    content = {**describe_machine(), "rows": arguments.rows, "samples": [asdict(one) for one in counts]}
    write_text(arguments.results, json.dumps(content, indent=2) + "\n")
    print_results(counts)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
