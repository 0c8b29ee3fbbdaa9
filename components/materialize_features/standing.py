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
from mulgil.online_stores import REGISTRY_VARIABLE, find_redis

# Entities, feature views, feature services and data sources: an entry each.
# Source: feast/core/Registry.proto of Feast 0.67.
_ENTRIES = frozenset({1, 6, 7, 12})
# Where an entry holds a map, by the numbers of the fields that lead there. A map's pairs have no order, and
# the registry's next writer may write them in another one; of every other list the order has a meaning.
# Source: Entity.proto, FeatureView.proto, FeatureService.proto and DataSource.proto of Feast 0.67.
MAPS = frozenset(
    {
        # An entity's tags.
        (1, 1, 8),
        # A view's tags; those of its features and of its entities' columns; those of its sources' maps.
        (6, 1, 5),
        (6, 1, 4, 3),
        (6, 1, 12, 3),
        *((6, 1, source, field) for source in (7, 9) for field in (2, 24)),
        # A service's tags; of each view in it its keys' names, its features' tags and its sources' maps.
        (7, 1, 4),
        (7, 1, 3, 4),
        (7, 1, 3, 2, 3),
        *((7, 1, 3, source, field) for source in (8, 9) for field in (2, 24)),
        # A source's tags, and the names that its columns have elsewhere.
        (12, 24),
        (12, 2),
    }
)
_AROUND_MAPS = frozenset(place[:length] for place in MAPS for length in range(1, len(place)))


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
    if find_redis() is not None or reference.store_kind != "sqlite":
        raise NotReconciledError("the online store is Redis, or was")
    if os.environ.get(REGISTRY_VARIABLE):
        raise NotReconciledError("the feature definitions are in a database")
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
        return fingerprint_json(
            sorted(
                say_in_one_order(field.data, (field.field_number,))
                for field in UnknownFieldSet(Empty.FromString(registry.read_bytes()))
                if field.field_number in _ENTRIES and name.encode() in field.data
            )
        )
    except DecodeError as exc:
        raise NotReconciledError(f"{registry} is no registry of Feast's") from exc


def say_in_one_order(message: bytes, place: tuple[int, ...]) -> str:
    """Write what a message says so that equal messages read alike: the pairs of its maps are sorted.

    Args:
        message: As it stands in the registry.
        place: The numbers of the fields that lead to it.
    """
    said, pairs = [], []
    for field in UnknownFieldSet(Empty.FromString(message)):
        within = (*place, field.field_number)
        if within in MAPS:
            pairs.append(f"{field.field_number}:{field.data.hex()}")
        elif within in _AROUND_MAPS:
            said.append(f"{field.field_number}:({say_in_one_order(field.data, within)})")
        else:
            value = field.data.hex() if isinstance(field.data, bytes) else field.data
            said.append(f"{field.field_number}:{value}")
    return ",".join([*said, *sorted(pairs)])
