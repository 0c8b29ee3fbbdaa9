"""Whether the model was judged against the champion that there is, told without TensorFlow and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulgil import registry
from mulgil.artifacts import BUNDLE_MANIFEST, BundleManifest, Evaluation, read_bundle
from mulgil.errors import NotReconciledError


def observe(inputs: Mapping[str, Any], outputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the champion, beside which this step judges.

    Args:
        inputs: The step's parameters and artifacts by name.
        outputs: Its artifacts by name.

    Raises:
        NotReconciledError: The champion is another one than it was.
        InputError: The champion's bundle is damaged.
    """
    if not registry.is_on_this_machine():
        raise NotReconciledError("the registry is a server, which the step asks for the champion")
    bundle = BundleManifest.read(inputs["bundle"] / BUNDLE_MANIFEST)
    champion = registry.find_champion(bundle.name, other_than=bundle.fingerprint)
    if champion is not None:
        read_bundle(registry.bundle_directory(champion))
    fingerprint = champion.bundle_fingerprint if champion is not None else ""
    if Evaluation.read(outputs["evaluation"]).champion_fingerprint != fingerprint:
        who = f"version {champion.version}" if champion is not None else "none but this model"
        raise NotReconciledError(f"the champion is another one than it was: {who}")
    return {"champion": fingerprint}
