"""The key of a step that is about to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mulgil.artifacts import fingerprint_file, fingerprint_files, fingerprint_json
from mulgil.local.cache.code import fingerprint_code
from mulgil.local.cache.project_inputs import read_project_inputs
from mulgil.local.cache.step_key import StepKey
from mulgil.local.environments import find_environment
from mulgil.local.step import Step

# Of an image, a hash of all that it brings along.
FingerprintEnvironment = Callable[[str], str]

_THIS_RUN = "(this run)"


def key_of(step: Step, run_id: str, fingerprint_environment: FingerprintEnvironment) -> StepKey | None:
    """Collect what a step's outputs depend on.

    Args:
        step: The step.
        run_id: The run. A step that is never cached may name it, and acts the same in another run.
        fingerprint_environment: Of the step's image, a hash of all that it brings along.

    Returns:
        The key; `None` where not all that decides the outputs can be known, as with a table behind a URL.

    Raises:
        ContractError: The project that it reads is wrong.
    """
    container, inputs = step.container, step.inputs
    variables = (f"{variable.name}={variable.value}" for variable in container.env)
    command = (container.image, *variables, *container.command, *container.args)
    environment = find_environment(container.image)
    is_cached = step.task.caching_options.enable_cache
    parameters = {
        name: _THIS_RUN if value == run_id and not is_cached else value
        for name, value in inputs.parameters.items()
    }
    project, files = {}, {}
    project_path = parameters.pop("project_path", None)
    if project_path is not None:
        read = read_project_inputs(environment.component, Path(project_path), parameters.pop("source", ""))
        if not read.is_known:
            return None
        project, files = read.values, read.files
    return StepKey(
        component=environment.component,
        command=command,
        code=fingerprint_code(environment.component),
        environment=fingerprint_environment(container.image),
        parameters=parameters,
        project=project,
        files=files,
        artifacts={name: _fingerprint(place) for name, place in sorted(inputs.artifacts.items())},
    )


def _fingerprint(place: Path) -> str:
    return fingerprint_json(fingerprint_files(place)) if place.is_dir() else fingerprint_file(place)
