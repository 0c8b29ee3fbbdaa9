"""Starts a container's command in a container of its image, with what the step needs and nothing else.

Every folder is at its own path in the container, so that a command line means there what it means here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from mulgil.artifacts import fingerprint_json
from mulgil.errors import InputError, describe
from mulgil.home import CONTAINED_VARIABLE, home
from mulgil.local.cache.code import fingerprint_code
from mulgil.local.cache.step_key import IMAGE
from mulgil.local.container_step import check_container, resolve_container
from mulgil.local.docker.engine import Engine
from mulgil.local.docker.needs import SERVING, Needs, needs_of, stores_of
from mulgil.local.docker.ownership import hand_over, user_of_containers
from mulgil.local.docker.run_command import ContainerPlan
from mulgil.local.docker.step_container import StepContainer, scratch_of
from mulgil.local.environments import find_environment
from mulgil.local.pipeline_spec import Container
from mulgil.local.placeholders import TaskContext
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.server_container import IMAGE_VARIABLE
from mulgil.local.resources import Demand

HOME_LABEL = "dev.mulgil.home"
RUN_LABEL = "dev.mulgil.run"
TASK_LABEL = "dev.mulgil.task"
# `make images` says by it, behind a component's name, which code an image holds.
CODE_LABEL = "dev.mulgil.code"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")


class DockerLauncher:
    """Starts the steps of one run in containers.

    Args:
        engine: Where.
        run_id: The run, whose lock this process holds.
        is_running: Whether another run goes on, so that its containers are its own.
    """

    def __init__(self, engine: Engine, run_id: str, is_running: Callable[[str], bool]) -> None:
        self._engine = engine
        self._run_id = run_id
        self._is_running = is_running
        self._user = user_of_containers()

    def check(self, name: str, container: Container) -> None:
        """Refuse a container whose image is not on this machine, or holds other code.

        Raises:
            InputError: It is so.
            UnsupportedPipelineError: The image is not one of ours, or the container runs a function of KFP's.
        """
        check_container(name, container)
        component = find_environment(container.image).component
        self._check_code(container.image, component)
        if SERVING in stores_of(component):
            self._engine.inspect_image(server_image(container.image))

    async def prepare(self) -> None:
        """Remove what killed runners left."""
        await asyncio.to_thread(self.reap)

    def while_working(self) -> AbstractContextManager[None]:
        """Nothing: a container begins with an interpreter of its own."""
        return contextlib.nullcontext()

    async def forget(self, image: str) -> None:
        """Nothing: no container waits for a step."""

    async def start(
        self, container: Container, context: TaskContext, folder: Path, log: BinaryIO, demand: Demand
    ) -> StepContainer:
        """Start a step's container.

        Raises:
            MulgilError: What the step needs is not there.
        """
        component = find_environment(container.image).component
        needs = needs_of(component, context)
        if SERVING in needs.stores:
            # Its processes are this machine's: the step could not start them from within.
            await asyncio.to_thread(ServingPlane().up)
        plan = self._plan(container, context, folder, demand, needs)
        await asyncio.to_thread(self._hand_over, plan)
        return await StepContainer.start(self._engine, plan, os.environ, log)

    async def close(self) -> None:
        """Remove what is left of the run's containers."""
        await asyncio.to_thread(self.reap)

    def reap(self) -> None:
        """Remove the containers of runs that are not running any more, and this run's from before."""
        left = self._engine.list_containers(f"{HOME_LABEL}={home()}", RUN_LABEL)
        self._engine.remove(
            container
            for container, run_id in left.items()
            if run_id == self._run_id or not self._is_running(run_id)
        )

    def _hand_over(self, plan: ContainerPlan) -> None:
        """Let the container's user read and write what it is given of Mulgil's home, and nothing else."""
        given = [path for path in plan.read if path.is_relative_to(home())]
        for path in (*given, *plan.written, *([plan.scratch] if plan.scratch else [])):
            hand_over(path, self._user)

    def _plan(
        self, container: Container, context: TaskContext, folder: Path, demand: Demand, needs: Needs
    ) -> ContainerPlan:
        words, variables = resolve_container(container, context)
        stores = [home() / store for store in sorted(needs.stores)]
        for store in stores:
            store.mkdir(parents=True, exist_ok=True)
        own = {"MULGIL_HOME": str(home()), CONTAINED_VARIABLE: "1"} if stores else {}
        if SERVING in needs.stores:
            own[IMAGE_VARIABLE] = server_image(container.image)
        name = _NOT_IN_A_NAME.sub("-", f"{self._run_id}-{context.task_path}")
        return ContainerPlan(
            name=f"mulgil-{name}-{secrets.token_hex(3)}",
            image=container.image,
            words=tuple(words),
            user=self._user,
            labels={
                HOME_LABEL: str(home()),
                RUN_LABEL: self._run_id,
                TASK_LABEL: context.task_path,
            },
            variables={**variables, **own},
            passed_on=tuple(name for name in needs.told if name not in {**variables, **own}),
            read=needs.read,
            written=(*(folder / name for name in ("artifacts", "parameters")), *stores),
            scratch=scratch_of(folder),
            empty=home() if stores else None,
            network="host" if needs.is_networked else "none",
            core_limit=demand.core_limit,
            memory_limit=demand.memory_limit,
        )

    def _check_code(self, image: str, component: str) -> None:
        facts = self._engine.inspect_image(image)
        if facts.labels.get(f"{CODE_LABEL}.{component}") != fingerprint_json(fingerprint_code(component)):
            raise InputError(
                describe(
                    f"The image {image} holds other code of {component} than this checkout",
                    expected="an image that was built from it",
                    received=f"image={facts.image_id[7:19]} "
                    f"revision={facts.labels.get('org.opencontainers.image.revision', 'unknown')[:12]}",
                    next_step=f"make images NAMES={component.replace('_', '-')}",
                )
            )


def fingerprint_image(engine: Engine, image: str) -> str:
    """Return what stands for all that an image holds."""
    return f"{IMAGE}{engine.inspect_image(image).image_id}"


def server_image(image: str) -> str:
    """Return the model server's image, of the same registry and tag as a step's."""
    before, _, name = image.rpartition("/")
    _, separator, tag = name.partition(":")
    return f"{before}/model-server{separator}{tag}"
