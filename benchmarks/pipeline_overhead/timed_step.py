"""A component started cold, which tells how long its imports and its own work took.

Run as `python -m benchmarks.pipeline_overhead.timed_step components.NAME FLAGS…` in the component's
environment. It does what `python -m components.NAME FLAGS…` does, in the same order, and so imports nothing
heavy itself.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from mulgil.program import run_program

# In the step's working directory.
TIMES = "times.json"


def main() -> int:
    """Run the component; write its times beside its log."""
    name, *flags = sys.argv[1:]
    program = importlib.import_module(f"{name}.__main__")
    times: dict[str, float] = {}

    def load_core() -> Any:
        begun = time.perf_counter()
        core = program.load_core()
        times["imports"] = time.perf_counter() - begun
        return core

    begun = time.perf_counter()
    code = run_program(program.build_parser(), load_core, flags)
    times["work"] = time.perf_counter() - begun - times.get("imports", 0.0)
    Path(TIMES).write_text(json.dumps(times), encoding="utf-8")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
