"""Whether the feature store is as this step left it, told without Feast, whose import takes seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from components.materialize_features import PROJECT_SECTIONS
from feature_repo.layout import StoreLayout, definition_name
from mulgil.artifacts import (
    DATASET_MANIFEST,
    DatasetManifest,
    FeatureServiceReference,
    fingerprint_file,
    fingerprint_json,
)
from mulgil.contract import load_project
from mulgil.contract.specifications import specify_features
from mulgil.errors import NotReconciledError
from mulgil.home import home
from mulgil.online_stores import URL_VARIABLE

# Entities, feature views, feature services and data sources: an entry each.
# Source: feast/core/Registry.proto of Feast 0.67.
_ENTRIES = frozenset({1, 6, 7, 12})


def observe(inputs: Mapping[str, Any], outputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the facts of the store that this step leaves.

    Args:
        inputs: The step's parameters and artifacts by name.
        outputs: Its artifacts by name.

    Raises:
        NotReconciledError: The store is Redis, lacks this version, or holds the values of another dataset.
    """
    folder = load_project(Path(inputs["project_path"]), PROJECT_SECTIONS)
    project, version = folder.project.name, specify_features(folder.dictionary).version
    reference = FeatureServiceReference.read(outputs["feature_service"])
    if not reference.features:
        # Images: the step has written nothing but its outputs.
        return {}
    if os.environ.get(URL_VARIABLE) or reference.store_kind != "sqlite":
        raise NotReconciledError("the online store is Redis, or was")
    dataset = DatasetManifest.read(inputs["dataset"] / DATASET_MANIFEST).fingerprint
    layout = StoreLayout(home() / "feature_store")
    facts = {
        "offline store": _fingerprint(layout.offline(project, version)),
        "online store": _fingerprint(Path(reference.online_store)),
        "feature definitions": _fingerprint_definitions(layout.registry, definition_name(project, version)),
    }
    # Read last, as another run writes it first: values of its are never taken for this dataset's.
    holder = layout.dataset(project, version)
    if not holder.is_file() or holder.read_text(encoding="utf-8") != dataset:
        raise NotReconciledError("the feature store holds the values of another dataset")
    return facts


def _fingerprint(path: Path) -> str:
    if not path.is_file():
        raise NotReconciledError(f"there is no {path}")
    return fingerprint_file(path)


def _fingerprint_definitions(registry: Path, name: str) -> str:
    """Return a hash of what Feast's registry says of one version, whatever it says of others.

    The registry is one message of repeated entries, which need not be understood to be told apart.
    """
    if not registry.is_file():
        raise NotReconciledError(f"there is no {registry}")
    try:
        fields = UnknownFieldSet(Empty.FromString(registry.read_bytes()))
    except DecodeError as exc:
        raise NotReconciledError(f"{registry} is no registry of Feast's") from exc
    values = [
        field.data for field in fields if field.field_number in _ENTRIES and name.encode() in field.data
    ]
    return fingerprint_json(sorted(_in_one_order(value) for value in values))


def _in_one_order(message: bytes) -> str:
    """Write a message's fields in one order: the registry's next writer may write a map's in another."""
    try:
        fields = list(UnknownFieldSet(Empty.FromString(message)))
    except DecodeError:
        return message.hex()
    # A text that happens to read like a message with an old group in it.
    if not all(isinstance(field.data, (bytes, int)) for field in fields):
        return message.hex()
    parts = [
        f"{field.field_number}:{_in_one_order(field.data) if isinstance(field.data, bytes) else field.data}"
        for field in fields
    ]
    return f"({','.join(sorted(parts))})"
