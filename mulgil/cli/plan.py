"""`mulgil plan`: what a run would do, and why."""

from __future__ import annotations

from mulgil.cli.console import output
from mulgil.cli.training import (
    DEFAULT_PROJECT,
    DeployOption,
    ProjectArgument,
    SettingsOption,
    SourceOption,
    request_training,
)
from mulgil.local.launch import plan
from mulgil.local.pipeline_spec import parse_pipeline


def plan_command(
    project: ProjectArgument = DEFAULT_PROJECT,
    source: SourceOption = None,
    settings: SettingsOption = None,
    is_deployed: DeployOption = True,
) -> None:
    """Say what a run of PROJECT would do with each step, and why: run, cached, reconcile."""
    request = request_training(project, source, settings or [], is_deployed=is_deployed)
    steps = plan(parse_pipeline(request.compiled), request.parameters)
    for step in steps:
        first, *others = step.reasons
        output.print(f"{step.task.rpartition('/')[2]:<22}{step.action:<11}{first}", markup=False)
        for reason in others:
            output.print(f"{'':<33}{reason}", markup=False)
