"""From a manifest to a rollout that is under way, or to its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import yaml

from components.roll_out_model import PROJECT_SECTIONS
from mulgil.artifacts import RolloutReference
from mulgil.contract import load_project
from mulgil.contract.rollout import Rollout
from mulgil.errors import GateRejectedError, InputError, TemporaryError, describe


class Rollouts(Protocol):
    """Where rollouts live: outside the pipeline, so that they outlast it."""

    def begin(
        self, policy: Rollout, candidate: dict[str, Any], dataset_path: Path | None
    ) -> RolloutReference:
        """See that a new version's rollout is under way."""

    def wait(self, rollout_id: str, timeout_seconds: float) -> RolloutReference:
        """Return how far it is when it is over, or when the time is."""


def roll_out_model(
    *,
    project_path: Path,
    manifest_path: Path,
    dataset_path: Path,
    rollout_path: Path,
    wait_seconds: int,
    rollouts: Rollouts,
) -> RolloutReference:
    """Start the rollout of the version in a manifest; what serves already needs none.

    Args:
        project_path: Folder with the project's files.
        manifest_path: The InferenceService that `deploy_model` wrote.
        dataset_path: Folder of the dataset, whose test rows are replayed.
        rollout_path: Where it is written which rollout it is, and how far.
        wait_seconds: Longest wait for the verdict; 0 leaves the rollout to itself. On a cluster the step
            stays until the verdict in any case, for it is what drives the rollout.
        rollouts: Where rollouts live.

    Returns:
        Which rollout it is, and how far.

    Raises:
        InputError: The manifest cannot be read, or the policy asks more than the platform can do.
        GateRejectedError: It was waited for, and the version was rolled back.
        TemporaryError: It was waited for, and is not decided yet.
    """
    policy = load_project(project_path, PROJECT_SECTIONS).project.rollout
    reference = rollouts.begin(policy, _read(manifest_path), dataset_path)
    if reference.rollout_id and wait_seconds and not reference.is_over:
        reference = rollouts.wait(reference.rollout_id, wait_seconds)
    reference.write(rollout_path)
    print(reference.reason)
    if reference.rollout_id and not reference.is_over:
        watch = f"mulgil rollout watch {reference.rollout_id}"
        if wait_seconds:
            raise TemporaryError(
                describe(
                    f"Undecided after {wait_seconds} s", received=reference.reason, next_step=f"see `{watch}`"
                )
            )
        print(watch)
    if reference.is_over and not reference.is_promoted:
        raise GateRejectedError(reference.reason)
    return reference


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as exc:
        raise InputError(
            describe(f"Cannot read {path}: {exc}", expected="the InferenceService that deploy_model wrote")
        ) from exc
    return content
