"""`python -m mulgil.prediction_log`: collect predictions, and keep them as Parquet."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Return the flags; each one's destination is a parameter of `collect_predictions`."""
    parser = argparse.ArgumentParser(prog="python -m mulgil.prediction_log", description=__doc__)
    parser.add_argument("--root-path", required=True, type=Path, help="folder that predictions are kept in")
    parser.add_argument("--http-port", type=int, default=8082, help="where to listen (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--flush-seconds",
        type=float,
        default=30.0,
        help="how often what came is written as Parquet (default: %(default)s)",
    )
    parser.add_argument(
        "--pair-seconds",
        type=float,
        default=60.0,
        help="how long a request is kept for its response, where they come apart (default: %(default)s)",
    )
    return parser


def load_core() -> Callable[..., Any]:
    """Import what collects, once the flags are known to be right."""
    from mulgil.prediction_log.collector import collect_predictions

    return collect_predictions


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
