"""Opens the store that feature_store.yaml describes, on files of the caller's choice."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore, RepoConfig

from feature_repo.translation import FeastObjects

CONFIGURATION = Path(__file__).with_name("feature_store.yaml")


def apply_objects(store: FeatureStore, objects: FeastObjects) -> None:
    """Put one version of a project's definitions into the registry."""
    with warnings.catch_warnings():
        # What is derived of training rows is never read from Feast, so that its speed there does not matter.
        warnings.filterwarnings("ignore", message="On demand feature view is an experimental feature")
        store.apply(objects.every)


def open_feature_store(
    registry: Path | Mapping[str, Any], online_store: Path | Mapping[str, Any]
) -> FeatureStore:
    """Open the store with its registry and its online values in places of the caller's choice.

    Args:
        registry: The file of Feast's registry, which Feast makes where it is missing; or
            feature_store.yaml's whole section.
        online_store: The SQLite file of the online store, likewise; or feature_store.yaml's whole section.
    """
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    if isinstance(registry, Path):
        configuration["registry"]["path"] = str(registry)
    else:
        configuration["registry"] = dict(registry)
    if isinstance(online_store, Path):
        configuration["online_store"]["path"] = str(online_store)
    else:
        configuration["online_store"] = dict(online_store)
    return FeatureStore(config=RepoConfig(**configuration))
