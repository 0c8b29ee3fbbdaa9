"""What `run` and `plan` share: the training pipeline with a project's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mulgil.contract.sources import files_at
from mulgil.errors import InputError, describe
from mulgil.home import home
from mulgil.local.project_snapshot import parse_setting, snapshot_project

ProjectArgument = Annotated[Path, typer.Argument(help="Folder with project.yaml and data_dictionary.yaml.")]
SourceOption = Annotated[
    str | None,
    typer.Option(
        help="A file, a folder of files, a quoted pattern such as 'parts/*.csv', or a URL to read instead of "
        "the project's source."
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of project.yaml for this run."),
]
DeployOption = Annotated[
    bool, typer.Option("--deploy/--no-deploy", help="Deploy the model when it is approved.")
]
DEFAULT_PROJECT = Path("projects/breast_cancer")


@dataclass(frozen=True)
class TrainingRequest:
    """A run of the training pipeline, as it was asked for.

    Attributes:
        compiled: The pipeline as the KFP compiler writes it.
        project: The project's name.
        parameters: The pipeline's parameters.
    """

    compiled: str
    project: str
    parameters: dict[str, Any]


def request_training(
    project: Path, source: str | None, settings: Sequence[str], *, is_deployed: bool
) -> TrainingRequest:
    """Check what was asked for, and compile.

    Raises:
        InputError: The project, a setting or the source is wrong.
    """
    # Before kfp is imported, so that a mistake in a project is shown at once.
    snapshot = snapshot_project(project, dict(map(parse_setting, settings)), home() / "projects")
    parameters = {
        "project_path": str(snapshot.path),
        "source": _located(source),
        "is_deployed": is_deployed,
    }
    from pipelines.compile import compile_pipeline

    return TrainingRequest(compile_pipeline("training"), snapshot.project.name, parameters)


def _located(source: str | None) -> str:
    """Make a path absolute, as the steps work in folders of their own."""
    if source is None or "://" in source:
        return source or ""
    path = Path(source).resolve()
    if not files_at(path):
        raise InputError(
            describe(
                "The source is a folder without files" if path.is_dir() else "The source does not exist",
                expected="a file, a folder of files, a pattern such as 'parts/*.csv', or a URL",
                received=f"--source {source}",
            )
        )
    return str(path)
