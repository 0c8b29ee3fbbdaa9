"""`mulgil rollout`: a new version takes over the traffic, or goes back, and why is written down."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mulgil.artifacts import write_text
from mulgil.cli.cluster_options import ContextOption
from mulgil.cli.console import output
from mulgil.cli.objects import read_manifests
from mulgil.cli.tables import align
from mulgil.contract import load_project
from mulgil.contract.rollout import Rollout
from mulgil.errors import InputError, describe
from mulgil.local.plane.objects import KIND
from mulgil.reports.rollout_page import render_rollout_page
from mulgil.rollout.analysis import Finding
from mulgil.rollout.driving import drive
from mulgil.rollout.opening import (
    finish,
    open_driver,
    open_labels,
    open_source,
    source_settings,
    surroundings,
)
from mulgil.rollout.progress import BASELINE_SECONDS, LEARNT_REQUESTS
from mulgil.rollout.record import RolloutRecord
from mulgil.rollout.releases import version_of
from mulgil.rollout.simulation import forecast
from mulgil.rollout.sources import Arms, MetricSource
from mulgil.rollout.spawning import ensure_driven
from mulgil.rollout.starting import start_rollout
from mulgil.rollout.store import PAGE, Command, RolloutStore
from mulgil.rollout.traffic import ArmTraffic

rollout_app = typer.Typer(
    help="New versions that take over the traffic step by step, or go back.", no_args_is_help=True
)

_LOOK_SECONDS = 0.5
# Each look is a request to the API server.
_CLUSTER_LOOK_SECONDS = 3.0
# What a forecast stands on where a version has hardly been used.
_ASSUMED = ArmTraffic(requests=1000, errors=1)

RolloutArgument = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Its name, its InferenceService's, or `latest`.")
]
ManifestOption = Annotated[
    str,
    typer.Option(
        "--filename",
        "-f",
        help="The InferenceService of the new version: YAML or JSON, or `-` for standard input.",
    ),
]
ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", help="Folder whose project.yaml has the policy; the default policy without."),
]
DriverOption = Annotated[str, typer.Option("--driver", help="local, knative or standard.")]
PrometheusOption = Annotated[
    str | None, typer.Option("--prometheus-url", help="Where the numbers come from on a cluster.")
]
ClusterNamespaceOption = Annotated[
    str,
    typer.Option(
        "--cluster-namespace",
        help="Of the rollouts that the pipeline's steps drive on a cluster, those of this namespace; "
        "without it this machine's.",
    ),
]


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of one place.

    Attributes:
        store: What keeps them.
        are_here: Whether this machine drives them; a cluster's are driven by their pipeline's step.
    """

    store: RolloutStore
    are_here: bool = True

    def go_on(self, rollout_id: str) -> None:
        """See that a rollout is driven, where this machine is who drives it."""
        if self.are_here:
            ensure_driven(self.store, rollout_id)


def _rollouts_of(namespace: str, context: str) -> Rollouts:
    if not namespace:
        if context:
            raise InputError(
                describe(
                    "--context says which cluster, and nothing says that a cluster is meant",
                    received=f"--context {context}",
                    next_step="add --cluster-namespace, such as --cluster-namespace mulgil",
                )
            )
        return Rollouts(RolloutStore())
    from mulgil.cluster.api_server import connect
    from mulgil.rollout.cluster_store import ClusterRolloutStore

    return Rollouts(ClusterRolloutStore(namespace, connect(context)), are_here=False)


@rollout_app.command("start")
def start_command(
    manifest: ManifestOption,
    project: ProjectOption = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Folder with test.parquet: rows to replay.")
    ] = None,
    driver: DriverOption = "local",
    prometheus_url: PrometheusOption = None,
    is_watched: Annotated[bool, typer.Option("--watch", help="Stay until it is over.")] = False,
) -> None:
    """Start the rollout of a new version; it goes on by itself, whoever started it."""
    store = RolloutStore()
    platform, policy = open_driver(driver), policy_of(project)
    settings = source_settings(driver, prometheus_url)
    rollout = start_rollout(
        store,
        policy,
        read_manifest(manifest),
        platform,
        open_source(settings),
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
        _watch(Rollouts(store), rollout)
    else:
        output.print(f"mulgil rollout watch {rollout.rollout_id}")


@rollout_app.command("status")
def status_command(
    rollout: RolloutArgument = "latest",
    namespace: ClusterNamespaceOption = "",
    context: ContextOption = "",
) -> None:
    """Show where a rollout is: its step, what was seen, and why it holds."""
    rollouts = _rollouts_of(namespace, context)
    record = rollouts.store.find(rollout)
    rollouts.go_on(record.rollout_id)
    output.out(describe_rollout(record), highlight=False)
    page = _write_page(rollouts.store, record)
    output.print(f"\npage   {page}", markup=False)


@rollout_app.command("watch")
def watch_command(
    rollout: RolloutArgument = "latest",
    namespace: ClusterNamespaceOption = "",
    context: ContextOption = "",
) -> None:
    """Follow a rollout until it is over. Ctrl-C leaves it going on."""
    rollouts = _rollouts_of(namespace, context)
    _watch(rollouts, rollouts.store.find(rollout))


def _watch(rollouts: Rollouts, record: RolloutRecord) -> None:
    told, decided = 0, ""
    try:
        while True:
            rollouts.go_on(record.rollout_id)
            record = rollouts.store.read(record.rollout_id)
            for event in record.events[told:]:
                at = time.strftime("%H:%M:%S", time.localtime(event.at))
                output.print(f"{at}  {event.phase.value:12} {event.text}", markup=False)
            told = len(record.events)
            line = _progress_line(record)
            if line != decided and not record.phase.is_over:
                output.print(f"          {line}", markup=False)
            decided = line
            if record.phase.is_over:
                break
            time.sleep(_LOOK_SECONDS if rollouts.are_here else _CLUSTER_LOOK_SECONDS)
    except KeyboardInterrupt:
        if rollouts.are_here:
            output.print(f"\nIt goes on: mulgil rollout watch {record.rollout_id}")
        else:
            output.print("\nIt goes on, driven by its pipeline's step")
        return
    output.print(f"\npage   {_write_page(rollouts.store, record)}", markup=False)


@rollout_app.command("drive", hidden=True)
def drive_command(rollout_id: Annotated[str, typer.Argument(metavar="ROLLOUT")]) -> None:
    """Drive a rollout to its end: the process that `start` leaves behind."""
    store = RolloutStore()

    def conclude(record: RolloutRecord) -> None:
        # The page first: it tells how it ended, whatever the registry says to it.
        _write_page(store, record)
        finish(record)

    with surroundings(store.read(rollout_id)) as around:
        drive(store, rollout_id, around, finish=conclude)


@rollout_app.command("promote")
def promote_command(
    rollout: RolloutArgument = "latest",
    namespace: ClusterNamespaceOption = "",
    context: ContextOption = "",
) -> None:
    """Give the new version all the traffic now, whatever the numbers say."""
    _command(_rollouts_of(namespace, context), rollout, Command.PROMOTE)


@rollout_app.command("abort")
def abort_command(
    rollout: RolloutArgument = "latest",
    namespace: ClusterNamespaceOption = "",
    context: ContextOption = "",
) -> None:
    """Give the version before all the traffic again now, whatever the numbers say."""
    _command(_rollouts_of(namespace, context), rollout, Command.ABORT)


@rollout_app.command("history")
@rollout_app.command("list", hidden=True)
def history_command(namespace: ClusterNamespaceOption = "", context: ContextOption = "") -> None:
    """List every rollout, the newest first."""
    rollouts = _rollouts_of(namespace, context).store.list()
    if not rollouts and namespace:
        output.print(f"No rollouts in the namespace {namespace} of the cluster.", markup=False)
        return
    if not rollouts:
        output.print("No rollouts yet. A second `mulgil run` starts one where the version before is used.")
        return
    header = ("ROLLOUT", "FROM", "TO", "STATE", "STARTED", "REQUESTS", "FAILED", "REASON")
    rows = [
        (
            record.rollout_id,
            record.stable_version,
            record.candidate_version,
            record.phase.value + (" by hand" if record.is_by_hand else ""),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created_at)),
            f"{record.exposed:.0f}",
            f"{record.failed:.0f}",
            record.reason.split(". ")[0][:80],
        )
        for record in rollouts
    ]
    output.out(align(header, *rows), highlight=False)


@rollout_app.command("simulate")
def simulate_command(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The InferenceService that serves.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
    project: ProjectOption = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.1, help="For so long its traffic is measured; on a cluster a minute at least."),
    ] = 10.0,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Requests a second, in place of the measured rate.")
    ] = None,
    driver: DriverOption = "local",
    prometheus_url: PrometheusOption = None,
) -> None:
    """Say what a rollout would take: the time to decide, and the requests that a worse canary would touch."""
    policy = policy_of(project)
    item = open_driver(driver).read(service, namespace)
    if item is None:
        raise InputError(describe(f"Nothing serves {namespace}/{service}", next_step="see `mulgil get isvc`"))
    source = open_source(source_settings(driver, prometheus_url))
    arms = Arms(service, namespace, version_of(item), canary="")
    chosen = _measure_rate(source, arms, seconds) if rate is None else rate
    if chosen <= 0:
        raise InputError(
            describe(
                f"{service} gets no requests, so nothing can be expected of a rollout",
                expected="some traffic while it is measured",
                received=f"no request in {seconds:g} s" if rate is None else f"--rate {rate:g}",
                next_step="send it requests, or give --rate",
            )
        )
    stable = source.read_before(arms, BASELINE_SECONDS, time.time()).stable
    if stable.requests < LEARNT_REQUESTS:
        output.print(
            f"{service}: {chosen:g} requests a second; it has served {stable.requests:,.0f}, too few to tell "
            f"how it fares, so that one failure in {_ASSUMED.requests:,.0f} is assumed and latency left out"
        )
        stable = _ASSUMED
    else:
        failed = f"{stable.errors / stable.requests:.2%} of {stable.requests:,.0f} failed"
        output.print(f"{service}: {chosen:.1f} requests a second; {failed}")
    cases = forecast(policy, stable, stable.requests / chosen)
    header = ("CANARY", "ROLLED BACK", "PROMOTED", "MEDIAN TIME", "REQUESTS IT TOUCHES", "OF THEM WORSE OFF")
    rows = [
        (
            case.canary,
            f"{case.rolled_back:.0%}",
            f"{case.promoted:.0%}",
            _duration(case.minutes),
            f"{case.requests:,.0f}",
            f"{case.failed_requests:,.0f}" if case.failed_requests else "",
        )
        for case in cases
    ]
    output.out(align(header, *rows), highlight=False)


def _measure_rate(source: MetricSource, arms: Arms, seconds: float) -> float:
    """Return how many requests a second the stable version serves."""
    cursor = source.open(arms, time.time())
    time.sleep(seconds)
    return source.read(arms, cursor, time.time())[0].stable.requests / seconds


def describe_rollout(record: RolloutRecord) -> str:
    """Write a rollout down for a terminal."""
    lines = [
        f"{record.rollout_id}  {record.phase.value}" + (" by hand" if record.is_by_hand else ""),
        f"  {record.namespace}/{record.service}: version {record.stable_version} to "
        f"{record.candidate_version}, driver {record.driver}",
        f"  the canary has {record.percent} percent, and has served {record.exposed:,.0f} requests, of which "
        f"{record.failed:,.0f} failed",
    ]
    if record.reason:
        lines.append(f"  {record.reason}")
    for number, step in enumerate(record.steps, start=1):
        lines.append(f"\nstep {number}: {step.percent} percent, {step.windows} windows")
        if step.decision is not None:
            lines.append(f"  {step.decision.action.value}: {step.decision.reason}")
            rows = [_finding_row(finding) for finding in step.decision.findings]
            lines.append(_indent(align(_FINDINGS, *rows)))
    return "\n".join(lines)


_FINDINGS = ("COMPARED", "CANARY", "STABLE", "HARM: EVIDENCE OF BAR", "SAFE: EVIDENCE OF BAR")


def _finding_row(finding: Finding) -> tuple[str, ...]:
    return (
        finding.name,
        f"{finding.canary_events:,.0f} of {finding.canary_requests:,.0f}",
        f"{finding.stable_events:,.0f} of {finding.stable_requests:,.0f}",
        f"{finding.log_harm:+.1f} of {finding.log_harm_bar:.1f}",
        f"{finding.log_safety:+.1f} of {finding.log_safety_bar:.1f}",
    )


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _progress_line(record: RolloutRecord) -> str:
    if not record.steps or record.steps[-1].decision is None:
        return ""
    step = record.steps[-1]
    assert step.decision is not None
    return (
        f"{step.percent} percent, {step.canary_requests:,.0f} requests of the canary: "
        f"{step.decision.action.value}. {step.decision.reason}"
    )


def _command(rollouts: Rollouts, name: str, command: Command) -> None:
    record = rollouts.store.find(name)
    if record.phase.is_over:
        raise InputError(
            describe(
                f"The rollout {record.rollout_id} is over",
                expected="one that is under way",
                received=f"{record.phase.value}: {record.reason}",
                next_step="see `mulgil rollout history`",
            )
        )
    rollouts.store.command(record.rollout_id, command)
    rollouts.go_on(record.rollout_id)
    _watch(rollouts, record)


def _write_page(store: RolloutStore, record: RolloutRecord) -> Path:
    path = store.path(record.rollout_id) / PAGE
    write_text(path, render_rollout_page(record))
    return path


def policy_of(project: Path | None) -> Rollout:
    """Return a project's policy; the default one where no project is named."""
    return Rollout() if project is None else load_project(project).project.rollout


def read_manifest(file: str) -> dict[str, Any]:
    """Return the InferenceService in a file, or on standard input.

    Raises:
        InputError: There is none, or more than one.
    """
    found = read_manifests([file])
    content = found[0]
    is_service = isinstance(content, dict) and content.get("kind") == KIND
    if len(found) > 1 or not is_service or "name" not in (content.get("metadata") or {}):
        raise InputError(
            describe(
                f"{file} does not hold one {KIND}",
                expected=f"one object of kind: {KIND}, with metadata.name and spec.predictor",
                received=f"{len(found)} objects" if len(found) > 1 else str(content)[:200],
            )
        )
    if not isinstance(content.get("spec"), dict) or not isinstance(content["spec"].get("predictor"), dict):
        raise InputError(
            describe(f"{file} has no spec.predictor", expected="the predictor of the new version")
        )
    content["metadata"].setdefault("namespace", "default")
    return dict(content)


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
