"""Reading a project folder, and saying exactly where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mulgil.contract.dictionary import DataDictionary
from mulgil.contract.project import Project
from mulgil.contract.yaml_source import Location, YamlDocument, read_yaml
from mulgil.errors import ContractError

PROJECT_FILE = "project.yaml"
DICTIONARY_FILE = "data_dictionary.yaml"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class ProjectFolder:
    """A project as it was read.

    Attributes:
        path: The folder.
        project: Its `project.yaml`.
        dictionary: Its `data_dictionary.yaml`.
    """

    path: Path
    project: Project
    dictionary: DataDictionary


def load_project(path: Path) -> ProjectFolder:
    """Read and check a project folder.

    Raises:
        ContractError: Naming file, line, what was expected and what was received, for every mistake.
    """
    project = parse(Project, read_yaml(path / PROJECT_FILE))
    dictionary = parse(DataDictionary, read_yaml(path / DICTIONARY_FILE))
    return ProjectFolder(path, project, dictionary)


def parse(model: type[Model], document: YamlDocument) -> Model:
    """Check a parsed file against its model.

    Raises:
        ContractError: Every mistake, each with file and line.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as exc:
        messages = [_message(document, error) for error in exc.errors(include_url=False)]
        raise ContractError("\n".join(messages)) from exc


def _message(document: YamlDocument, error: Any) -> str:
    location = _in_document(document, tuple(error["loc"]))
    where = _name(document.data, location)
    text = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = "this key is unknown; see the published schema for the keys there are"
    elif error["type"] == "missing":
        text = "this key is needed"
    elif error["type"] != "value_error":
        text = f"{text}; received {error['input']!r:.80}"
    return f"{document.path}:{document.line_of(location)}: {where}: {text}"


def _in_document(document: YamlDocument, location: Location) -> Location:
    """Drop what pydantic adds to a location and the file does not have, such as the tag of a union."""
    kept: Location = ()
    for part in location:
        if (*kept, part) in document.lines or part == location[-1]:
            kept = (*kept, part)
    return kept


def _name(data: Any, location: Location) -> str:
    """Write a location for a person: `columns[2] (age).range`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
        data = data[part] if _has(data, part) else None
        if isinstance(part, int) and isinstance(data, dict) and "name" in data:
            text += f" ({data['name']})"
    return text or "the file"


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data
