"""The same statistics and anomalies as a Beam pipeline, for rows that are more than one machine's.

`python -m components.validate_data.on_beam --help`. What runs it is Beam's choice of runner: this machine by
default; Flink, Spark or Dataflow by the flags after `--`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.validate_data import PROJECT_SECTIONS
from mulgil.program import run_program


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; its destinations are the parameters of `validate_on_beam`."""
    parser = argparse.ArgumentParser(
        prog="python -m components.validate_data.on_beam",
        description="Hold Parquet files against a project's data dictionary, by a Beam pipeline. "
        "Exits with 3 where TFDV finds anomalies; everything is written all the same.",
    )
    parser.add_argument("--project-path", required=True, help="The project folder.")
    parser.add_argument(
        "--rows-pattern",
        required=True,
        help="Parquet files with the dictionary's columns, as ingest_data writes them: a path or a pattern, "
        "where Beam's workers see it too, such as gs://bucket/train-*.parquet.",
    )
    parser.add_argument(
        "--output-path",
        required=True,
        help="Folder to write, where the workers see it: statistics.pb, for tfdv.load_stats_binary, and "
        "anomalies.pbtxt, for tfdv.load_anomalies_text. They may quote a sensitive column's values.",
    )
    parser.add_argument(
        "beam_options", nargs="*", metavar="-- BEAM_OPTIONS", help="Beam's own, such as --runner=FlinkRunner."
    )
    return parser


def validate_on_beam(
    *, project_path: Path, rows_pattern: str, output_path: str, beam_options: Sequence[str] = ()
) -> None:
    """Hold rows against a project's dictionary.

    Args:
        project_path: The project folder.
        rows_pattern: Parquet files.
        output_path: Folder to write.
        beam_options: What runs the pipeline, and how.

    Raises:
        InputError: The project or the rows cannot be read.
        GateRejectedError: The rows have anomalies. Everything is written all the same.
    """
    from components.validate_data.beam_pipeline import run_pipeline
    from components.validate_data.schema import derive_schema
    from mulgil.contract import load_project
    from mulgil.contract.specifications import specify_validation
    from mulgil.errors import GateRejectedError

    dictionary = load_project(project_path, PROJECT_SECTIONS).dictionary
    kept = {column.name: column for column in dictionary.kept if column.name not in dictionary.keys}
    schema = derive_schema(specify_validation(dictionary))
    anomalies = run_pipeline(rows_pattern, output_path, kept, schema, beam_options)
    if anomalies.anomaly_info:
        raise GateRejectedError("\n".join(["The rows were rejected.", *_reasons(anomalies, kept)]))
    print(f"Approved: no anomalies in {rows_pattern}")


def _reasons(anomalies: Any, columns: dict[str, Any]) -> Iterator[str]:
    for name, info in sorted(anomalies.anomaly_info.items()):
        # Of an image's measures and the like no column has the name.
        is_sensitive = name not in columns or columns[name].sensitive
        # The short one quotes no value.
        words = (
            reason.short_description if is_sensitive else reason.description.strip() for reason in info.reason
        )
        yield f"  {name}: {'; '.join(words)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


def load_core() -> Callable[..., Any]:
    """Return what the flags are parameters of."""
    return validate_on_beam


if __name__ == "__main__":
    raise SystemExit(main())
