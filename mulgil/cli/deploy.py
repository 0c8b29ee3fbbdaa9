"""`mulgil deploy --git`: a new version by commits, for a cluster that follows a Git repository."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mulgil.artifacts import BUNDLE_MANIFEST, BundleManifest, RegisteredModel, require_approval
from mulgil.cli.console import output
from mulgil.cli.rollout import (
    ProjectOption,
    PrometheusOption,
    policy_of,
    read_manifest,
    watch_command,
)
from mulgil.contract import load_project
from mulgil.contract.rollout import RolloutStrategy
from mulgil.errors import InputError, describe
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_names import find_run
from mulgil.local.run_store import RunRecord
from mulgil.local.task_folder import TaskFolder
from mulgil.rollout.drivers.git import GitDriver, describe_commit
from mulgil.rollout.manifest_repository import ManifestRepository
from mulgil.rollout.opening import open_driver, open_labels, open_source, source_settings
from mulgil.rollout.spawning import ensure_driven
from mulgil.rollout.starting import plan_rollout, start_rollout
from mulgil.rollout.store import RolloutStore


def deploy_command(
    git: Annotated[
        Path, typer.Option("--git", metavar="DIR", help="Folder of a clone that Argo CD or Flux follows.")
    ],
    manifest: Annotated[
        str | None,
        typer.Option(
            "--filename", "-f", help="The InferenceService: YAML or JSON, or `-` for standard input."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="Instead: what a run registered, as `mulgil runs list` has it."
        ),
    ] = None,
    project: ProjectOption = None,
    driver: Annotated[
        str,
        typer.Option("--driver", help="knative or standard: what the cluster runs, where steps are decided."),
    ] = "knative",
    prometheus_url: PrometheusOption = None,
    is_pushed: Annotated[
        bool, typer.Option("--push/--no-push", help="Push each commit to the branch's upstream.")
    ] = False,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Folder with test.parquet: rows to replay.")
    ] = None,
    is_watched: Annotated[bool, typer.Option("--watch", help="Stay until it is over.")] = False,
) -> None:
    """Write a new version, and each step of its rollout, as commits of its manifest; nothing is applied.

    Without --prometheus-url nothing tells how a canary fares: then the new version is one commit.
    """
    if driver == "local":
        raise InputError(
            describe(
                "This machine's serving plane follows no repository",
                expected="--driver knative or standard",
                received="--driver local",
                next_step="use `mulgil apply -f FILE`, or `mulgil rollout start -f FILE`",
            )
        )
    repository = ManifestRepository(git, is_pushed=is_pushed)
    candidate, policy = _candidate(manifest, run), policy_of(project)
    if prometheus_url is None or policy.strategy is RolloutStrategy.IMMEDIATE:
        _commit(repository, candidate)
        return
    platform = GitDriver(open_driver(driver), repository)
    metadata = candidate["metadata"]
    settings = source_settings(driver, prometheus_url)
    source = open_source(settings)
    there = platform.read(metadata["name"], metadata["namespace"])
    plan = plan_rollout(policy, there, candidate, source, time.time())
    if not plan.is_gradual:
        output.print(plan.reason, markup=False)
        _commit(repository, candidate)
        return
    store = RolloutStore()
    rollout = start_rollout(
        store,
        policy,
        candidate,
        platform,
        source,
        labels=open_labels(policy, driver),
        source_settings=settings,
        dataset_path=None if dataset is None else str(dataset.resolve()),
        now=time.time(),
    )
    ensure_driven(store, rollout.rollout_id)
    output.print(
        f"rollout {rollout.rollout_id}: version {rollout.stable_version} to {rollout.candidate_version}"
    )
    if is_watched:
        watch_command(rollout.rollout_id)
    else:
        output.print(f"mulgil rollout watch {rollout.rollout_id}")


def _candidate(manifest: str | None, run: str | None) -> dict[str, Any]:
    if manifest is not None and run is None:
        return read_manifest(manifest)
    if run is not None and manifest is None:
        return _manifest_of(find_run(open_run_store(), run))
    raise InputError(describe("A version is named once", expected="either -f FILE or --run RUN"))


def _manifest_of(run: RunRecord) -> dict[str, Any]:
    """Return the InferenceService of what a run registered, here or on a cluster.

    Raises:
        InputError: It registered nothing.
        GateRejectedError: Its evaluation did not approve of this very bundle.
    """
    folder = folder_of(run.run_id)
    place = TaskFolder(folder, "register-model").place_artifact("registered_model")
    if not place.exists():
        raise InputError(
            describe(
                "The run registered no model",
                expected="a run whose step register-model succeeded",
                received=f"run={run.run_id}",
                next_step=f"see `mulgil runs show {run.run_id}`",
            )
        )
    from components.deploy_model.core import GATE
    from components.deploy_model.manifest import build_manifest

    registered = RegisteredModel.read(place)
    verdict = TaskFolder(folder, "evaluate-model").place_artifact("verdict")
    require_approval(verdict, gate=GATE, subject=registered.bundle_fingerprint)
    bundle = TaskFolder(folder, "train-model").place_artifact("bundle")
    project = load_project(Path(run.parameters["project_path"])).project
    return build_manifest(project, registered, BundleManifest.read(bundle / BUNDLE_MANIFEST))


def _commit(repository: ManifestRepository, candidate: dict[str, object]) -> None:
    subject = describe_commit(candidate)
    is_new = repository.commit(candidate, subject)
    output.print(f"{'committed' if is_new else 'unchanged'}: {subject}", markup=False)
