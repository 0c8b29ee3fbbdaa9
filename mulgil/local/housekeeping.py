"""Runs on the disk: how large they are, what still needs them, and how they go.

A registered version has its own copy of the bundle, and a run's project copy is a few kilobytes that equal
runs share; neither is touched here. Files that the step cache has too are links to the same content, which
stays until the cache itself is pruned. What needs a run's folder is the run itself while it goes on, and an
InferenceService or a registered version whose bundle lies in the folder. The run that made the version that
is being served stays as well: its verdict is the reason why it may serve.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mulgil.artifacts import RegisteredModel, remove_directory
from mulgil.errors import InputError, PermanentError, describe
from mulgil.home import home
from mulgil.local.launch import folder_of
from mulgil.local.plane.store import PlaneStore
from mulgil.local.retention import KeptRun
from mulgil.local.run_store import RunRecord, RunStore, State
from mulgil.registry import list_versions


def size_of(folder: Path) -> int:
    """Return how much of the disk a folder takes, in bytes; links are not followed."""
    size = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                # As `du` counts: what is allocated.
                size += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118 - twice as fast
            except FileNotFoundError:
                continue
    return size


def measure(run: RunRecord) -> KeptRun:
    """Return a run with its age and its size."""
    return KeptRun(run.run_id, run.ended_at or run.started_at, size_of(folder_of(run.run_id)))


def find_needed(runs: Sequence[RunRecord]) -> dict[str, str]:
    """Return why a run must stay, by its name, for those that must.

    Raises:
        TemporaryError: The registry does not answer; what it needs is not known.
    """
    return why_needed(runs, _served(PlaneStore(home() / "serving")), list_versions())


def why_needed(
    runs: Sequence[RunRecord], served: Iterable[str], versions: Iterable[RegisteredModel]
) -> dict[str, str]:
    """Return why a run must stay, by its name, for those that must.

    Args:
        runs: The runs.
        served: The storage URIs of everything that is deployed, earlier revisions too.
        versions: The registered versions.
    """
    deployed = {_place(uri) for uri in served}
    registered = {_place(version.storage_uri): f"{version.name} {version.version}" for version in versions}
    needed = {}
    for run in runs:
        folder = folder_of(run.run_id)
        made = _version_of(folder)
        if run.state is State.RUNNING:
            needed[run.run_id] = "it is running"
        elif any(_is_within(place, folder) for place in deployed):
            needed[run.run_id] = "what is deployed lies in it"
        elif within := [name for place, name in registered.items() if _is_within(place, folder)]:
            needed[run.run_id] = f"the bundle of {within[0]} lies in it"
        elif made is not None and _place(made.storage_uri) in deployed:
            needed[run.run_id] = f"it made {made.name} {made.version}, which is deployed"
    return needed


def delete_run(store: RunStore, run: RunRecord, needed: Mapping[str, str]) -> None:
    """Remove a run: its folder, then its record, so that a deletion that was killed can be repeated.

    Args:
        store: The run store.
        run: The run.
        needed: Why a run must stay, by its name.

    Raises:
        InputError: It must stay.
        PermanentError: The folder cannot be removed.
    """
    if reason := needed.get(run.run_id):
        raise InputError(
            describe(
                f"{run.run_id} stays: {reason}",
                next_step="wait for its end, or deploy another version first",
            )
        )
    folder = folder_of(run.run_id)
    try:
        if folder.is_dir():
            remove_directory(folder)
    except OSError as exc:
        raise PermanentError(describe(f"Cannot remove {folder}: {exc.strerror}")) from exc
    store.delete_run(run.run_id)


def sweep(runs_folder: Path) -> None:
    """Remove what deletions that were killed left behind; an hour old, so that none is under way."""
    for aside in runs_folder.glob(".*"):
        if aside.is_dir() and time.time() - aside.stat().st_mtime > 3600:
            shutil.rmtree(aside, ignore_errors=True)


def _served(plane: PlaneStore) -> list[str]:
    """Return the storage URIs of all that is wanted, and of the revisions that still serve."""
    return [
        uri
        for key in plane.list_keys()
        for content in (plane.read_object(key), plane.read_state(key).model_dump(mode="json"))
        for uri in _storage_uris(content)
    ]


def _storage_uris(value: Any) -> Iterator[str]:
    """Find every storage URI in an object, wherever in spec, status or annotations it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "storageUri" and isinstance(inner, str):
                yield inner
            yield from _storage_uris(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _storage_uris(inner)


def _place(uri: str) -> str:
    """Return the path that a storage URI names on this machine; another URI as it is."""
    path = uri.removeprefix("file://")
    return str(Path(path).resolve()) if path.startswith("/") else uri


def _is_within(place: str, folder: Path) -> bool:
    return place.startswith("/") and Path(place).is_relative_to(folder.resolve())


def _version_of(folder: Path) -> RegisteredModel | None:
    for path in sorted(folder.glob("tasks/**/register-model/artifacts/registered_model")):
        try:
            return RegisteredModel.read(path)
        except InputError:
            continue
    return None
