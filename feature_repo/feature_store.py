"""Opens the store that feature_store.yaml describes, on files of the caller's choice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore, RepoConfig

CONFIGURATION = Path(__file__).with_name("feature_store.yaml")


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
