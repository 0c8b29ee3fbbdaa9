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
from mulgil.local.platforms import RunnerKind
from mulgil.local.project_snapshot import parse_setting, snapshot_project

ProjectArgument = Annotated[Path, typer.Argument(help="Folder with project.yaml and data_dictionary.yaml.")]
SourceOption = Annotated[
    str | None,
    typer.Option(
        help="A file, a folder of files, a quoted pattern such as 'parts/*.csv', spans such as "
        "'sales/{date}.csv', or a URL to read instead of the project's source."
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of project.yaml for this run."),
]
DeployOption = Annotated[
    bool, typer.Option("--deploy/--no-deploy", help="Deploy the model when it is approved.")
]
RunnerOption = Annotated[
    RunnerKind,
    typer.Option(
        "--runner",
        help="What the steps and the endpoint run in: processes of this machine, or containers of the images "
        "that `make images` builds.",
    ),
]
ImagesOption = Annotated[
    str,
    typer.Option(
        "--registry", help="With `--runner docker`: where the images are from, such as ghcr.io/acme."
    ),
]
DEFAULT_PROJECT = Path("projects/breast_cancer")


@dataclass(frozen=True)
class TrainingRequest:
    """A run of the training pipeline, as it was asked for.

    Attributes:
        compiled: The pipeline as the KFP compiler writes it.
        project: The project's name.
        parameters: The pipeline's parameters.
        runner: What its steps run in.
    """

    compiled: str
    project: str
    parameters: dict[str, Any]
    runner: RunnerKind


def request_training(
    project: Path,
    source: str | None,
    settings: Sequence[str],
    *,
    is_deployed: bool,
    runner: RunnerKind = RunnerKind.LOCAL,
    registry: str = "",
) -> TrainingRequest:
    """Check what was asked for, and compile.

    Raises:
        InputError: The project, a setting or the source is wrong.
    """
    if registry and runner is not RunnerKind.DOCKER:
        raise InputError(
            describe(
                "Only containers come from a registry",
                received=f"--registry {registry} --runner {runner}",
                next_step="say --runner docker too, or leave --registry out",
            )
        )
    # Before kfp is imported, so that a mistake in a project is shown at once.
    snapshot = snapshot_project(project, dict(map(parse_setting, settings)), home() / "projects")
    parameters = {
        "project_path": str(snapshot.path),
        "source": _located(source),
        "is_deployed": is_deployed,
    }
    from pipelines.compile import compile_pipeline

    compiled = compile_pipeline("training")
    if runner is RunnerKind.DOCKER:
        from mulgil.cluster.pipeline_settings import read_settings
        from pipelines.kubernetes import adapt_to_engine

        compiled = adapt_to_engine(compiled, read_settings(), registry=registry)
    return TrainingRequest(compiled, snapshot.project.name, parameters, runner)


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
