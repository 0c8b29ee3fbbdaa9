"""KServe's own Python server that asks Feast for an entity's features, as their documentation has it.

It checks no value, and encodes with our executor, which leaves the peers' cost to the peers' code.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from kserve import Model, ModelServer

from benchmarks.serving.peers.bundles import load_litert
from feature_repo.feature_store import open_feature_store
from mulgil.artifacts import BUNDLE_MANIFEST, BundleManifest


class FeastModel(Model):
    """One model for V1, by entity."""

    def __init__(self, bundle: Path, registry: Path, online_store: dict[str, Any]) -> None:
        super().__init__("bench")
        reference = BundleManifest.read(bundle / BUNDLE_MANIFEST).feature_service
        self._predict = load_litert(bundle)
        self._names = reference.features
        self._store = open_feature_store(registry, online_store)
        self._service = self._store.get_feature_service(reference.name)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Answer one request."""
        found = self._store.get_online_features(
            features=self._service, entity_rows=payload["instances"]
        ).to_dict()
        return {"predictions": self._predict({name: found[name] for name in self._names}).tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--registry-path", type=Path, required=True, help="Feast's registry")
    parser.add_argument("--online-store", type=json.loads, required=True, help="Feast's section, as JSON")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    arguments = parser.parse_args()
    ModelServer(http_port=arguments.http_port, enable_grpc=False, workers=1).start(
        [FeastModel(arguments.model_path, arguments.registry_path, arguments.online_store)]
    )
