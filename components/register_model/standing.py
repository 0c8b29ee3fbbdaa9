"""Whether the model is registered and the candidate, told without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulgil import registry
from mulgil.artifacts import BUNDLE_MANIFEST, BundleManifest, RegisteredModel, read_bundle
from mulgil.errors import NotReconciledError


def observe(inputs: Mapping[str, Any], outputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the model version that this step leaves.

    Args:
        inputs: The step's parameters and artifacts by name.
        outputs: Its artifacts by name.

    Raises:
        NotReconciledError: This bundle is not the candidate.
        InputError: The registered bundle is damaged.
    """
    if not registry.is_on_this_machine():
        raise NotReconciledError("the registry is a server, which the step asks for the version")
    bundle = BundleManifest.read(inputs["bundle"] / BUNDLE_MANIFEST)
    candidate = registry.find_candidate(bundle.name)
    if candidate is None or candidate != RegisteredModel.read(outputs["registered_model"]):
        is_there = f"version {candidate.version}" if candidate is not None else "none"
        raise NotReconciledError(f"the registry's candidate is another one than this model: {is_there}")
    return {"bundle": read_bundle(registry.bundle_directory(candidate)).fingerprint}
