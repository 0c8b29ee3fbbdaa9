"""What a rollout touches, opened by the names in its record: only here local or cluster is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from mulgil.artifacts import Check, Verdict
from mulgil.contract.rollout import Rollout
from mulgil.endpoint_access import authorization
from mulgil.errors import InputError, TemporaryError, describe
from mulgil.rollout.comparisons import ReplayedShift, replay_level
from mulgil.rollout.drivers import Driver
from mulgil.rollout.drivers.git import GitDriver, parse_git_driver_name
from mulgil.rollout.labels import LabelFiles
from mulgil.rollout.manifest_repository import ManifestRepository
from mulgil.rollout.progress import Surroundings
from mulgil.rollout.record import Phase, ReplayReport, RolloutRecord
from mulgil.rollout.releases import Sight
from mulgil.rollout.replay import ask_by_http, replay
from mulgil.rollout.replayed_rows import find_rows
from mulgil.rollout.sources import Arms, MetricSource

DRIVERS = ("local", "knative", "standard")
SOURCES = ("plane", "prometheus")
_MODEL_ANNOTATION = "mulgil.dev/registered-model"
_METADATA_SECONDS = 10.0


def open_driver(name: str) -> Driver:
    """Open a platform.

    Raises:
        InputError: There is none of that name.
    """
    match name:
        case "local":
            from mulgil.rollout.drivers.local import LocalDriver

            return LocalDriver()
        case "knative":
            from mulgil.rollout.drivers.knative import KnativeDriver

            return KnativeDriver()
        case "standard":
            from mulgil.rollout.drivers.standard import StandardDriver

            return StandardDriver()
    if (followed := parse_git_driver_name(name)) is not None:
        inner, folder, is_pushed = followed
        return GitDriver(open_driver(inner), ManifestRepository(folder, is_pushed=is_pushed))
    raise InputError(
        describe("There is no such driver", expected=" or ".join(DRIVERS), received=f"driver={name}")
    )


def source_settings(driver: str, prometheus_url: str | None) -> dict[str, Any]:
    """Return what opens the source of numbers again.

    Raises:
        InputError: A cluster has no Prometheus named.
    """
    if prometheus_url is not None:
        return {"kind": "prometheus", "url": prometheus_url}
    if driver == "local":
        return {"kind": "plane"}
    raise InputError(
        describe(
            "A rollout on a cluster needs numbers",
            expected="the address of a Prometheus that scrapes the model servers",
            received=f"driver={driver}, and no --prometheus-url",
            next_step="give --prometheus-url",
        )
    )


def open_labels(policy: Rollout, driver: str) -> LabelFiles | None:
    """Open the place where labels come; `None` where the policy names none.

    Raises:
        InputError: Nobody knows where a cluster's predictions are kept, or labels that are there are wrong.
    """
    if policy.labels is None:
        return None
    if policy.labels.predictions_path is not None:
        return LabelFiles(policy.labels, Path(policy.labels.predictions_path))
    if driver != "local":
        raise InputError(
            describe(
                "Labels are joined with the prediction log, and nobody says where it is",
                expected="rollout.labels.predictions_path: the folder of the collector, mounted here",
                received=f"driver={driver}",
            )
        )
    from mulgil.local.plane.client import ServingPlane

    return LabelFiles(policy.labels, ServingPlane().predictions_folder, needs_logger=True)


def open_source(settings: dict[str, Any]) -> MetricSource:
    """Open a source of numbers by its settings."""
    if settings["kind"] == "prometheus":
        from mulgil.rollout.sources.prometheus import PrometheusSource

        return PrometheusSource(settings["url"])
    from mulgil.rollout.sources.plane import PlaneSource

    return PlaneSource()


@contextmanager
def surroundings(rollout: RolloutRecord) -> Iterator[Surroundings]:
    """Open all that a rollout touches."""
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(headers=authorization()))
        source, driver = open_source(rollout.source), open_driver(rollout.driver)
        yield Surroundings(
            driver=driver,
            source=source,
            replay=lambda record, sight: _replay(record, _addresses(record, sight, driver), source, client),
            labels=open_labels(rollout.policy, rollout.driver),
        )


def finish(rollout: RolloutRecord) -> None:
    """Call a promoted version the champion, where it is a registered one."""
    registered = rollout.candidate["metadata"].get("annotations", {}).get(_MODEL_ANNOTATION)
    if rollout.phase is Phase.PROMOTED and registered:
        from mulgil.registry import CHAMPION, give_alias

        check = Check(name="rolled_out", is_passed=True, reason=rollout.reason)
        verdict = Verdict.of("roll_out_model", f"{registered} {rollout.candidate_version}", [check])
        give_alias(registered, rollout.candidate_version, CHAMPION, verdict)


def _addresses(rollout: RolloutRecord, sight: Sight, driver: Driver) -> tuple[str, str] | None:
    """Return where the stable version and the candidate answer alone; `None` where one does not."""
    told = driver.addresses(rollout.service, rollout.namespace)
    stable = told.get(rollout.stable_version) or sight.stable_url
    canary = told.get(rollout.candidate_version) or sight.canary_url
    return (stable, canary) if stable and canary else None


def _replay(
    rollout: RolloutRecord, addresses: tuple[str, str] | None, source: MetricSource, client: httpx.Client
) -> tuple[ReplayReport | None, ReplayedShift | None]:
    policy = rollout.policy.replay
    if policy is None or addresses is None:
        return None, None
    rows, came_from = find_rows(rollout, _columns(client, addresses[1], rollout.service), policy.requests)
    versions = (rollout.stable_version, rollout.candidate_version)
    stable, canary = (
        ask_by_http(client, url, rollout.service, version)
        for url, version in zip(addresses, versions, strict=True)
    )
    arms = Arms(rollout.service, rollout.namespace, rollout.stable_version, rollout.candidate_version)
    return replay(rows, came_from, stable, canary, replay_level(rollout.policy), source.score_bounds(arms))


def _columns(client: httpx.Client, url: str, model: str) -> list[str]:
    """Return the columns that a model reads, by V2's metadata."""
    try:
        answer = client.get(f"{url}/v2/models/{model}", timeout=_METADATA_SECONDS)
        answer.raise_for_status()
        return [str(tensor["name"]) for tensor in answer.json()["inputs"]]
    except (httpx.HTTPError, ValueError, KeyError) as exc:
        raise TemporaryError(
            describe(f"{model} does not describe itself at {url}", received=str(exc))
        ) from exc
