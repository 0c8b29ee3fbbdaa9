"""What a step that ended well left in its folder."""

from __future__ import annotations

from mulgil.errors import PermanentError, describe
from mulgil.local.parameters import read_parameter
from mulgil.local.results import Values
from mulgil.local.step import Step
from mulgil.local.task_folder import TaskFolder


def read_outputs(step: Step, folder: TaskFolder) -> Values:
    """Read a step's outputs.

    Raises:
        PermanentError: One is missing.
        InputError: A parameter is of another type than its definition says.
    """
    artifacts = {name: folder.place_artifact(name) for name in step.outputs.artifacts}
    files = {name: folder.place_parameter(name) for name in step.outputs.parameters}
    missing = sorted(name for name, place in (artifacts | files).items() if not place.exists())
    if missing:
        raise PermanentError(
            describe(f"The task {step.path} ended well without an output", expected=", ".join(missing))
        )
    parameters = {
        name: read_parameter(name, file.read_text(encoding="utf-8"), definition.parameter_type)
        for (name, file), definition in zip(files.items(), step.outputs.parameters.values(), strict=True)
    }
    return Values(parameters, artifacts)
