"""An interpreter that has done a component's imports and waits for its command line.

Run as `python -m mulgil.local.waiting_interpreter components.NAME` in the component's environment. It reads
one line of JSON and then is that step: what follows is what `python -m components.NAME …` does, in a process
that has run nothing else and will run nothing else. An end of its input without a line ends it.

It stands in every environment, and so imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import sys


def main() -> None:
    """Import, wait, and become the step."""
    module = sys.argv[1]
    # What fails here fails again as the step, and then its log has the reason.
    with contextlib.suppress(Exception):
        program = importlib.import_module(f"{module}.__main__")
        program.load_core()
        # What it may not need is imported while there is time.
        if hasattr(program, "load_rest") and not select.select([sys.stdin], [], [], 0)[0]:
            program.load_rest()
    line = sys.stdin.readline()
    if not line:
        return
    step = json.loads(line)
    os.chdir(step["folder"])
    log = os.open(step["log"], os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)
    sys.argv[1:] = step["arguments"]
    # Its module is loaded afresh, as by `-m`; what that imports is there already.
    sys.modules.pop(f"{module}.__main__", None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
