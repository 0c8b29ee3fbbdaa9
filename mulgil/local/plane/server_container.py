"""`python -m mulgil.local.plane.server_container`: a revision's server in a container of its image.

The predictor's annotation names the image. The supervisor has a process of the engine's command line where it
else has the server itself: it is asked to stop, ends and begins again alike.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from mulgil.errors import MulgilError
from mulgil.home import home
from mulgil.local.docker.engine import Engine, find_engine
from mulgil.local.docker.ownership import user_of_containers
from mulgil.local.docker.run_command import ContainerPlan, run_command
from mulgil.local.plane.envoy_config import HOST
from mulgil.local.plane.objects import Predictor
from mulgil.online_stores import ADDRESS_VARIABLE, PASSWORD_VARIABLE, URL_VARIABLE, find_redis
from mulgil.program import run_program

# Where it is set, the servers of what is deployed run in containers of this image.
IMAGE_VARIABLE = "MULGIL_SERVER_IMAGE"
PLANE_LABEL = "dev.mulgil.plane"
_PORT_LABEL = "dev.mulgil.port"
_OF_REDIS = {URL_VARIABLE, ADDRESS_VARIABLE, PASSWORD_VARIABLE}
# Within a network of its own, from which only the published port leads out.
_EVERYWHERE = "0.0.0.0"


def contain(
    image: str,
    arguments: Sequence[str],
    *,
    predictor: Predictor,
    model_path: str,
    ports: tuple[int, ...],
    folder: Path,
    is_recorded: bool,
) -> list[str]:
    """Return the command that runs a server in a container.

    Args:
        image: The model server's.
        arguments: Of `mulgil.serving`, but the address on which it listens.
        predictor: What is served.
        model_path: The model's folder.
        ports: Where it is to answer on this machine; the first one's is its name here.
        folder: The plane's, by which its containers are found again.
        is_recorded: Whether it tells a collector of its predictions.
    """
    # This machine's own addresses are not to be reached from a network of its own.
    is_outgoing = is_recorded or find_redis({**os.environ, **predictor.environment}) is not None
    limits = predictor.model.resources.limits
    stores = home() / "feature_store" / "online"
    plan = ContainerPlan(
        name=_name(folder, ports[0]),
        image=image,
        words=(
            *("python", "-m", "mulgil.serving", *arguments),
            *("--host", HOST if is_outgoing else _EVERYWHERE),
        ),
        user=user_of_containers(),
        labels={PLANE_LABEL: str(folder), _PORT_LABEL: str(ports[0])},
        passed_on=tuple(sorted({*predictor.environment, *(_OF_REDIS & os.environ.keys())})),
        # The folder, as the next state of a store takes its file's place.
        read=(Path(model_path), *((stores,) if stores.is_dir() else ())),
        network="host" if is_outgoing else "bridge",
        published=() if is_outgoing else ports,
        core_limit=limits.cores,
        memory_limit=limits.bytes,
        is_removed=True,
    )
    return [plan.name, *run_command(plan)]


def remove_container(folder: Path, port: int) -> None:
    """Remove the container of a server whose process was killed, where it had one."""
    engine = _engine()
    if engine is not None:
        engine.remove([_name(folder, port)])


def remove_containers(folder: Path, kept: Collection[int] = ()) -> None:
    """Remove a plane's containers.

    Args:
        folder: The plane's.
        kept: Ports of the servers that go on.
    """
    engine = _engine()
    if engine is not None:
        found = engine.list_containers(f"{PLANE_LABEL}={folder}", _PORT_LABEL)
        engine.remove(container for container, port in found.items() if int(port) not in kept)


def build_parser() -> argparse.ArgumentParser:
    """Return the flags; each one's destination is a parameter of `run_alone`."""
    parser = argparse.ArgumentParser(prog="python -m mulgil.local.plane.server_container")
    parser.add_argument("name", help="the container's name; an earlier one of that name is removed")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="what follows `docker`")
    return parser


def run_alone(*, name: str, words: Sequence[str]) -> None:
    """Become the engine's command line, once no earlier container stands in the way.

    Args:
        name: The container's.
        words: What follows `docker`.

    Raises:
        MulgilError: There is no engine, or it does not answer.
    """
    engine = find_engine()
    engine.remove([name])
    os.execv(engine.program, [engine.program, *words])


def load_core() -> Callable[..., Any]:
    """Return what runs it."""
    return run_alone


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), load_core, argv)


def _name(folder: Path, port: int) -> str:
    return f"mulgil-server-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}-{port}"


def _engine() -> Engine | None:
    if shutil.which("docker") is None:
        return None
    try:
        return find_engine()
    except MulgilError:
        # Without it no container runs.
        return None


if __name__ == "__main__":
    raise SystemExit(main())
