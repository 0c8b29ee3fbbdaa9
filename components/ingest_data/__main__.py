"""The program `python -m components.ingest_data`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.ingest_data",
        description="Read a project's source into a split, typed dataset; set aside the rows that are wrong.",
    )
    parser.add_argument(
        "--project-path",
        required=True,
        help="Folder with project.yaml and data_dictionary.yaml, or the address of one that is packed.",
    )
    parser.add_argument(
        "--source",
        default="",
        help="Path (from the working directory), spans such as sales/{date}.csv, or URL that replaces the "
        "project's location. "
        "Where the project's source is Python, a .csv or .parquet file can stand in for it.",
    )
    parser.add_argument(
        "--dataset-path",
        type=Path,
        required=True,
        help="Folder to write: train, validation and test as Parquet, and manifest.json.",
    )
    parser.add_argument(
        "--quarantine-path",
        type=Path,
        required=True,
        help="Folder to write: rows.jsonl, the rows set aside and why.",
    )
    return parser


def load_core() -> Callable[..., Any]:
    """Import the core, with all that it needs."""
    from components.ingest_data.core import ingest_data

    return ingest_data


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
