"""The program `python -m components.evaluate_model`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.evaluate_model",
        description="Judge a model bundle on the test rows, beside baseline and champion; leave a verdict.",
    )
    parser.add_argument("--project-path", required=True, help="The project folder, for its gates.")
    parser.add_argument(
        "--training-rows-path",
        type=Path,
        required=True,
        help="Directory with train.parquet, validation.parquet, test.parquet and manifest.json.",
    )
    parser.add_argument("--bundle-path", type=Path, required=True, help="Directory of the bundle to judge.")
    parser.add_argument(
        "--evaluation-path", type=Path, required=True, help="JSON file to write the measurements to."
    )
    parser.add_argument("--verdict-path", type=Path, required=True, help="JSON file to write the verdict to.")
    return parser


def load_core() -> Callable[..., Any]:
    """Import the core, and TensorFlow with it."""
    from components.tensorflow_startup import start_tensorflow

    start_tensorflow()
    from components.evaluate_model.core import evaluate_model

    return evaluate_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
