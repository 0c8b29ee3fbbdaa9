"""Do the steps stay linear and small with many rows, and how fast are they beside peers?

    python -m benchmarks.data [--only [ingestion statistics materialization pipeline aggregates]]
        [--rows 100000 1000000 10000000]

A table of 22 columns is ingested at each size in a process of its own. `growth` is the CPU time a row at the
greatest size over that at the least: 1 and less is linear. Statistics are computed of the training rows of a
table of `--statistics-rows`, four ways in turn (see `benchmarks/data/statistics.py`). Materialization is what
`benchmarks.materialize` measures. The pipeline is every step from ingestion to evaluation, with the greatest
memory of all its processes. Aggregates are six of an entity's past, in tables of ten rows an entity. Each
part can be run alone; what others left in the results stays there.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data.steps import STEPS, run_steps
from benchmarks.data.table import AGGREGATES, GROUPED, TRAINING, write_project
from mulgil.artifacts import write_text
from mulgil.home import SOURCE_ROOT

RESULTS = Path(__file__).parent.parent / "results" / "data.json"

_ROWS_OF_ENTITY = 10

# What a part leaves: its samples, and the figures of its result.
Part = dict[str, Any]

_VALIDATION = SOURCE_ROOT / "components" / "validate_data" / ".venv" / "bin" / "python"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=PARTS,
        default=list(PARTS),
        help="default: all; without a name only what parts left is shown",
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000], help="default: %(default)s"
    )
    parser.add_argument("--statistics-rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument(
        "--entities", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="default: %(default)s"
    )
    parser.add_argument("--stock-entities", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=("sqlite", "redis"),
        default=["sqlite", "redis"],
        help="default: both",
    )
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, default=list(STEPS), help="of the pipeline; default: all"
    )
    parser.add_argument(
        "--work", type=Path, help="a folder that stays, in which steps find what others left; default: none"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    parts = json.loads(RESULTS.read_text(encoding="utf-8")).get("parts", {}) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        for part in arguments.only:
            found = PARTS[part](work, arguments)
            # Of what is measured step by step, what was measured before stays.
            known = parts.get(part, {}) if arguments.work else {}
            parts[part] = found | {"figures": known.get("figures", {}) | found["figures"]}
            # At once, so that a part that is broken off takes none of the others with it.
            machine = {"machine": platform.platform(), "cores": os.cpu_count()}
            write_text(RESULTS, json.dumps({**machine, "parts": parts}, indent=2) + "\n")
    figures = {
        name: value for part in arguments.only or parts for name, value in parts[part]["figures"].items()
    }
    print("result: " + " ".join(f"{name}={value:.3g}" for name, value in figures.items()))
    return 0


def _measure_ingestion(work: Path, arguments: argparse.Namespace) -> Part:
    return _measure_growth(work, arguments.rows, "")


def _measure_aggregates(work: Path, arguments: argparse.Namespace) -> Part:
    return _measure_growth(work, arguments.rows, "aggregates_", GROUPED, AGGREGATES, _ROWS_OF_ENTITY)


def _measure_growth(work: Path, sizes: Sequence[int], prefix: str, *project: Any) -> Part:
    samples: dict[int, Any] = {}
    for rows in sorted(sizes):
        folder = work / str(rows)
        write_project(folder, rows, *project)
        samples[rows] = _ingest(folder)
        shutil.rmtree(folder)
        print(f"{rows:>12,} rows: {_describe(samples[rows])}", flush=True)
    least, greatest = min(samples), max(samples)
    a_row = {rows: sample["cpu_seconds"] / rows for rows, sample in samples.items()}
    figures = {
        f"{prefix}peak_gb_{_short(greatest)}": samples[greatest]["peak_gb"],
        f"{prefix}growth_{_short(least)}_to_{_short(greatest)}": a_row[greatest] / a_row[least],
    }
    return {"samples": samples, "figures": figures}


def _measure_statistics(work: Path, arguments: argparse.Namespace) -> Part:
    folder = work / "statistics"
    write_project(folder, arguments.statistics_rows)
    _ingest(folder)
    split = folder / "dataset" / "train.parquet"
    words = [str(split), str(folder / "few.csv"), str(arguments.rounds)]
    samples = _run([str(_VALIDATION), "-m", "benchmarks.data.statistics", *words])
    shutil.rmtree(folder)
    for name, speeds in samples.items():
        print(f"{name:>16}: {statistics.median(speeds):,.0f} rows/s", flush=True)
    median = {name: statistics.median(speeds) for name, speeds in samples.items()}
    figures = {
        "stats_vs_tfdv": median["ours"] / median["in_memory"],
        "stats_vs_tfdv_one_process": median["one_process"] / median["in_memory"],
        "stats_vs_tfdv_one_process_cpu": median["one_process_cpu"] / median["in_memory_cpu"],
        "stats_vs_tfdv_csv": median["ours"] / median["csv"],
    }
    return {"samples": samples, "figures": figures}


def _measure_materialization(work: Path, arguments: argparse.Namespace) -> Part:
    entities = [str(count) for count in arguments.entities]
    flags = ["--entities", *entities, "--rounds", str(arguments.rounds), "--backends", *arguments.backends]
    flags += ["--stock-entities", str(arguments.stock_entities)]
    lines = _lines([sys.executable, "-m", "benchmarks.materialize", *flags])
    print("\n".join(lines[:-1]), flush=True)
    pairs = dict(pair.split("=") for pair in lines[-1].removeprefix("result: ").split())
    return {"samples": lines[:-1], "figures": {name: float(value) for name, value in pairs.items()}}


def _measure_pipeline(work: Path, arguments: argparse.Namespace) -> Part:
    samples: dict[int, Any] = {}
    for rows in sorted(arguments.rows):
        folder = work / f"pipeline-{rows}"
        if not folder.exists():
            write_project(folder, rows, TRAINING)
        samples[rows] = run_steps(folder, arguments.steps)
        if arguments.work is None:
            shutil.rmtree(folder)
        for step, sample in samples[rows].items():
            print(f"{rows:>12,} rows, {step:>20}: {_describe(sample)}", flush=True)
    figures = {
        f"{step}_{name}_{_short(rows)}": sample[step][name]
        for rows, sample in samples.items()
        for step in arguments.steps
        for name in ("peak_gb", "cpu_seconds")
    }
    return {"samples": samples, "figures": figures}


PARTS: dict[str, Callable[[Path, argparse.Namespace], Part]] = {
    "ingestion": _measure_ingestion,
    "statistics": _measure_statistics,
    "materialization": _measure_materialization,
    "pipeline": _measure_pipeline,
    "aggregates": _measure_aggregates,
}


def _ingest(folder: Path) -> Any:
    return _run([sys.executable, "-m", "benchmarks.data.ingestion", str(folder)])


def _run(command: Sequence[str]) -> Any:
    return json.loads(_lines(command)[-1])


def _lines(command: Sequence[str]) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    done = subprocess.run(
        command, cwd=SOURCE_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.splitlines()


def _describe(sample: dict[str, float]) -> str:
    return (
        f"{sample['cpu_seconds']:.1f} s of CPU, {sample['seconds']:.1f} s, at most {sample['peak_gb']:.2f} GB"
    )


def _short(rows: int) -> str:
    return f"{rows:.0e}".replace("e+0", "e")


if __name__ == "__main__":
    raise SystemExit(main())
