"""`mulgil submit`: the training pipeline on a cluster, followed from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from mulgil.cli.compile import PinOption, RegistryOption, SettingsFile, compile_for_cluster
from mulgil.cli.console import errors, output
from mulgil.cli.progress import progress_on
from mulgil.cli.training import DEFAULT_PROJECT, DeployOption, ProjectArgument, SettingsOption
from mulgil.errors import InputError, describe
from mulgil.home import home
from mulgil.local.project_snapshot import parse_setting, snapshot_project
from mulgil.local.run_store import RunRecord, State

if TYPE_CHECKING:
    from mulgil.cluster.code_archive import CodeArchive
    from mulgil.cluster.following import FollowedRun
    from mulgil.cluster.kfp_server import KfpServer
    from mulgil.cluster.submission import Addresses, Submission

PIPELINE = "training"


def submit_command(
    project: ProjectArgument = DEFAULT_PROJECT,
    source: Annotated[str | None, typer.Option(help="A URL to read instead of the project's source.")] = None,
    overrides: SettingsOption = None,
    is_deployed: DeployOption = True,
    is_waited: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run to its end and fetch its report.")
    ] = True,
    experiment: Annotated[str, typer.Option(help="Under which the run is listed; the project's name.")] = "",
    service_account: Annotated[str, typer.Option(help="Which steps run as; KFP's own choice.")] = "",
    attached: Annotated[
        str, typer.Option("--attach", metavar="RUN", help="Follow a run that was submitted before.")
    ] = "",
    retried: Annotated[
        str, typer.Option("--retry", metavar="RUN", help="Run again what failed in a run, and follow it.")
    ] = "",
    settings: SettingsFile = None,
    registry: RegistryOption = "",
    is_pinned: PinOption = False,
    is_code_synced: Annotated[
        bool,
        typer.Option(
            "--sync-code",
            help="For development: run this checkout's code in the images that there are, building none.",
        ),
    ] = False,
    host: HostOption = "",
    namespace: NamespaceOption = "kubeflow",
    token_file: TokenFileOption = None,
    cookie_file: CookieFileOption = None,
    ca_file: CaFileOption = None,
    context: ContextOption = "",
) -> None:
    """Run the training pipeline of PROJECT on Kubeflow Pipelines.

    The KFP client's own ways to sign in are honoured: a kubeconfig, a service account's token inside the
    cluster, an identity-aware proxy by its KF_PIPELINES_… variables, a token, a cookie.
    """
    if attached and retried:
        raise InputError(describe("--attach and --retry exclude each other"))
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
        is_code_synced=is_code_synced,
    )
    from mulgil.cluster.kfp_server import KfpServer
    from mulgil.cluster.submission import prepare, start

    server = KfpServer(sign_in(host, namespace, token_file, cookie_file, ca_file, context))
    if retried:
        server.retry_run(retried)
    run_id = attached or retried
    if not run_id:
        prepared = prepare(server, submission, addresses)
        output.print(
            f"pipeline  {prepared.version.version_id} {_newness(prepared.version.is_new)}", markup=False
        )
        output.print(f"project   {prepared.parameters['project_path']}", markup=False)
        run_id = start(server, submission, prepared, addresses)
    if not is_waited:
        output.print(f"run       {run_id}", markup=False)
        output.print(f"follow it: mulgil submit {project} --attach {run_id}", markup=False)
        return
    _finish(_watch(server, run_id, submission), submission, addresses)


def request_submission(
    project: Path,
    source: str | None,
    overrides: list[str],
    settings: Path | None,
    registry: str,
    *,
    is_deployed: bool,
    is_pinned: bool,
    experiment: str,
    service_account: str,
    is_code_synced: bool = False,
) -> tuple[Submission, Addresses]:
    """Check what was asked for, and compile, before anything is sent.

    Raises:
        InputError: The project, a setting, the source or the cluster's settings are wrong, or code is to run
            that is in no image, where these do not allow it.
    """
    snapshot = snapshot_project(project, dict(map(parse_setting, overrides)), home() / "projects")
    parameters = {"source": _remote(source), "is_deployed": is_deployed}
    from mulgil.cluster.pipeline_settings import DEFAULT_SETTINGS, read_config_map
    from mulgil.cluster.submission import Submission, find_addresses

    addresses = find_addresses(read_config_map(settings or DEFAULT_SETTINGS))
    compiled = compile_for_cluster(PIPELINE, settings, registry, is_pinned=is_pinned)
    code = None
    if is_code_synced:
        code, compiled = _ship_code(compiled, settings or DEFAULT_SETTINGS, addresses, is_pinned=is_pinned)
    submission = Submission(
        PIPELINE,
        compiled,
        snapshot,
        project,
        parameters,
        experiment or snapshot.project.name,
        service_account,
        code,
    )
    return submission, addresses


def _ship_code(
    compiled: str, settings: Path, addresses: Addresses, *, is_pinned: bool
) -> tuple[CodeArchive, str]:
    """Pack this checkout's code, and return it with the pipeline that runs it."""
    from mulgil.cluster.code_archive import pack_code
    from mulgil.cluster.pipeline_settings import read_settings
    from pipelines.kubernetes import run_shipped_code

    if is_pinned or not read_settings(settings).allows_code_sync:
        raise InputError(
            describe(
                "Code that is in no image is for development alone",
                expected="settings that allow it, and images that are not pinned by digest",
                received="--sync-code with "
                + ("--pin-digests" if is_pinned else f"allows_code_sync: false in {settings}"),
                next_step="build the images (`make images REGISTRY=… PUSH=1`), and leave --sync-code out",
            )
        )
    code = pack_code()
    return code, run_shipped_code(compiled, code.address(addresses.projects))


def _remote(source: str | None) -> str:
    if source and "://" not in source:
        raise InputError(
            describe(
                "The source is on this machine alone",
                expected="a URL that the cluster can read",
                received=f"--source {source}",
                next_step="put the file into the project's folder and name it in project.yaml",
            )
        )
    return source or ""


def _newness(is_new: bool) -> str:
    return "(new)" if is_new else "(unchanged)"


def _watch(server: KfpServer, run_id: str, submission: Submission) -> FollowedRun:
    from mulgil.cluster.following import follow

    titles = submission.graph.task_names
    with progress_on(output) as progress:
        record = RunRecord(run_id, PIPELINE, submission.snapshot.project.name, State.RUNNING, {}, 0.0)
        progress.announce(record, titles)
        return follow(server, run_id, titles, progress.observe)


def _finish(run: FollowedRun, submission: Submission, addresses: Addresses) -> None:
    from mulgil.cluster.submission import keep
    from mulgil.reports.writing import write_report

    record = keep(run, submission, addresses)
    output.print(f"report    {write_report(record)}", markup=False)
    if run.state is State.SUCCEEDED:
        return
    failed = ", ".join(task.title for task in run.failed) or "no step by itself"
    errors.print(f"\nthe run {run.state}: {failed}", markup=False)
    if run.reason:
        errors.print(f"  KFP says: {run.reason}", markup=False)
    errors.print(f"\nOnce it is mended: mulgil submit --retry {run.run_id}", markup=False)
    raise typer.Exit(1)
