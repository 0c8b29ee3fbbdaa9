"""What a step's outputs depend on, and how two such sets differ."""

from __future__ import annotations

import json
from typing import Any

from mulgil.artifacts import Record, fingerprint_json

# Before the hash of an image, where others have a lock's.
IMAGE = "image "
# Longer values are shown by their beginning.
_SHOWN = 60


class StepKey(Record):
    """Everything that decides a step's outputs; equal keys give equal outputs.

    Attributes:
        component: The component.
        command: Image and command line, its placeholders as they are.
        code: SHA-256 by the path of each module of ours that it runs.
        environment: SHA-256 of its environment's lock; in a container the image.
        parameters: Values by name; a project's folder stands under `project` instead.
        project: What it reads of the project: sections of `project.yaml`, the columns, modules by hash.
        files: SHA-256 by the path of each file outside the project that it reads.
        artifacts: SHA-256 of each input artifact's content, by name.
    """

    component: str
    command: tuple[str, ...]
    code: dict[str, str]
    environment: str
    parameters: dict[str, Any]
    project: dict[str, Any]
    files: dict[str, str]
    artifacts: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the whole."""
        return fingerprint_json(self.model_dump(mode="json"))


def explain_difference(before: StepKey, after: StepKey) -> list[str]:
    """Say what changed, from what to what, one line each; empty where nothing did."""
    old, new = (_flatten(key.model_dump(mode="json"), ()) for key in (before, after))
    lines = []
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            lines.append(_describe(path, old.get(path), new.get(path)))
    return lines


def _flatten(value: Any, path: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
    if isinstance(value, dict) and value:
        return {key: leaf for name in value for key, leaf in _flatten(value[name], (*path, name)).items()}
    return {path: value}


def _describe(path: tuple[str, ...], old: Any, new: Any) -> str:
    match path:
        case ("code", file):
            return f"code: {file} {_verb(old, new)}"
        case ("artifacts", name):
            return f"input: {name} {_verb(old, new)}"
        case ("files", file):
            return f"source: {file} {_verb(old, new)}"
        case ("environment",):
            return f"environment: {_describe_environment(old, new)}"
        case ("project", *rest):
            return f"project: {'.'.join(rest)}: {_show(old)} → {_show(new)}"
        case ("parameters", name):
            return f"parameter: {name}: {_show(old)} → {_show(new)}"
    return f"{'.'.join(path)}: {_show(old)} → {_show(new)}"


def _describe_environment(old: str | None, new: str | None) -> str:
    was_image, is_image = (str(value).startswith(IMAGE) for value in (old, new))
    if was_image is not is_image:
        return "a container's now" if is_image else "this machine's own now, and no container's"
    return "its image changed" if is_image else "its lock changed"


def _verb(old: Any, new: Any) -> str:
    if old is None:
        return "is new"
    return "is gone" if new is None else "changed"


def _show(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
