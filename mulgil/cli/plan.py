"""`mulgil plan`: what a run would do, and why."""

from __future__ import annotations

from mulgil.cli.console import output
from mulgil.cli.training import (
    DEFAULT_PROJECT,
    DeployOption,
    ImagesOption,
    ProjectArgument,
    RunnerOption,
    SettingsOption,
    SourceOption,
    request_training,
)
from mulgil.local.launch import plan
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.platforms import RunnerKind


def plan_command(
    project: ProjectArgument = DEFAULT_PROJECT,
    source: SourceOption = None,
    settings: SettingsOption = None,
    is_deployed: DeployOption = True,
    runner: RunnerOption = RunnerKind.LOCAL,
    registry: ImagesOption = "",
) -> None:
    """Say what a run of PROJECT would do with each step, and why: run, cached, reconcile."""
    request = request_training(
        project, source, settings or [], is_deployed=is_deployed, runner=runner, registry=registry
    )
    steps = plan(parse_pipeline(request.compiled), request.parameters, request.runner)
    for step in steps:
        first, *others = step.reasons
        output.print(f"{step.task.rpartition('/')[2]:<22}{step.action:<11}{first}", markup=False)
        for reason in others:
            output.print(f"{'':<33}{reason}", markup=False)
