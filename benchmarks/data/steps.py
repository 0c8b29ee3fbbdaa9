"""The steps from a table to a judged model, each a process of its own, and the most memory that each took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mulgil.home import SOURCE_ROOT

# What each step reads and writes beside the project, and where it is.
_PLACES = {
    "ingest_data": {"dataset": "dataset", "quarantine": "quarantine"},
    "validate_data": {
        "dataset": "dataset",
        "verdict": "data_verdict.json",
        "statistics": "statistics",
        "anomalies": "anomalies",
    },
    "materialize_features": {
        "dataset": "dataset",
        "validation-verdict": "data_verdict.json",
        "training-rows": "training_rows",
        "feature-service": "feature_service.json",
    },
    "train_model": {
        "training-rows": "training_rows",
        "feature-service": "feature_service.json",
        "bundle": "bundle",
        "history": "history.json",
    },
    "evaluate_model": {
        "training-rows": "training_rows",
        "bundle": "bundle",
        "evaluation": "evaluation.json",
        "verdict": "model_verdict.json",
    },
}
STEPS = tuple(_PLACES)
# How often memory is looked at; what is higher for a shorter time is still seen where one process takes it.
_SECONDS_BETWEEN = 0.2


def run_steps(folder: Path, steps: Sequence[str] = STEPS) -> dict[str, dict[str, float]]:
    """Run the steps on a project's folder.

    Args:
        folder: The project; what the steps write goes there too.
        steps: Which, in their order.

    Returns:
        Seconds, CPU seconds and peak of memory in GB, by step.
    """
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT), "MULGIL_HOME": str(folder / "home")}
    return {step: _run(step, _flags_of(step, folder), environment) for step in steps}


def _run(step: str, flags: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    own = SOURCE_ROOT / "components" / step / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    started = time.perf_counter()
    process = subprocess.Popen(
        [python, "-m", f"components.{step}", *flags],
        cwd=SOURCE_ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    shared = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        shared = max(shared, sum(_memory_of(process.pid)))
        time.sleep(_SECONDS_BETWEEN)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{step} ended with {process.returncode}")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": max(usage.ru_maxrss * 1024, shared) / 1e9,
    }


def _memory_of(session: int) -> Iterator[int]:
    """Give what each process of a session takes, in bytes, what several share divided among them."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getsid(int(entry.name)) == session:
                for line in (entry / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        yield int(line.split()[1]) * 1024
        except OSError:
            # It has just ended, or is somebody else's.
            continue


def _flags_of(step: str, folder: Path) -> list[str]:
    flags = [f"--project-path={folder}"]
    if step == "ingest_data":
        flags.append("--source=")
    return [*flags, *(f"--{name}-path={folder / place}" for name, place in _PLACES[step].items())]
