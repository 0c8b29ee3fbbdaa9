"""Experiments and the model registry, in MLflow; the one module that imports it.

At `$MLFLOW_TRACKING_URI` where that is set; else in a SQLite file with the artifacts beside it, under
Mulgil's home. MLflow is imported when it is first needed, which takes a second or two; who has which alias on
this machine is read without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mulgil import registry_database
from mulgil.artifacts import RegisteredModel, Verdict, read_bundle
from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.home import home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.entities.model_registry import RegisteredModel as RegisteredMlflowModel

CANDIDATE = "candidate"
STAGING = "staging"
CHAMPION = "champion"

_BUNDLE_TAG = "mulgil.bundle_fingerprint"
# MLflow's own: its pages nest a run below the one that this names.
_PARENT_TAG = "mlflow.parentRunId"
_TRIAL_TAG = "mulgil.trial"
# More than the contract lets a search try.
_MOST_TRIALS = 5000
_ARTIFACT = "bundle"
_EVIDENCE = "evidence"
# What a version got an alias for: the verdict, as JSON.
_PROMOTION_TAG = "mulgil.promotion."

# What a server that is down, starting or busy comes out as.
_TEMPORARY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


@dataclass(frozen=True)
class Trial:
    """A run below that of a model: what was tried on the way to it.

    Attributes:
        name: Among the others of its model; it identifies the run.
        parameters: What was tried.
        metrics: What it was measured at.
        curves: Values by part, such as the folds of a cross-validation.
        tags: What is to be known of it.
        seconds: What it took.
    """

    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Registration:
    """A model version that is to exist.

    Attributes:
        name: The registered model, and the experiment of its run.
        bundle_path: The bundle's directory.
        bundle_fingerprint: Of the bundle there. It identifies the version: the same bundle registers once.
        parameters: What it was trained with.
        metrics: What it was measured at.
        curves: Values by epoch.
        tags: Where it comes from.
        evidence: Files that its approval rests on, by the name that they are kept under.
        trials: What was tried on the way, each a run nested in the model's.
    """

    name: str
    bundle_path: Path
    bundle_fingerprint: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    tags: Mapping[str, str]
    evidence: Mapping[str, Path] = field(default_factory=dict)
    trials: Sequence[Trial] = ()


@dataclass(frozen=True)
class VersionDetails:
    """A registered version with what is known of it.

    Attributes:
        model: The version itself.
        aliases: Its aliases.
        created_at: In seconds since 1970.
        parameters: What it was trained with.
        metrics: What it was measured at.
        tags: Where it comes from, and what it got its aliases for.
        evidence: A folder of this machine with the files that its approval rests on; `None` where none were
            kept.
    """

    model: RegisteredModel
    aliases: tuple[str, ...]
    created_at: float
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    evidence: Path | None


def register(registration: Registration) -> RegisteredModel:
    """Make the model version exist, with its run and its bundle, and give it the alias `candidate`.

    Each step is looked up before it is done, so a registration that was killed goes on where it stopped.

    Returns:
        The version; an earlier one where this bundle was registered before.

    Raises:
        TemporaryError: The MLflow server does not answer.
        PermanentError: MLflow refuses.
        InputError: The bundle in the artifact store is not what was copied there.
    """
    with _client() as client, _registering():
        version = _find_version(client, registration)
        if version is None:
            run = _record_run(client, registration)
            _ensure_registered_model(client, registration.name)
            version = client.create_model_version(
                registration.name,
                source=f"{run.info.artifact_uri}/{_ARTIFACT}",
                run_id=run.info.run_id,
                tags={**registration.tags, _BUNDLE_TAG: registration.bundle_fingerprint},
            )
        else:
            _keep_evidence(client, str(version.run_id), registration)
        registered = _as_record(version)
        read_bundle(bundle_directory(registered))
        client.set_registered_model_alias(registration.name, CANDIDATE, registered.version)
        return registered


def find_champion(name: str, *, other_than: str = "") -> RegisteredModel | None:
    """Return the version with the alias `champion`; `None` where there is none, or no such model.

    Args:
        name: The registered model.
        other_than: Fingerprint of a bundle that is no champion for whoever asks, as it is the one at hand.
    """
    champion = _find_by_alias(name, CHAMPION)
    return None if champion is None or champion.bundle_fingerprint == other_than else champion


def find_candidate(name: str) -> RegisteredModel | None:
    """Return the version that was registered last; `None` where there is none, or no such model."""
    return _find_by_alias(name, CANDIDATE)


def list_versions() -> list[RegisteredModel]:
    """Return every version of every model that Mulgil registered.

    Raises:
        TemporaryError: The MLflow server does not answer.
    """
    if is_on_this_machine() and not _database().exists():
        return []
    with _client() as client:
        versions: list[RegisteredModel] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(page_token=token)
            versions += [_as_record(version) for version in page if _BUNDLE_TAG in version.tags]
            token = page.token
            if not token:
                return versions


def describe_versions(name: str) -> list[VersionDetails]:
    """Return every version of a model with what is known of it, the newest first; none of an unknown model.

    Raises:
        TemporaryError: The MLflow server does not answer.
    """
    if is_on_this_machine() and not _database().exists():
        return []
    with _client() as client:
        model = _find_registered_model(client, name)
        if model is None:
            return []
        found = [
            version
            for version in client.search_model_versions(f"name = '{name}'")
            if _BUNDLE_TAG in version.tags
        ]
        aliases = {
            str(version): [alias for alias, at in model.aliases.items() if str(at) == str(version)]
            for version in model.aliases.values()
        }
        return sorted(
            (_describe(client, version, aliases.get(str(version.version), [])) for version in found),
            key=lambda one: -int(one.model.version),
        )


def give_alias(name: str, version: str, alias: str, verdict: Verdict) -> None:
    """Give a version an alias, and keep with it what it got that for.

    One that has it keeps it, with what it got it for, and MLflow is not asked.

    Args:
        name: The registered model.
        version: Its version.
        alias: `staging`, of what may serve, or `champion`: what serves, and candidates are held against.
        verdict: An approval.

    Raises:
        GateRejectedError: The verdict is none.
        TemporaryError: The MLflow server does not answer.
        PermanentError: There is no such version.
    """
    verdict.require_approval()
    holder = _find_by_alias(name, alias)
    if holder is not None and holder.version == version:
        return
    with _client() as client:
        client.set_model_version_tag(name, version, f"{_PROMOTION_TAG}{alias}", verdict.model_dump_json())
        client.set_registered_model_alias(name, alias, version)


def _describe(client: MlflowClient, version: ModelVersion, aliases: Sequence[str]) -> VersionDetails:
    run_id = str(version.run_id)
    run = client.get_run(run_id)
    evidence = Path(client.download_artifacts(run_id, _EVIDENCE)) if _has_evidence(client, run_id) else None
    return VersionDetails(
        model=_as_record(version),
        aliases=tuple(sorted(aliases)),
        created_at=version.creation_timestamp / 1000,
        parameters=run.data.params,
        metrics=run.data.metrics,
        tags=version.tags,
        evidence=evidence,
    )


def _has_evidence(client: MlflowClient, run_id: str) -> bool:
    return any(entry.path == _EVIDENCE for entry in client.list_artifacts(run_id))


def _keep_evidence(client: MlflowClient, run_id: str, registration: Registration) -> None:
    """Keep the evidence with the run, also with that of a version of before it was kept."""
    if not registration.evidence or _has_evidence(client, run_id):
        return
    with tempfile.TemporaryDirectory() as folder:
        for key, path in registration.evidence.items():
            shutil.copyfile(path, Path(folder) / key)
        client.log_artifacts(run_id, folder, _EVIDENCE)


def is_on_this_machine() -> bool:
    """Whether the registry is a file here, where a look costs nothing, and not a server."""
    return not os.environ.get("MLFLOW_TRACKING_URI")


def bundle_directory(model: RegisteredModel) -> Path:
    """Return where a registered bundle is on this machine, fetched from the artifact store where need be."""
    location = urlsplit(model.storage_uri)
    if location.scheme == "file":
        return Path(model.storage_uri.removeprefix("file://"))
    with _client():
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(artifact_uri=model.storage_uri))


def _find_version(client: MlflowClient, registration: Registration) -> ModelVersion | None:
    wanted = f"name = '{registration.name}' and tags.`{_BUNDLE_TAG}` = '{registration.bundle_fingerprint}'"
    found = client.search_model_versions(wanted)
    return found[0] if found else None


def _record_run(client: MlflowClient, registration: Registration) -> Run:
    experiment = client.get_experiment_by_name(registration.name)
    experiment_id = (
        experiment.experiment_id
        if experiment is not None
        else client.create_experiment(registration.name, artifact_location=_artifact_location(registration))
    )
    wanted = f"tags.`{_BUNDLE_TAG}` = '{registration.bundle_fingerprint}'"
    found = client.search_runs([experiment_id], wanted)
    run = (
        found[0]
        if found
        else client.create_run(
            experiment_id,
            run_name=f"{registration.name}-{registration.bundle_fingerprint[:12]}",
            tags={**registration.tags, _BUNDLE_TAG: registration.bundle_fingerprint},
        )
    )
    if run.info.status != "FINISHED":
        _fill_run(client, run, registration)
    return run


def _fill_run(client: MlflowClient, run: Run, registration: Registration) -> None:
    _log(client, run, registration.parameters, registration.metrics, registration.curves)
    client.log_artifacts(run.info.run_id, str(registration.bundle_path), _ARTIFACT)
    _keep_evidence(client, run.info.run_id, registration)
    _record_trials(client, run, registration.trials)
    client.set_terminated(run.info.run_id, "FINISHED")


def _record_trials(client: MlflowClient, parent: Run, trials: Sequence[Trial]) -> None:
    """Make the run of each trial exist, nested as MLflow nests runs: by a tag that names the parent."""
    if not trials:
        return
    experiment, parent_id = parent.info.experiment_id, parent.info.run_id
    found = client.search_runs(
        [experiment], f"tags.`{_PARENT_TAG}` = '{parent_id}'", max_results=_MOST_TRIALS
    )
    known = {run.data.tags.get(_TRIAL_TAG): run for run in found}
    for trial in trials:
        run = known.get(trial.name) or client.create_run(
            experiment,
            run_name=trial.name,
            tags={**trial.tags, _PARENT_TAG: parent_id, _TRIAL_TAG: trial.name},
        )
        if run.info.status == "FINISHED":
            continue
        _log(client, run, trial.parameters, trial.metrics, trial.curves)
        ended = run.info.start_time + round(trial.seconds * 1000)
        client.set_terminated(run.info.run_id, "FINISHED", end_time=ended)


def _log(
    client: MlflowClient,
    run: Run,
    parameters: Mapping[str, str],
    metrics: Mapping[str, float],
    curves: Mapping[str, Sequence[float]],
) -> None:
    from mlflow.entities import Metric, Param

    # The run's own time, so that a value logged again after an interruption is the same value.
    at = run.info.start_time
    values = [Metric(key, value, at, 0) for key, value in metrics.items()]
    for key, curve in curves.items():
        values += [Metric(key, value, at, step) for step, value in enumerate(curve, start=1)]
    client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in parameters.items()])
    # MLflow takes a thousand at a time.
    for start in range(0, len(values), 1000):
        client.log_batch(run.info.run_id, metrics=values[start : start + 1000])


def _find_by_alias(name: str, alias: str) -> RegisteredModel | None:
    if is_on_this_machine():
        if not _database().exists():
            return None
        try:
            row = registry_database.read_version(_database(), name, alias, _BUNDLE_TAG)
            return None if row is None else _record_of(row.name, row.version, row.source, row.tag)
        except sqlite3.OperationalError:
            # Of another MLflow's tables, MLflow itself, below, knows what is to be done.
            pass
        except sqlite3.DatabaseError as exc:
            raise PermanentError(
                describe(
                    f"The registry cannot be read: {exc}",
                    expected=f"a SQLite database of MLflow's in {_database()}",
                    next_step="put a copy of it back, or delete it: then every model is registered anew",
                )
            ) from exc
    with _client() as client:
        model = _find_registered_model(client, name)
        version = model.aliases.get(alias) if model is not None else None
        return None if version is None else _as_record(client.get_model_version(name, str(version)))


def _ensure_registered_model(client: MlflowClient, name: str) -> None:
    if _find_registered_model(client, name) is None:
        client.create_registered_model(name)


def _find_registered_model(client: MlflowClient, name: str) -> RegisteredMlflowModel | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as exc:
        if exc.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _as_record(version: ModelVersion) -> RegisteredModel:
    return _record_of(version.name, version.version, str(version.source), version.tags[_BUNDLE_TAG])


def _record_of(name: str, version: int | str, source: str, bundle_fingerprint: str) -> RegisteredModel:
    location = urlsplit(source)
    # KServe's storage initializer and the local plane take the path as it is.
    uri = f"file://{unquote(location.path)}" if location.scheme == "file" else source
    return RegisteredModel(
        name=name, version=str(version), storage_uri=uri, bundle_fingerprint=bundle_fingerprint
    )


def _folder() -> Path:
    return home() / "mlflow"


def _database() -> Path:
    return _folder() / "mlflow.db"


def _artifact_location(registration: Registration) -> str | None:
    # A server keeps artifacts where it was told to.
    return (_folder() / "artifacts" / registration.name).as_uri() if is_on_this_machine() else None


def import_mlflow() -> None:
    """Import MLflow, so that later imports are free: a step can do it before its inputs are there."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    if is_on_this_machine():
        import mlflow.store.model_registry.sqlalchemy_store
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - what a client of a database imports


@contextlib.contextmanager
def _client() -> Iterator[MlflowClient]:
    """Give a client, and translate what MLflow raises while it is used."""
    import_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_database()}"
    try:
        if is_on_this_machine():
            _ensure_database()
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as exc:
        error = TemporaryError if exc.error_code in _TEMPORARY else PermanentError
        raise error(describe(f"MLflow at {uri} answers: {exc.message}")) from exc


def _ensure_database() -> None:
    """Make the SQLite file aside and rename it.

    MLflow's migrations are not one transaction: killed half-way (1.5 s), they leave a file that no later
    start can repair.
    """
    if _database().exists():
        return
    with _lock("database"):
        if _database().exists():
            return
        from mlflow.db import upgrade

        logging.getLogger("alembic").setLevel(logging.WARNING)
        for left_behind in _folder().glob(".mlflow.db.*"):
            left_behind.unlink()
        staged = _database().with_name(f".mlflow.db.{uuid.uuid4().hex}")
        upgrade.main([f"sqlite:///{staged}"], standalone_mode=False)
        staged.replace(_database())


@contextlib.contextmanager
def _registering() -> Iterator[None]:
    """Let one process at a time look whether a version exists and make it."""
    with _lock("register") if is_on_this_machine() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    """Hold a lock between processes; the system releases it when its holder dies."""
    _folder().mkdir(parents=True, exist_ok=True)
    with (_folder() / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
