"""The program `python -m components.materialize_features`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.materialize_features",
        description=(
            "Apply the feature definitions, write the offline store, join the training rows at their point "
            "in time, fill the online store and hold it against the offline values."
        ),
    )
    parser.add_argument("--project-path", required=True, help="The project folder.")
    parser.add_argument(
        "--dataset-path", type=Path, required=True, help="Directory of the dataset that ingest_data made."
    )
    parser.add_argument(
        "--validation-verdict-path",
        type=Path,
        required=True,
        help="Verdict of validate_data on this dataset; without its approval nothing is written.",
    )
    parser.add_argument(
        "--training-rows-path",
        type=Path,
        required=True,
        help="Directory to write: the splits as Parquet with features from the offline store.",
    )
    parser.add_argument(
        "--feature-service-path",
        type=Path,
        required=True,
        help="JSON file to write: the feature service and the version of the online store.",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


def load_core() -> Callable[..., Any]:
    """Import the core, with all that it needs."""
    from components.materialize_features.core import materialize_features

    return materialize_features


if __name__ == "__main__":
    raise SystemExit(main())
