"""Is an epoch as fast as `model.fit` on an array in memory, and is the memory flat at ten million rows?

    python -m benchmarks.training [--only epochs memory] [--rows 10000] [--many-rows 1000000 10000000]

`epochs`: the same network on the same rows, 20 numbers each, four ways in processes of their own that
take turns: as training fits rows in memory, as it streams them from shards, `model.fit` as Keras does it by
itself, and `model.fit` with an epoch as one call and no XLA, which is how training does it. `input_vs_memory`
is the median epoch of plain `model.fit` over ours, `streamed_vs_memory` over the streamed one, `…_one_call`
likewise; above 1 is faster. The first epoch of each fit, in which graphs are traced, is told apart.

`memory`: the step `train_model` in a process of its own, from Parquet files of 22 columns to the bundle, with
one epoch to look and one to fit, and then the step `evaluate_model`, of a fifth as many test rows besides.
`peak_gb_…` and `evaluate_peak_gb_…` are the most memory that they had.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.data.table import DICTIONARY, PROJECT, make_rows
from benchmarks.learning_steps import refer_to_features
from mulgil.artifacts import DATASET_MANIFEST, DatasetManifest, write_text
from mulgil.contract import load_project
from mulgil.errors import GateRejectedError
from mulgil.home import SOURCE_ROOT

RESULTS = Path(__file__).parent.parent / "results" / "training.json"

ARMS = ("ours", "plain", "streamed", "plain_one_call")
_AT_ONCE = 500_000
# Rows of each split; those of the test are read by the evaluation alone, and counted besides.
_SHARES = {"train": 0.8, "validation": 0.2, "test": 0.2}
_TRAINING = "training: {batch_size: 4096, max_epochs: 1, patience: 1}\n"

Part = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=("epochs", "memory"), default=["epochs", "memory"])
    parser.add_argument("--rows", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--many-rows", type=int, nargs="+", default=[1_000_000, 10_000_000], help="default: %(default)s"
    )
    arguments = parser.parse_args(argv)
    parts = json.loads(RESULTS.read_text(encoding="utf-8")).get("parts", {}) if RESULTS.exists() else {}
    measure = {"epochs": _measure_epochs, "memory": _measure_memory}
    for part in arguments.only:
        parts[part] = measure[part](arguments)
        # At once, so that a part that is broken off takes the other not with it.
        machine = {"machine": platform.platform(), "cores": os.cpu_count()}
        versions = {name: version(name) for name in ("keras", "tensorflow", "numpy", "pyarrow")}
        write_text(RESULTS, json.dumps({**machine, "versions": versions, "parts": parts}, indent=2) + "\n")
    figures = {name: value for part in arguments.only for name, value in parts[part]["figures"].items()}
    print("result: " + " ".join(f"{name}={value:.3g}" for name, value in figures.items()))
    return 0


def _measure_epochs(arguments: argparse.Namespace) -> Part:
    words = [str(number) for number in (arguments.rows, arguments.epochs, arguments.batch_size)]
    processes = {
        arm: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training.arms", arm, *words],
            cwd=SOURCE_ROOT,
            env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arm in ARMS
    }
    samples: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    try:
        # The first round of all waits for the imports of all.
        for number in range(arguments.rounds):
            for place in range(len(ARMS)):
                arm = ARMS[(number + place) % len(ARMS)]
                samples[arm].append(_ask(processes[arm]))
    finally:
        for process in processes.values():
            process.communicate(timeout=60)
    by_round = {arm: [statistics.median(fit[1:]) for fit in fits] for arm, fits in samples.items()}
    epoch = {arm: statistics.median(medians) for arm, medians in by_round.items()}
    for arm in ARMS:
        first = statistics.median(fit[0] for fit in samples[arm])
        low, high = min(by_round[arm]), max(by_round[arm])
        told = f"{epoch[arm] * 1000:.1f} ms an epoch ({low * 1000:.1f} to {high * 1000:.1f} by round)"
        print(f"{arm:>15}: {told}, the first {first:.2f} s", flush=True)
    figures = {
        "input_vs_memory": epoch["plain"] / epoch["ours"],
        "input_vs_one_call": epoch["plain_one_call"] / epoch["ours"],
        "streamed_vs_memory": epoch["plain"] / epoch["streamed"],
        "streamed_vs_one_call": epoch["plain_one_call"] / epoch["streamed"],
    }
    return {"asked": vars(arguments), "samples": samples, "figures": figures}


def _ask(process: subprocess.Popen[str]) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("fit\n")
    process.stdin.flush()
    seconds: list[float] = json.loads(process.stdout.readline())
    return seconds


def _measure_memory(arguments: argparse.Namespace) -> Part:
    samples: dict[str, Any] = {}
    for rows in sorted(arguments.many_rows):
        with tempfile.TemporaryDirectory() as work:
            samples[_short(rows)] = _train_and_judge(Path(work), rows)
        for step, sample in samples[_short(rows)].items():
            print(
                f"{rows:>12,} rows, {step}: at most {sample['peak_gb']:.2f} GB, "
                f"{sample['cpu_seconds']:.0f} s of CPU, {sample['seconds']:.0f} s",
                flush=True,
            )
    figures = {
        f"{prefix}peak_gb_{rows}": of_rows[step]["peak_gb"]
        for rows, of_rows in samples.items()
        for step, prefix in (("train_model", ""), ("evaluate_model", "evaluate_"))
    }
    return {"samples": samples, "figures": figures}


def _train_and_judge(work: Path, rows: int) -> dict[str, Any]:
    project = work / "project"
    project.mkdir()
    (project / "project.yaml").write_text(PROJECT + _TRAINING, encoding="utf-8")
    (project / "data_dictionary.yaml").write_text(DICTIONARY, encoding="utf-8")
    folder = load_project(project)
    of_split = {split: round(rows * share) for split, share in _SHARES.items()}
    (work / "rows").mkdir()
    random = np.random.default_rng(0)
    for split, count in of_split.items():
        schema = make_rows(random, 0, 1).schema
        with pq.ParquetWriter(work / "rows" / f"{split}.parquet", schema) as writer:
            for start in range(0, count, _AT_ONCE):
                writer.write_table(make_rows(random, start, min(_AT_ONCE, count - start)))
    DatasetManifest(
        fingerprint="0" * 64,
        dictionary_fingerprint=folder.dictionary.fingerprint,
        source="generated",
        rows_read=sum(of_split.values()),
        rows=of_split,
        rows_quarantined=0,
        rows_deduplicated=0,
    ).write(work / "rows" / DATASET_MANIFEST)
    refer_to_features(folder).write(work / "feature_service.json")
    read = {"project-path": project, "training-rows-path": work / "rows", "bundle-path": work / "bundle"}
    trained = _run_step(
        "train_model",
        work,
        read
        | {
            "feature-service-path": work / "feature_service.json",
            "history-path": work / "history.json",
        },
    )
    judged = _run_step(
        "evaluate_model",
        work,
        read | {"evaluation-path": work / "evaluation.json", "verdict-path": work / "verdict.json"},
        # A gate may say no to one epoch.
        accepted=(0, GateRejectedError.exit_code),
    )
    history = json.loads((work / "history.json").read_text(encoding="utf-8"))["val_loss"]
    return {"train_model": trained | {"history": history}, "evaluate_model": judged}


def _run_step(
    component: str, work: Path, paths: dict[str, Path], accepted: Sequence[int] = (0,)
) -> dict[str, Any]:
    flags = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"components.{component}", *flags],
        cwd=SOURCE_ROOT,
        env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT), "MULGIL_HOME": str(work / "home")},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise SystemExit(f"{component} ended with {process.returncode}")
    return {
        "peak_gb": usage.ru_maxrss * 1024 / 1e9,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "seconds": time.perf_counter() - started,
    }


def _short(rows: int) -> str:
    return f"{rows:.0e}".replace("e+0", "e")


if __name__ == "__main__":
    raise SystemExit(main())
