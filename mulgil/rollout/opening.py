"""What a rollout touches, opened by the names in its record: only here local or cluster is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx

from mulgil.artifacts import BUNDLE_DICTIONARY
from mulgil.contract import DataDictionary
from mulgil.endpoint_access import authorization
from mulgil.errors import InputError, TemporaryError, describe
from mulgil.rollout.comparisons import ReplayedShift, replay_level
from mulgil.rollout.drivers import Driver
from mulgil.rollout.progress import Surroundings
from mulgil.rollout.record import Phase, ReplayReport, RolloutRecord
from mulgil.rollout.releases import Manifest, Sight
from mulgil.rollout.replay import Row, ask_by_http, replay
from mulgil.rollout.sources import Arms, MetricSource

DRIVERS = ("local", "knative", "standard")
SOURCES = ("plane", "prometheus")
_MODEL_ANNOTATION = "mulgil.dev/registered-model"
_METADATA_SECONDS = 10.0
# Fewer logged rows than these tell less than the test rows do.
_LEAST_LOGGED = 200


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
        )


def finish(rollout: RolloutRecord) -> None:
    """Call a promoted version the champion, where it is a registered one."""
    registered = rollout.candidate["metadata"].get("annotations", {}).get(_MODEL_ANNOTATION)
    if rollout.phase is Phase.PROMOTED and registered:
        from mulgil.registry import promote

        promote(registered, rollout.candidate_version)


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
    rows, came_from = _find_rows(rollout, _columns(client, addresses[1], rollout.service), policy.requests)
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


def _find_rows(rollout: RolloutRecord, columns: list[str], most: int) -> tuple[list[Row], str]:
    """Return rows to replay, and where they came from: the newest logged ones, or else test rows."""
    if rollout.driver == "local":
        logged = _read_log(rollout, columns, most)
        if len(logged) >= _LEAST_LOGGED:
            return logged, "logged requests"
    if rollout.dataset_path is None:
        return [], "nothing"
    return _read_rows(Path(rollout.dataset_path), columns, most), "test rows"


def _read_log(rollout: RolloutRecord, columns: list[str], most: int) -> list[Row]:
    """Return the newest rows that the stable version predicted; none where a column was not kept as it came.

    A sensitive column is logged as a hash, which no model can be asked with.
    """
    # It reads Parquet: 40 MB.
    from mulgil.local.plane.client import ServingPlane
    from mulgil.prediction_log.reading import read_predictions

    root = ServingPlane().predictions_folder
    table = read_predictions(root, rollout.service, version=rollout.stable_version, status=200)
    if not table.num_rows or not set(columns) <= set(table.column_names):
        return []
    dictionary = _bundle_dictionary(rollout.stable)
    if dictionary is None or any(c.sensitive for c in dictionary.columns if c.name in columns):
        return []
    newest = table.select(columns).slice(max(0, table.num_rows - most))
    return [{name: _plain(value) for name, value in row.items()} for row in newest.to_pylist()]


def _bundle_dictionary(manifest: Manifest) -> DataDictionary | None:
    """Return the dictionary of the bundle that an object serves, where it lies on this machine."""
    uri = str(manifest["spec"]["predictor"].get("model", {}).get("storageUri", ""))
    path = Path(uri.removeprefix("file://")) / BUNDLE_DICTIONARY
    try:
        return DataDictionary.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _read_rows(dataset: Path, columns: list[str], most: int) -> list[Row]:
    """Return the first rows of a dataset's test split, with the columns that the model reads."""
    # Only where there is something to replay: it is 40 MB.
    import pyarrow.parquet as pq

    path = dataset if dataset.suffix == ".parquet" else dataset / "test.parquet"
    try:
        file = pq.ParquetFile(path)
    except OSError as exc:
        raise InputError(describe(f"Cannot read rows to replay from {path}", received=str(exc))) from exc
    there = [name for name in columns if name in file.schema_arrow.names]
    rows: list[Row] = []
    for batch in file.iter_batches(batch_size=min(most, 1000), columns=there):
        rows += [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()]
        if len(rows) >= most:
            break
    return rows[:most]


def _plain(value: Any) -> Any:
    """Write a cell as JSON has it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return None if value != value else value
