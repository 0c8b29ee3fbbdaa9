"""A component in the debugger: it stops at its core's first line, and where the core raises.

Run as `python -m mulgil.local.debugged_step components.NAME …` in the component's environment, on a terminal.
It stands in every environment, and so imports nothing heavy.
"""

from __future__ import annotations

import importlib
import pdb
import sys
import traceback
from collections.abc import Callable
from typing import Any

from mulgil.program import run_program

# As a shell says of a command that Ctrl-C ended: 128 + SIGINT.
_QUIT = 130


def main() -> int:
    """Debug the component, and return its exit code."""
    name, *flags = sys.argv[1:]
    program = importlib.import_module(f"{name}.__main__")
    return run_program(program.build_parser(), lambda: _debugged(program.load_core()), flags)


class _Debugger(pdb.Pdb):
    has_quit = False

    def set_quit(self) -> None:
        """Note that the user wants no more; `runcall` would return as from a core that ended."""
        self.has_quit = True
        super().set_quit()


def _debugged(core: Callable[..., Any]) -> Callable[..., Any]:
    def debug(**arguments: Any) -> None:
        debugger = _Debugger()
        try:
            debugger.runcall(core, **arguments)
        except Exception as exc:
            traceback.print_exc()
            pdb.post_mortem(exc.__traceback__)
            raise
        if debugger.has_quit:
            raise SystemExit(_QUIT)

    return debug


if __name__ == "__main__":
    raise SystemExit(main())
