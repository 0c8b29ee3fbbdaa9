"""`mulgil plan`: what a run would do, and why."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mulgil.cli.console import output
from mulgil.cli.training import (
    DEFAULT_PROJECT,
    DeployOption,
    ProjectArgument,
    SettingsOption,
    SourceOption,
    request_training,
)
from mulgil.home import home
from mulgil.local.launch import open_cache
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.plan import plan_run


def plan_command(
    project: ProjectArgument = DEFAULT_PROJECT,
    source: SourceOption = None,
    settings: SettingsOption = None,
    is_deployed: DeployOption = True,
) -> None:
    """Say what a run of PROJECT would do with each step, and why: run, cached, reconcile."""
    request = request_training(project, source, settings or [], is_deployed=is_deployed)
    home().mkdir(parents=True, exist_ok=True)
    # Beside the cache, as its files are linked.
    with tempfile.TemporaryDirectory(dir=home(), prefix=".plan-") as folder:
        steps = plan_run(parse_pipeline(request.compiled), request.parameters, open_cache(), Path(folder))
    for step in steps:
        first, *others = step.reasons
        output.print(f"{step.task.rpartition('/')[2]:<22}{step.action:<11}{first}", markup=False)
        for reason in others:
            output.print(f"{'':<33}{reason}", markup=False)
