"""Opens the store that feature_store.yaml describes, on files of the caller's choice."""

from __future__ import annotations

from pathlib import Path

import yaml
from feast import FeatureStore, RepoConfig

CONFIGURATION = Path(__file__).with_name("feature_store.yaml")


def open_feature_store(registry_path: Path, online_store_path: Path) -> FeatureStore:
    """Open the store with its registry and its online values in the given files.

    Args:
        registry_path: Feast's registry. Feast makes it where it is missing.
        online_store_path: The SQLite file of the online store, likewise.
    """
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    configuration["registry"]["path"] = str(registry_path)
    configuration["online_store"]["path"] = str(online_store_path)
    return FeatureStore(config=RepoConfig(**configuration))
