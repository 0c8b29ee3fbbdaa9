"""The program `python -m components.register_model`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.register_model",
        description="Register an approved model bundle in MLflow: a version of its model, with its lineage.",
    )
    parser.add_argument("--project-path", required=True, help="The project folder.")
    parser.add_argument("--bundle-path", type=Path, required=True, help="The bundle's directory.")
    parser.add_argument("--history-path", type=Path, required=True, help="JSON of the history of its fit.")
    parser.add_argument(
        "--evaluation-path", type=Path, required=True, help="JSON of what evaluate_model measured."
    )
    parser.add_argument(
        "--evaluation-verdict-path",
        type=Path,
        required=True,
        help="JSON of evaluate_model's verdict, which must approve this very bundle.",
    )
    parser.add_argument("--run-id", required=True, help="The pipeline run that made the bundle, for lineage.")
    parser.add_argument(
        "--registered-model-path",
        type=Path,
        required=True,
        help="JSON file to write the model version and the place of its bundle to.",
    )
    return parser


def load_core() -> Callable[..., Any]:
    """Import the core, with all that it needs."""
    from components.register_model.core import register_model
    from mulgil.registry import import_mlflow

    import_mlflow()
    return register_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
