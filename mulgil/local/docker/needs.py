"""What one step needs of this machine besides its image; everything else it neither sees nor reaches."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mulgil.contract import load_project
from mulgil.contract.sources import PythonSource, SqlSource, is_in_spans
from mulgil.contract.spans import has_spans
from mulgil.local.cache.project_inputs import sections_of
from mulgil.local.placeholders import TaskContext
from mulgil.online_stores import ADDRESS_VARIABLE, REGISTRY_VARIABLE, URL_VARIABLE

SERVING, SPANS = "serving", "spans"
# A store that one of these variables places elsewhere is reached by network.
_PLACES: Mapping[str, tuple[str, ...]] = {
    SPANS: ("MULGIL_SPANS_URI",),
    "checkpoints": ("MULGIL_TRAINING_URI",),
    "feature_store": (URL_VARIABLE, ADDRESS_VARIABLE, REGISTRY_VARIABLE),
    "mlflow": ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"),
}
# What a step that is let into the network is told of where things are, and of how to sign in there.
_TOLD = re.compile(r"(AWS|GOOGLE|MLFLOW|MULGIL)_\w+|(HTTPS?|NO|ALL)_PROXY|SSL_CERT_FILE", re.IGNORECASE)
_NOT_TOLD = {"MULGIL_HOME"}
_SQLITE = "sqlite:///"
# Of spans a placeholder is in braces.
_OF_A_PATTERN = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Needs:
    """What a step needs.

    Attributes:
        read: Files and folders, its inputs among them.
        stores: Folders of Mulgil's home, by name, that it changes.
        is_networked: Whether something that it needs is elsewhere, or answers at an address.
        told: Variables of this process that it is given.
    """

    read: tuple[Path, ...]
    stores: frozenset[str]
    is_networked: bool
    told: tuple[str, ...]


def stores_of(component: str) -> frozenset[str]:
    """Return the folders of Mulgil's home that a component declares to work in."""
    stores: frozenset[str] = importlib.import_module(f"components.{component}").STORES
    return stores


def needs_of(component: str, context: TaskContext, environment: Mapping[str, str] = os.environ) -> Needs:
    """Return what a step needs.

    Args:
        component: Its component.
        context: Its inputs.
        environment: Of this process.

    Raises:
        ContractError: The project that it reads is wrong.
    """
    stores = stores_of(component)
    project = context.input_parameters.get("project_path")
    found = _Source("")
    if project is not None and "source" in sections_of(component):
        found = _source_of(Path(project), str(context.input_parameters.get("source", "")))
    source = found.location
    if not found.is_in_spans:
        stores -= {SPANS}
    placed = any(environment.get(name) for store in stores for name in _PLACES.get(store, ()))
    is_remote = "://" in source and not source.startswith(_SQLITE)
    is_networked = is_remote or placed or SERVING in stores
    told = {name for name in environment if _TOLD.fullmatch(name)} - _NOT_TOLD if is_networked else set()
    files = [] if not source or is_remote else [_place_of(source.removeprefix(_SQLITE))]
    inputs = ([Path(project)] if project is not None else []) + sorted(context.input_artifacts.values())
    return Needs(
        read=tuple(dict.fromkeys((*inputs, *files))),
        stores=stores,
        is_networked=is_networked,
        told=tuple(sorted(told | (found.variables & environment.keys()))),
    )


@dataclass(frozen=True)
class _Source:
    """Where the rows are, the variables that say so, and whether they come in spans."""

    location: str
    variables: frozenset[str] = frozenset()
    is_in_spans: bool = False


def _source_of(project_path: Path, replacement: str) -> _Source:
    folder = load_project(project_path)
    source = folder.project.source
    if replacement:
        return _Source(replacement, is_in_spans=has_spans(replacement))
    if isinstance(source, PythonSource):
        return _Source("")
    if isinstance(source, SqlSource):
        variables = frozenset(re.findall(r"\$\{(\w+)\}", source.url))
        return _Source(source.url, variables, is_in_spans(source))
    is_remote = "://" in source.location
    location = source.location if is_remote else str((folder.path / source.location).absolute())
    return _Source(location, is_in_spans=is_in_spans(source))


def _place_of(location: str) -> Path:
    """Return the file, or the folder that holds all files of a pattern."""
    path = Path(location)
    if path.exists() or not _OF_A_PATTERN.search(location):
        return path
    parts = path.parts
    first = next(index for index, part in enumerate(parts) if _OF_A_PATTERN.search(part))
    return Path(*parts[:first])
