"""The InferenceService of a registered model: a pure function of what is known of it.

Source:
    `InferenceService`, serving.kserve.io/v1beta1: https://github.com/kserve/kserve/tree/v0.20.0/config/crd
"""

from __future__ import annotations

from typing import Any

from mulgil.artifacts import BundleManifest, RegisteredModel
from mulgil.contract import Project

RUNTIME = "mulgil-model-server"
_DOMAIN = "mulgil.dev"


def build_manifest(project: Project, registered: RegisteredModel, bundle: BundleManifest) -> dict[str, Any]:
    """Write the InferenceService.

    What would make a new revision stands in `spec.predictor`; where the model comes from, in annotations.

    Args:
        project: Gives name, namespace and replicas.
        registered: The model version.
        bundle: Its bundle.
    """
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": project.name,
            "namespace": project.serving.namespace,
            "labels": {
                "app.kubernetes.io/name": project.name,
                "app.kubernetes.io/managed-by": "mulgil",
            },
            "annotations": {
                f"{_DOMAIN}/registered-model": registered.name,
                f"{_DOMAIN}/model-version": registered.version,
                f"{_DOMAIN}/bundle-fingerprint": registered.bundle_fingerprint,
                f"{_DOMAIN}/data-fingerprint": bundle.data_fingerprint,
                f"{_DOMAIN}/dictionary-fingerprint": bundle.dictionary_fingerprint,
                f"{_DOMAIN}/feature-store-version": bundle.feature_service.store_version,
                # A cluster's runtime records anyway.
                **({f"{_DOMAIN}/record-predictions": "true"} if project.serving.record_predictions else {}),
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": project.serving.min_replicas,
                "model": {
                    "modelFormat": {"name": "mulgil"},
                    "runtime": RUNTIME,
                    "protocolVersion": "v2",
                    "storageUri": registered.storage_uri,
                    # The runtime passes it on as `--model-version`.
                    "env": [{"name": "MODEL_VERSION", "value": registered.version}],
                },
            }
        },
    }
