"""`mulgil schedule`: pipelines that Kubeflow Pipelines runs by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from mulgil.cli.cluster_options import (
    CaFileOption,
    ContextOption,
    CookieFileOption,
    HostOption,
    NamespaceOption,
    TokenFileOption,
    sign_in,
)
from mulgil.cli.compile import PinOption, RegistryOption, SettingsFile
from mulgil.cli.console import output
from mulgil.cli.submit import PIPELINE, request_submission
from mulgil.cli.tables import align
from mulgil.cli.training import DeployOption, ProjectArgument, SettingsOption
from mulgil.errors import InputError, describe

schedule_app = typer.Typer(help="Runs that Kubeflow Pipelines starts by itself.", no_args_is_help=True)


@schedule_app.command("create")
def create_command(
    project: ProjectArgument,
    name: Annotated[str, typer.Option(help="Its name; the pipeline's and the project's.")] = "",
    cron: Annotated[
        str, typer.Option(help="Six fields, the first one seconds: '0 0 3 * * *' is each night at three.")
    ] = "",
    interval_seconds: Annotated[int, typer.Option(help="Seconds between two starts, instead of --cron.")] = 0,
    is_catching_up: Annotated[
        bool, typer.Option("--catch-up/--no-catch-up", help="Make up for starts that were missed.")
    ] = False,
    source: Annotated[str | None, typer.Option(help="A URL to read instead of the project's source.")] = None,
    overrides: SettingsOption = None,
    is_deployed: DeployOption = True,
    experiment: Annotated[str, typer.Option(help="Under which runs are listed; the project's name.")] = "",
    service_account: Annotated[str, typer.Option(help="Which steps run as; KFP's own choice.")] = "",
    settings: SettingsFile = None,
    registry: RegistryOption = "",
    is_pinned: PinOption = False,
    host: HostOption = "",
    namespace: NamespaceOption = "kubeflow",
    token_file: TokenFileOption = None,
    cookie_file: CookieFileOption = None,
    ca_file: CaFileOption = None,
    context: ContextOption = "",
) -> None:
    """Let the training pipeline of PROJECT, as it is now, run again and again."""
    if bool(cron) == bool(interval_seconds) or interval_seconds < 0 or (cron and len(cron.split()) != 6):
        raise InputError(
            describe(
                "It is not said when it runs",
                expected="one of --cron with six fields (seconds first) and --interval-seconds above 0",
                received=f"--cron {cron!r} --interval-seconds {interval_seconds}",
            )
        )
    submission, addresses = request_submission(
        project,
        source,
        overrides or [],
        settings,
        registry,
        is_deployed=is_deployed,
        is_pinned=is_pinned,
        experiment=experiment,
        service_account=service_account,
    )
    from mulgil.cluster.kfp_server import KfpServer, Schedule
    from mulgil.cluster.submission import prepare

    server = KfpServer(sign_in(host, namespace, token_file, cookie_file, ca_file, context))
    prepared = prepare(server, submission, addresses)
    schedule_id = server.create_schedule(
        name or f"{PIPELINE}-{submission.snapshot.project.name}",
        prepared.version,
        prepared.experiment_id,
        prepared.parameters,
        Schedule(cron, interval_seconds, is_catching_up),
        pipeline_root=addresses.runs,
        service_account=service_account,
    )
    output.print(f"schedule  {schedule_id}", markup=False)


@schedule_app.command("list")
def list_command(
    host: HostOption = "",
    namespace: NamespaceOption = "kubeflow",
    token_file: TokenFileOption = None,
    cookie_file: CookieFileOption = None,
    ca_file: CaFileOption = None,
    context: ContextOption = "",
) -> None:
    """List the schedules."""
    from mulgil.cluster.kfp_server import KfpServer

    server = KfpServer(sign_in(host, namespace, token_file, cookie_file, ca_file, context))
    rows = [
        (one.recurring_run_id, one.display_name, _when(one.trigger), str(one.status or "").lower())
        for one in server.list_schedules()
    ]
    output.out(align(("SCHEDULE", "NAME", "WHEN", "STATUS"), *rows), highlight=False)


@schedule_app.command("delete")
def delete_command(
    schedule: Annotated[str, typer.Argument(help="The identity that `schedule list` shows.")],
    host: HostOption = "",
    namespace: NamespaceOption = "kubeflow",
    token_file: TokenFileOption = None,
    cookie_file: CookieFileOption = None,
    ca_file: CaFileOption = None,
    context: ContextOption = "",
) -> None:
    """Remove a schedule; runs that it has started go on."""
    from mulgil.cluster.kfp_server import KfpServer

    KfpServer(sign_in(host, namespace, token_file, cookie_file, ca_file, context)).delete_schedule(schedule)
    output.print(f"deleted {schedule}", markup=False)


def _when(trigger: object) -> str:
    cron = getattr(trigger, "cron_schedule", None)
    periodic = getattr(trigger, "periodic_schedule", None)
    return str(cron.cron) if cron else f"each {periodic.interval_second} s" if periodic else ""
