"""The program `python -m components.train_model`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.train_model",
        description="Fit the preprocessing and the network on the training rows, and write a model bundle.",
    )
    parser.add_argument("--project-path", required=True, help="The project folder.")
    parser.add_argument(
        "--training-rows-path",
        type=Path,
        required=True,
        help="Directory with train.parquet, validation.parquet and manifest.json; test.parquet is not read.",
    )
    parser.add_argument(
        "--feature-service-path",
        type=Path,
        required=True,
        help="JSON of the feature service and store version that the model reads.",
    )
    parser.add_argument("--bundle-path", type=Path, required=True, help="Directory to write the bundle to.")
    parser.add_argument(
        "--history-path", type=Path, required=True, help="JSON file to write the history of the fit to."
    )
    return parser


def load_core() -> Callable[..., Any]:
    """Import the core, and TensorFlow with it."""
    from components.tensorflow_startup import start_tensorflow

    start_tensorflow()
    from components.train_model.core import train_model

    return train_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
