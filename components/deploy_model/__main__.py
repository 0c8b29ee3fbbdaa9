"""The program `python -m components.deploy_model`."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulgil.errors import PermanentError, describe
from mulgil.program import run_program

if TYPE_CHECKING:
    from components.deploy_model.platform import InferencePlatform
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
    from components.deploy_model.core import deploy_model
    from mulgil.registry import import_mlflow

    import_mlflow()
    return functools.partial(
        deploy_model,
        platform=_choose_platform(),
        promote=_promote,
        reason_for_rollout=_reason_for_rollout,
    )


def _choose_platform() -> InferencePlatform:
    """Choose between this machine and a cluster; nothing else in this component does."""
    # Kubernetes sets it in every container.
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise PermanentError(
            describe(
                "Deploying to a cluster is not there yet",
                expected="a machine outside Kubernetes, with the local serving plane",
                received="KUBERNETES_SERVICE_HOST is set",
                next_step="run the pipeline with `mulgil run`",
            )
        )
    from mulgil.local.plane.client import ServingPlane

    return ServingPlane()


def _reason_for_rollout(policy: Rollout, candidate: dict[str, Any]) -> str | None:
    from mulgil.rollout.releasing import reason_for_rollout

    return reason_for_rollout(policy, candidate)


def _promote(name: str, version: str) -> None:
    from mulgil.registry import promote

    promote(name, version)


if __name__ == "__main__":
    raise SystemExit(main())
