"""How often is a good canary rolled back, and how many requests does a bad one touch until it is?

    python -m benchmarks.rollout_decision

Rollouts are simulated on autocorrelated traffic (`traffic.py`), watched after every window of half a minute,
by

- ours: `mulgil.rollout.weighing` with the default policy, the very code that decides a rollout;
- fixed: for each harm, the two-sample z test of the same hypotheses at the same share of the error level,
  that looks once; its sample size is the least at which it has the power on these very traces, chosen with
  hindsight;
- Flagger's and Argo Rollouts' threshold rules, with the numbers of their documentation, and with thresholds
  set by somebody who knows the stable version's error rate and latency and our limits.

`result:` has the greatest upper 95 % bound (Clopper-Pearson) of the share of good canaries that were rolled
back, the level that the policy states, and the worst ratio of requests exposed to those of the fixed test.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks.rollout_decision import rules
from benchmarks.rollout_decision.plot import draw_plot
from benchmarks.rollout_decision.thresholds import THRESHOLD_RULES
from benchmarks.rollout_decision.traffic import (
    CALM,
    DRIFTING,
    RARELY_STALLING,
    ROUGH,
    STALLING,
    Harm,
    Weather,
    draw_conditions,
)
from mulgil.artifacts import write_text

RESULTS = Path(__file__).parent.parent / "results"

Row = dict[str, Any]

# Name, weather, load, replayed pairs. The candidate is a good one that predicts differently, as the replay
# told.
GOOD: tuple[tuple[str, Weather, float, int, Harm], ...] = (
    ("calm", CALM, 1.0, 2000, Harm()),
    ("drifting", DRIFTING, 1.0, 2000, Harm()),
    ("drifting, with incidents", ROUGH, 1.0, 2000, Harm()),
    ("a fifth of the traffic", ROUGH, 0.2, 2000, Harm()),
    ("replay of 300 requests", ROUGH, 1.0, 300, Harm()),
    # As bad in every way as is tolerated: the null's own edge. 0.08 in the log-odds is a distance of 0.02.
    ("at the edge of what is tolerated", ROUGH, 1.0, 2000, Harm(0.001, 1.05, 0.08, 0.01)),
    # Each arm stands still by itself: a collector of garbage, a busy machine.
    ("stalls of 1 s, once a minute", STALLING, 1.0, 2000, Harm()),
    ("the same, five times the traffic", STALLING, 5.0, 2000, Harm()),
    ("stalls of 5 s, every ten minutes", RARELY_STALLING, 1.0, 2000, Harm()),
)
# Name, harm, the metric that shows it, and whether the bound holds for it.
HARMFUL: tuple[tuple[str, Harm, str], ...] = (
    ("errors +1 point", Harm(errors=0.01), "error_rate"),
    ("errors +5 points", Harm(errors=0.05), "error_rate"),
    ("latency x1.2", Harm(latency=1.2), "latency"),
    ("latency x1.5", Harm(latency=1.5), "latency"),
    ("predictions shifted by 0.5", Harm(scores=0.5), "predictions"),
    ("predictions shifted by 1", Harm(scores=1.0), "predictions"),
    ("wrong answers +5 points", Harm(wrong=0.05), "accuracy"),
)


def upper_bound(count: int, trials: int) -> float:
    """Return the upper 95 % bound of a share, by Clopper and Pearson."""
    return float(beta.ppf(0.95, count + 1, trials - count)) if count < trials else 1.0


def summarise(outcome: rules.Outcome) -> dict[str, Any]:
    """Return an outcome's figures, and every sample."""
    return {
        "rolled_back": float(outcome.is_rolled_back.mean()),
        "promoted": float(outcome.is_promoted.mean()),
        "exposed_mean": float(outcome.exposed.mean()),
        "exposed_median": float(np.median(outcome.exposed)),
        "minutes_median": float(np.median(outcome.windows)) / 2,
        "exposed": outcome.exposed.astype(int).tolist(),
        "is_rolled_back": outcome.is_rolled_back.astype(int).tolist(),
    }


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
        name: Its name.
        weather: The traffic's.
        load: Times the usual traffic.
        pairs: That the replay compared.
        harm: In what the canary is worse.
        metric: That shows it; empty where the canary is good.
    """

    name: str
    weather: Weather
    load: float
    pairs: int
    harm: Harm
    metric: str


CELLS = (
    *(Cell(*cell, metric="") for cell in GOOD),
    *(Cell(name, ROUGH, 1.0, 2000, harm, metric) for name, harm, metric in HARMFUL),
)


def measure(cells: Sequence[Cell], rollouts: int, windows: int, seed: int, processes: int) -> Iterator[Row]:
    """Walk every cell by every rule, on the same conditions; a cell's figures do not depend on the others."""
    with ProcessPoolExecutor(processes) as pool:
        # The longest first, so that no process ends long before the others.
        by_length = sorted(cells, key=lambda cell: (bool(cell.metric), -cell.load))
        tasks = {cell.name: pool.submit(measure_cell, cell, rollouts, windows, seed) for cell in by_length}
        for cell in cells:
            row = tasks[cell.name].result()
            print(describe_row(row), flush=True)
            yield row


def measure_cell(cell: Cell, rollouts: int, windows: int, seed: int) -> Row:
    """Walk one cell by every rule."""
    conditions = draw_conditions(cell.weather, rollouts, windows, seed, cell.load)
    prepared = rules.prepare(conditions, seed, pairs=cell.pairs)
    row: Row = {"cell": cell.name, "harm": asdict(cell.harm), "rules": {}}
    row["rules"]["mulgil"] = summarise(rules.walk_ours(conditions, prepared, cell.harm, seed))
    for rule in THRESHOLD_RULES:
        row["rules"][rule.name] = summarise(rule.walk(conditions, prepared, cell.harm, seed))
    if cell.metric:
        rejected, served = rules.walk_fixed(conditions, prepared, cell.harm, seed, cell.metric)
        enough = np.flatnonzero(rejected >= rules.POWER)
        # Where even the last look is not enough, the peer needs more than it was given.
        at = int(enough[0]) if len(enough) else len(served) - 1
        row["fixed"] = {"requests": served[at], "power": float(rejected[at]), "windows": at + 1}
        row["exposure_vs_fixed"] = row["rules"]["mulgil"]["exposed_mean"] / served[at]
    else:
        false_rollbacks = int(sum(row["rules"]["mulgil"]["is_rolled_back"]))
        row["false_rollback_upper95"] = upper_bound(false_rollbacks, rollouts)
    return row


def describe_row(row: dict[str, Any]) -> str:
    """Write a cell down: share rolled back, and requests exposed, by rule."""
    parts = [
        f"{name} {figures['rolled_back']:6.1%} {figures['exposed_mean']:7,.0f}"
        for name, figures in row["rules"].items()
    ]
    if "fixed" in row:
        fixed = row["fixed"]
        parts.append(
            f"fixed {fixed['power']:.1%} {fixed['requests']:,.0f} ratio {row['exposure_vs_fixed']:.2f}"
        )
    else:
        parts.append(f"upper bound {row['false_rollback_upper95']:.2%}")
    return f"{row['cell']:32} " + " | ".join(parts)


def write_table(rows: Sequence[dict[str, Any]]) -> str:
    """Write the table of the documentation, in Markdown."""
    names = list(rows[0]["rules"])
    lines = [
        "| canary | " + " | ".join(names) + " | fixed: requests | ratio |",
        "|---|" + "---|" * (len(names) + 2),
    ]
    for row in rows:
        cells = [
            f"{row['rules'][n]['rolled_back']:.1%}, {row['rules'][n]['exposed_mean']:,.0f}" for n in names
        ]
        fixed = (
            [f"{row['fixed']['requests']:,.0f}", f"{row['exposure_vs_fixed']:.2f}"]
            if "fixed" in row
            else ["", ""]
        )
        kind = "harmful: " if "fixed" in row else "good: "
        lines.append("| " + " | ".join([kind + row["cell"], *cells, *fixed]) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, print, and write table, plot and samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=2000, help="a cell (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=400, help="at most, of half a minute each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="cells at a time (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="CELL", help="of the table's rows, only these")
    parser.add_argument("--results-path", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    names = [cell.name for cell in CELLS]
    if unknown := set(arguments.only or ()) - set(names):
        parser.error(f"there is no cell {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    cells = [cell for cell in CELLS if cell.name in (arguments.only or names)]
    started = time.perf_counter()
    rows = list(measure(cells, arguments.rollouts, arguments.windows, arguments.seed, arguments.processes))
    folder: Path = arguments.results_path
    document = {
        "versions": {name: version(name) for name in ("numpy", "scipy")},
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
        "rollouts": arguments.rollouts,
        "windows": arguments.windows,
        "seed": arguments.seed,
        "seconds": time.perf_counter() - started,
        "cells": rows,
    }
    write_text(folder / "rollout_decision.json", json.dumps(document))
    write_text(folder / "rollout_decision.md", write_table(rows))
    write_text(folder / "rollout_decision.svg", draw_plot(rows))
    good, harmful = ([row for row in rows if ("fixed" in row) is is_bad] for is_bad in (False, True))
    worst_bound = max((row["false_rollback_upper95"] for row in good), default=np.nan)
    worst_ratio = max((row["exposure_vs_fixed"] for row in harmful), default=np.nan)
    least_power = min((row["rules"]["mulgil"]["rolled_back"] for row in harmful), default=np.nan)
    print(
        f"result: false_rollback_upper95={worst_bound:.4f} stated_level={rules.LEVEL} "
        f"exposure_vs_fixed={worst_ratio:.2f} least_power={least_power:.3f} stated_power={rules.POWER}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
