"""The Docker engine, by its command line; the one module that calls it for steps."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mulgil.errors import InputError, PermanentError, TemporaryError, describe

# An engine that answers does so in milliseconds, and ends a container within the grace. Chosen by eye.
_ANSWER_SECONDS = 60.0
# What `docker run` exits with where the engine did not start the container.
# Source: https://docs.docker.com/engine/containers/run/#exit-status.
NOT_STARTED = 125


@dataclass(frozen=True)
class ImageFacts:
    """What the engine says of an image.

    Attributes:
        image_id: The hash of its configuration, which names every layer.
        labels: Its labels.
    """

    image_id: str
    labels: dict[str, str]


class Engine:
    """A Docker engine that answers.

    Args:
        program: Path of its command line.

    Raises:
        TemporaryError: It does not answer.
        PermanentError: It does not let this user in.
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self._images: dict[str, ImageFacts] = {}
        answer = self._ask("version", "--format", "{{.Server.Version}}")
        if answer.returncode:
            is_refused = "permission denied" in answer.stderr
            raise (PermanentError if is_refused else TemporaryError)(
                describe(
                    "The Docker engine lets you not in" if is_refused else "No Docker engine answers",
                    received=answer.stderr.strip(),
                    next_step="join the group `docker` and sign in again"
                    if is_refused
                    else "start it (`sudo systemctl start docker`), or run with `--runner local`",
                )
            )

    def inspect_image(self, reference: str) -> ImageFacts:
        """Return what is known of an image on this machine.

        Raises:
            InputError: It is not there.
        """
        if reference not in self._images:
            answer = self._ask("image", "inspect", reference)
            if answer.returncode:
                raise InputError(
                    describe(
                        f"The image {reference} is not on this machine",
                        expected="an image that `make images` built, or one that was pulled",
                        next_step=f"{_how_to_build(reference)}, or docker pull {reference}",
                    )
                )
            (facts,) = json.loads(answer.stdout)
            self._images[reference] = ImageFacts(facts["Id"], facts["Config"].get("Labels") or {})
        return self._images[reference]

    def list_containers(self, label: str, shown: str) -> dict[str, str]:
        """Return the containers that carry a label, whether they run or not.

        Args:
            label: Such as `dev.mulgil.home=/home/ada/.mulgil`.
            shown: Name of another label.

        Returns:
            The other label's value by the container's id.
        """
        form = f'{{{{.ID}}}}\t{{{{.Label "{shown}"}}}}'
        answer = self._ask("ps", "--all", "--no-trunc", "--filter", f"label={label}", "--format", form)
        return dict(line.split("\t", 1) for line in answer.stdout.splitlines())

    def stop(self, name: str, grace_seconds: float) -> None:
        """Ask a container to end, and end it after a while; one that is not there has ended."""
        self._ask("stop", "-t", f"{grace_seconds:.0f}", name)

    def remove(self, names: Iterable[str]) -> None:
        """Remove containers, by force where they run; those that are not there are removed."""
        given = list(names)
        if given:
            self._ask("rm", "--force", "--volumes", *given)

    def ran_out_of_memory(self, name: str) -> bool:
        """Whether the engine killed a container for its memory."""
        answer = self._ask("inspect", "--format", "{{json .State}}", name)
        state: dict[str, Any] = json.loads(answer.stdout) if answer.returncode == 0 else {}
        return bool(state.get("OOMKilled"))

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.program, *words],
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired as exc:
            raise TemporaryError(
                describe(
                    f"The Docker engine does not answer within {_ANSWER_SECONDS:.0f} s", received=words[0]
                )
            ) from exc


def find_engine() -> Engine:
    """Return this machine's Docker engine.

    Raises:
        PermanentError: There is none, or it does not let this user in.
        TemporaryError: It does not answer.
    """
    program = shutil.which("docker")
    if program is None:
        raise PermanentError(
            describe(
                "There is no Docker engine on this machine",
                expected="a program `docker` on the PATH",
                next_step="install Docker Engine, or run with `--runner local`, which needs none",
            )
        )
    return Engine(program)


def _how_to_build(reference: str) -> str:
    registry, _, rest = reference.rpartition("mulgil/")
    name, _, tag = rest.partition(":")
    words: Sequence[str] = [
        "make images",
        *([f"REGISTRY={registry.rstrip('/')}"] if registry else []),
        *([f"TAG={tag}"] if tag else []),
        f"NAMES={name}",
    ]
    return " ".join(words)
