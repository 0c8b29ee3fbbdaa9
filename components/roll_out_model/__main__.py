"""The program `python -m components.roll_out_model`."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulgil.program import run_program

if TYPE_CHECKING:
    from mulgil.artifacts import RolloutReference
    from mulgil.contract.rollout import Rollout
    from mulgil.rollout.record import RolloutRecord


def build_parser() -> argparse.ArgumentParser:
    """Declare the flags; each one's destination is a parameter of the core."""
    parser = argparse.ArgumentParser(
        prog="python -m components.roll_out_model",
        description="Start the rollout of a new model version; it goes on by itself.",
    )
    parser.add_argument(
        "--project-path",
        required=True,
        help="Folder with project.yaml and data_dictionary.yaml, or the address of one that is packed.",
    )
    parser.add_argument(
        "--manifest-path", type=Path, required=True, help="The InferenceService that deploy_model wrote."
    )
    parser.add_argument(
        "--dataset-path", type=Path, required=True, help="Folder of the dataset; its test rows are replayed."
    )
    parser.add_argument(
        "--rollout-path", type=Path, required=True, help="File to write: which rollout, and how far."
    )
    parser.add_argument(
        "--wait-seconds",
        type=int,
        default=0,
        help="Longest wait for the verdict; 0 leaves the rollout to itself (default: %(default)s).",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return run_program(build_parser(), load_core, argv)


def load_core() -> Callable[..., Any]:
    """Import the core, with all that it needs."""
    # Now, so that an interpreter that waits for this step has it all.
    import mulgil.rollout.releasing  # noqa: F401
    from components.roll_out_model.core import roll_out_model

    return functools.partial(roll_out_model, rollouts=_Rollouts())


class _Rollouts:
    """The rollouts of this machine's home."""

    def begin(
        self, policy: Rollout, candidate: dict[str, Any], dataset_path: Path | None
    ) -> RolloutReference:
        from mulgil.artifacts import RolloutReference
        from mulgil.rollout.releases import version_of
        from mulgil.rollout.releasing import begin_rollout

        rollout = begin_rollout(policy, candidate, dataset_path)
        if rollout is not None:
            return _refer(rollout)
        return RolloutReference(
            rollout_id=None,
            is_over=True,
            is_promoted=True,
            reason=f"Version {version_of(candidate)} has all the traffic; there is nothing to roll out.",
        )

    def wait(self, rollout_id: str, timeout_seconds: float) -> RolloutReference:
        from mulgil.rollout.releasing import wait_for_verdict

        return _refer(wait_for_verdict(rollout_id, timeout_seconds))


def _refer(rollout: RolloutRecord) -> RolloutReference:
    from mulgil.artifacts import RolloutReference
    from mulgil.rollout.record import Phase

    versions = f"version {rollout.stable_version} to {rollout.candidate_version}"
    return RolloutReference(
        rollout_id=rollout.rollout_id,
        is_over=rollout.phase.is_over,
        is_promoted=rollout.phase is Phase.PROMOTED,
        reason=f"Rollout of {versions}: {rollout.phase.value}. {rollout.reason}".strip(),
    )


if __name__ == "__main__":
    raise SystemExit(main())
