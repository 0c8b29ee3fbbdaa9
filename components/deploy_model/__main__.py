"""The program `python -m components.deploy_model`."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulgil.program import run_program

if TYPE_CHECKING:
    from components.deploy_model.platform import InferencePlatform
    from mulgil.artifacts import RegisteredModel, Verdict
    from mulgil.contract.rollout import Rollout


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.deploy_model",
        description="Deploy a registered, approved model as an InferenceService, and see it answer.",
    )
    parser.add_argument(
        "--project-path",
        required=True,
        help="Folder with project.yaml and data_dictionary.yaml, or the address of one that is packed.",
    )
    parser.add_argument(
        "--registered-model-path", type=Path, required=True, help="File that register_model wrote."
    )
    parser.add_argument(
        "--evaluation-verdict-path",
        type=Path,
        required=True,
        help="Verdict of evaluate_model; without its approval nothing is deployed.",
    )
    parser.add_argument(
        "--manifest-path", type=Path, required=True, help="File to write: the InferenceService, as YAML."
    )
    parser.add_argument(
        "--endpoint-path", type=Path, required=True, help="File to write: where the model answers."
    )
    parser.add_argument(
        "--timeout-seconds",
        type=int,
        default=120,
        help="Longest wait for readiness (default: %(default)s).",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


def load_core() -> Callable[..., Any]:
    """Import the core, with all that it needs."""
    # Now, so that an interpreter that waits for this step has it all.
    import mulgil.rollout.releasing  # noqa: F401
    from components.deploy_model.core import deploy_model

    platform, locate = _choose_platform()
    return functools.partial(
        deploy_model,
        platform=platform,
        locate=locate,
        give_alias=_give_alias,
        reason_for_rollout=_reason_for_rollout,
    )


def _choose_platform() -> tuple[InferencePlatform, Callable[[RegisteredModel], Path]]:
    """Choose between this machine and a cluster; nothing else in this component does."""
    from components.deploy_model.bundle import fetch_bundle, find_bundle

    # Kubernetes sets it in every container.
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        from mulgil.cluster.inference_services import ClusterPlatform

        return ClusterPlatform(), fetch_bundle
    from mulgil.local.plane.client import ServingPlane

    return ServingPlane(), find_bundle


def _reason_for_rollout(policy: Rollout, candidate: dict[str, Any]) -> str | None:
    from mulgil.rollout.releasing import reason_for_rollout

    return reason_for_rollout(policy, candidate)


def _give_alias(name: str, version: str, alias: str, verdict: Verdict) -> None:
    from mulgil.registry import give_alias

    give_alias(name, version, alias, verdict)


if __name__ == "__main__":
    raise SystemExit(main())
