"""`python -m mulgil.local.plane`: the supervisor, which the client starts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Return the flags; each one's destination is a parameter of `supervise`."""
    parser = argparse.ArgumentParser(prog="python -m mulgil.local.plane", description=__doc__)
    parser.add_argument("--state-path", required=True, type=Path, help="the plane's folder")
    parser.add_argument(
        "--http-port",
        type=int,
        default=8080,
        help="where clients come in; the next free port where it is taken (default: %(default)s)",
    )
    return parser


def load_core() -> Callable[..., Any]:
    """Import what supervises."""
    from mulgil.local.plane.supervisor import supervise

    return supervise


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
