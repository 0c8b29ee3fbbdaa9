"""An interpreter that has done a component's imports and waits for its command line.

Run as `python -m mulgil.local.waiting_interpreter components.NAME [--reports]` in the component's
environment. It reads one line of JSON and then is that step: what follows is what
`python -m components.NAME …` does, in a process that has run nothing else and will run nothing else. An end
of its input without a line ends it.

With `--reports` its input is a socket, on which it says that its imports are done, and at the end its exit
code: who takes it over may not be its parent.

It stands in every environment, and so imports the standard library alone.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import sys


class _Leaving:
    """The end of the process, at once: taking TensorFlow or Feast apart first would cost up to a second."""

    def __init__(self) -> None:
        self.exit_code = 0
        self.channel: int | None = None

    def leave(self) -> None:
        """End the process with its exit code."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if self.channel is not None:
            with contextlib.suppress(OSError):
                os.write(self.channel, f"{self.exit_code}\n".encode())
        os._exit(self.exit_code)


def main() -> None:
    """Import, wait, and become the step."""
    module, *flags = sys.argv[1:]
    # The first to be registered is the last to be called: after all that the step's libraries registered.
    leaving = _Leaving()
    atexit.register(leaving.leave)
    # What fails here fails again as the step, and then its log has the reason.
    with contextlib.suppress(Exception):
        program = importlib.import_module(f"{module}.__main__")
        program.load_core()
        # What it may not need is imported while there is time.
        if hasattr(program, "load_rest") and not select.select([sys.stdin], [], [], 0)[0]:
            program.load_rest()
    if flags == ["--reports"]:
        leaving.channel = os.dup(sys.stdin.fileno())
        os.write(leaving.channel, b"ready\n")
    line = sys.stdin.readline()
    if not line:
        return
    step = json.loads(line)
    _become(step)
    sys.argv[1:] = step["arguments"]
    # Its module is loaded afresh, as by `-m`; what that imports is there already.
    sys.modules.pop(f"{module}.__main__", None)
    # An error that nobody catches is told by Python itself, on its way out.
    leaving.exit_code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        leaving.exit_code = 0
    except SystemExit as ended:
        leaving.exit_code = _exit_code_of(ended)


def _become(step: dict[str, object]) -> None:
    """Take the step's folder, variables, log and empty input."""
    os.chdir(str(step["folder"]))
    variables = step["variables"]
    assert isinstance(variables, dict)
    # Those that an import set stay; those of the run are the step's.
    os.environ.update(variables)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    log = os.open(str(step["log"]), os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)


def _exit_code_of(ended: SystemExit) -> int:
    """Return what Python itself makes of it."""
    if ended.code is None or isinstance(ended.code, int):
        return (ended.code or 0) & 0xFF
    print(ended.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
