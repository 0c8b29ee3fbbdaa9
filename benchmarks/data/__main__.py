"""Does ingestion stay linear and small, and how fast are statistics beside TFDV's own ways?

    python -m benchmarks.data [--rows 100000 1000000 10000000] [--rounds 3]

A table of 22 columns is ingested at each size in a process of its own. `growth` is the CPU time a row at the
greatest size over that at the least: 1 and less is linear. Statistics are computed of the training rows of
the second size, three ways in turn (see `benchmarks/data/statistics.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data.table import write_project
from mulgil.artifacts import write_text
from mulgil.home import SOURCE_ROOT

RESULTS = Path(__file__).parent.parent / "results" / "data.json"
_VALIDATION = SOURCE_ROOT / "components" / "validate_data" / ".venv" / "bin" / "python"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000], help="default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the statistics; default: %(default)s")
    arguments = parser.parse_args(argv)
    sizes = sorted(arguments.rows)
    ingestion: dict[int, Any] = {}
    speeds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work:
        for rows in sizes:
            folder = Path(work, str(rows))
            write_project(folder, rows)
            ingestion[rows] = _run([sys.executable, "-m", "benchmarks.data.ingestion", str(folder)])
            print(f"{rows:>12,} rows: {_describe(ingestion[rows])}", flush=True)
            if rows == sizes[min(1, len(sizes) - 1)]:
                split = folder / "dataset" / "train.parquet"
                words = [str(split), str(folder / "few.csv"), str(arguments.rounds)]
                speeds = _run([str(_VALIDATION), "-m", "benchmarks.data.statistics", *words])
                for name, samples in speeds.items():
                    print(f"{name:>12}: {statistics.median(samples):,.0f} rows/s", flush=True)
            shutil.rmtree(folder)
    least, greatest = sizes[0], sizes[-1]
    a_row = {rows: sample["cpu_seconds"] / rows for rows, sample in ingestion.items()}
    median = {name: statistics.median(samples) for name, samples in speeds.items()}
    figures = {
        "stats_vs_tfdv": median["ours"] / median["in_memory"],
        "stats_vs_tfdv_csv": median["ours"] / median["csv"],
        f"peak_gb_{_short(greatest)}": ingestion[greatest]["peak_gb"],
        f"growth_{_short(least)}_to_{_short(greatest)}": a_row[greatest] / a_row[least],
    }
    samples = {"ingestion": ingestion, "statistics_rows_a_second": speeds}
    machine = {"machine": platform.platform(), "cores": os.cpu_count()}
    write_text(RESULTS, json.dumps({**machine, "samples": samples, "figures": figures}, indent=2) + "\n")
    print("result: " + " ".join(f"{name}={value:.3g}" for name, value in figures.items()))
    return 0


def _run(command: Sequence[str]) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    done = subprocess.run(
        command, cwd=SOURCE_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _describe(sample: dict[str, float]) -> str:
    return (
        f"{sample['cpu_seconds']:.1f} s of CPU, {sample['seconds']:.1f} s, at most {sample['peak_gb']:.2f} GB"
    )


def _short(rows: int) -> str:
    return f"{rows:.0e}".replace("e+0", "e")


if __name__ == "__main__":
    raise SystemExit(main())
