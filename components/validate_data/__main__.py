"""The program: `python -m components.validate_data`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; its destinations are the parameters of `validate_data`."""
    parser = argparse.ArgumentParser(
        prog="python -m components.validate_data",
        description=(
            "Judge an ingested dataset against its project's data dictionary. "
            "Exits with 3 where the dataset is rejected; everything is written all the same."
        ),
    )
    parser.add_argument("--project-path", required=True, help="The project folder.")
    parser.add_argument("--dataset-path", type=Path, required=True, help="Directory that ingest_data wrote.")
    parser.add_argument("--verdict-path", type=Path, required=True, help="Verdict to write, as JSON.")
    parser.add_argument(
        "--statistics-path",
        type=Path,
        required=True,
        help="Directory to write: TFDV's statistics of each split, and its schema.",
    )
    parser.add_argument(
        "--anomalies-path",
        type=Path,
        required=True,
        help="Directory to write: TFDV's anomalies of each split.",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


def load_core() -> Callable[..., Any]:
    """Import the core, with all that it needs."""
    from components.validate_data.core import validate_data

    return validate_data


if __name__ == "__main__":
    raise SystemExit(main())
