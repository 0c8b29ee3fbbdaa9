"""What the steps of a run run in, chosen once a run: processes of this machine, or containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mulgil.local.cache.keys import FingerprintEnvironment
from mulgil.local.environments import fingerprint_lock
from mulgil.local.launcher import Launcher
from mulgil.local.process_launcher import ProcessLauncher

if TYPE_CHECKING:
    from mulgil.local.docker.engine import Engine


class RunnerKind(StrEnum):
    """What steps run in."""

    LOCAL = "local"
    DOCKER = "docker"


@dataclass(frozen=True)
class Platform:
    """What the steps of one run run in.

    Attributes:
        runner: Which.
        fingerprint_environment: Of an image, a hash of all that a step in it finds there.
        engine: The Docker engine, where there are containers.
    """

    runner: RunnerKind
    fingerprint_environment: FingerprintEnvironment
    engine: Engine | None = None

    @classmethod
    def of(cls, runner: RunnerKind) -> Self:
        """Return a runner's platform.

        Raises:
            MulgilError: It needs a Docker engine, and none answers.
        """
        if runner is RunnerKind.LOCAL:
            return cls(runner, fingerprint_lock)
        # What only containers need costs others nothing.
        from mulgil.local.docker.engine import find_engine
        from mulgil.local.docker.launcher import fingerprint_image

        engine = find_engine()
        return cls(runner, partial(fingerprint_image, engine), engine)

    def launcher(
        self, run_id: str, folder: Path, images: Sequence[str], is_running: Callable[[str], bool]
    ) -> Launcher:
        """Return what starts the steps of a run.

        Args:
            run_id: The run.
            folder: Its folder.
            images: Of the steps that will probably run, in their order.
            is_running: Whether another run goes on.
        """
        if self.engine is None:
            return ProcessLauncher(folder, images)
        from mulgil.local.docker.launcher import DockerLauncher

        return DockerLauncher(self.engine, run_id, is_running)
