"""How long does a run of the whole pipeline take, beside its steps started cold, one after the other?

    python -m benchmarks.pipeline_overhead

Both ways run the same compiled training pipeline on the same project, from a new home: nothing is cached, and
the registry, the feature store and the endpoint are made anew. The time is that of the whole process, from
its start to its end. In `sequential` each step is a new interpreter, which imports and then works, one after
the other, as `kfp.local` runs a pipeline; it also tells how much of that is the steps' own work, which no
runner can spare. `cold` is `mulgil run`; `warm` is the same after `mulgil up --warm`, which has started the
serving plane and made an interpreter ready for each step before the time begins. They take turns, so that all
see the same machine; the first round warms the disk's
cache and does not count.
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
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.pipeline_overhead.arms import WAYS
from benchmarks.pipeline_overhead.timed_step import TIMES
from mulgil.artifacts import write_text
from mulgil.home import SOURCE_ROOT

RESULTS = Path(__file__).parent.parent / "results" / "pipeline_overhead.json"
_PACKAGES = ("feast", "kfp", "mlflow", "tensorflow")
_WARM_UP_SECONDS = 180.0
_MULGIL = Path(sys.prefix) / "bin" / "mulgil"


def measure(way: str, pipeline: Path, project: Path, home: Path) -> dict[str, float]:
    """Run the pipeline once, from a new home.

    Returns:
        Seconds: the whole, and of `sequential` the sums of the imports and of the work of its steps.
    """
    home.mkdir()
    parameters = home / "parameters.json"
    parameters.write_text(json.dumps({"project_path": str(project)}), encoding="utf-8")
    environment = {**os.environ, "MULGIL_HOME": str(home)}
    if way == "warm":
        _warm_up(environment)
    command = [sys.executable, "-m", "benchmarks.pipeline_overhead.arms", way, pipeline, parameters]
    begun = time.perf_counter()
    ended = subprocess.run(command, env=environment, cwd=SOURCE_ROOT)
    seconds = {"whole": time.perf_counter() - begun}
    subprocess.run([_MULGIL, "down"], env=environment, stdout=subprocess.DEVNULL, check=True)
    if ended.returncode != 0:
        logs = [log.read_text() for log in home.rglob("log.txt")]
        raise RuntimeError(f"{way} failed:\n" + "\n".join(logs))
    times = [json.loads(file.read_text(encoding="utf-8")) for file in home.rglob(TIMES)]
    for part in ("imports", "work") if times else ():
        seconds[part] = sum(step[part] for step in times)
    return seconds


def _warm_up(environment: dict[str, str]) -> None:
    """Bring up the plane and the interpreters, and wait for them to be ready."""
    subprocess.run([_MULGIL, "up", "--warm"], env=environment, stdout=subprocess.DEVNULL, check=True)
    count = "from mulgil.local.warm_interpreters import count_ready; print(*count_ready())"
    deadline = time.monotonic() + _WARM_UP_SECONDS
    while time.monotonic() < deadline:
        answer = subprocess.run(
            [sys.executable, "-c", count], env=environment, capture_output=True, text=True, check=True
        )
        ready, wanted = map(int, answer.stdout.split())
        if 0 < ready == wanted:
            return
        time.sleep(1)
    raise RuntimeError("the warm interpreters do not become ready")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline_overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument(
        "--project-path", type=Path, default=SOURCE_ROOT / "projects" / "breast_cancer", help="the project"
    )
    arguments = parser.parse_args(argv)
    samples: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="mulgil-bench-") as work:
        pipeline = Path(work) / "training.yaml"
        subprocess.run([_MULGIL, "compile", "training", "--output", pipeline], check=True)
        for turn in range(arguments.rounds + 1):
            for way in WAYS:
                home = Path(work) / f"{way}-{turn}"
                seconds = measure(way, pipeline, arguments.project_path.resolve(), home)
                told = "  ".join(f"{part} {value:5.1f} s" for part, value in seconds.items())
                print(f"{'warm-up' if turn == 0 else f'round {turn}'}  {way:<11}{told}", flush=True)
                if turn > 0:
                    samples[way].append(seconds)
    write_text(
        RESULTS,
        json.dumps(
            {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
                "versions": {package: version(package) for package in _PACKAGES},
                "seconds": samples,
            },
            indent=2,
        )
        + "\n",
    )
    sequential = samples["sequential"]
    ratios = {
        way: statistics.median(
            ours["whole"] / theirs["whole"] for ours, theirs in zip(samples[way], sequential, strict=True)
        )
        for way in ("cold", "warm")
    }
    print(
        f"result: cold_ratio={ratios['cold']:.2f} warm_ratio={ratios['warm']:.2f} "
        f"cold_seconds={statistics.median(run['whole'] for run in samples['cold']):.1f} "
        f"warm_seconds={statistics.median(run['whole'] for run in samples['warm']):.1f} "
        f"sequential_seconds={statistics.median(run['whole'] for run in sequential):.1f} "
        f"own_work_seconds={statistics.median(run['work'] for run in sequential):.1f} "
        f"imports_seconds={statistics.median(run['imports'] for run in sequential):.1f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
