"""Reading a project folder, and saying exactly where it is wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mulgil.contract.answers import AnswerForm
from mulgil.contract.behavior import explain_behaviors
from mulgil.contract.dictionary import DataDictionary
from mulgil.contract.learning import explain_class_weights, explain_network, explain_targets
from mulgil.contract.project import Project
from mulgil.contract.selection import explain_selection
from mulgil.contract.yaml_source import Location, YamlDocument, read_yaml
from mulgil.errors import ContractError, describe

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


def load_project(path: Path, sections: Collection[str] | None = None) -> ProjectFolder:
    """Read and check a project folder.

    Args:
        path: The folder.
        sections: The only keys of `project.yaml` that its reader will use; the others are left out of what is
            returned, so that a step cannot depend on what it does not declare. `None` leaves nothing out.

    Raises:
        ContractError: Naming file, line, what was expected and what was received, for every mistake.
    """
    require_project_folder(path)
    project, dictionary = (
        _attempt(model, path / name)
        for model, name in ((Project, PROJECT_FILE), (DataDictionary, DICTIONARY_FILE))
    )
    if isinstance(project, Project) and isinstance(dictionary, DataDictionary):
        check_columns(project, read_yaml(path / PROJECT_FILE), dictionary, path / DICTIONARY_FILE)
        return ProjectFolder(path, project.restricted_to(sections), dictionary)
    raise ContractError(
        "\n".join(str(part) for part in (project, dictionary) if isinstance(part, ContractError))
    )


def check_columns(
    project: Project, document: YamlDocument, dictionary: DataDictionary, dictionary_path: Path
) -> None:
    """Hold a project's task, network and behavior tests against its dictionary's columns.

    Args:
        project: The project.
        document: The file that it was read from.
        dictionary: The dictionary.
        dictionary_path: Its file.

    Raises:
        ContractError: The task takes other targets, the network other features, aggregates another split, or
            a test's column is not there or is changed in another way.
    """
    mistake = explain_targets(project.task, dictionary)
    if mistake is not None:
        line = document.line_of(("task",))
        raise ContractError(
            f"{document.path}:{line}: task: {mistake}; "
            f"the columns with `role: target` stand in {dictionary_path}"
        )
    mistake = (
        explain_network(project.training, dictionary)
        or explain_class_weights(project.training, project.task, dictionary)
        or explain_selection(project.training.selection, dictionary)
    )
    if mistake is not None:
        line = document.line_of(("training",))
        raise ContractError(
            f"{document.path}:{line}: training: {mistake}; the columns stand in {dictionary_path}"
        )
    mistake = explain_aggregates(project.split.kind, dictionary)
    if mistake is not None:
        line = document.line_of(("split",))
        raise ContractError(f"{document.path}:{line}: split.kind: {mistake}")
    answers = AnswerForm.of(project.task, dictionary).names
    mistakes = [
        f"{document.path}:{document.line_of(('gates', 'behaviors', place))}: gates.behaviors[{place}].{text}"
        for place, text in explain_behaviors(project.gates.behaviors, dictionary, answers)
    ]
    if mistakes:
        raise ContractError("\n".join(mistakes))


def explain_aggregates(kind: str, dictionary: DataDictionary) -> str | None:
    """Say why rows that are divided so cannot look at their entity's past; `None` where they can."""
    if not dictionary.aggregates or kind not in ("random", "stratified"):
        return None
    names = ", ".join(column.name for column in dictionary.aggregates)
    return (
        f"training rows would have numbers of test rows in the aggregates {names}; expected group or time, "
        f"or predefined; received kind={kind}"
    )


def require_project_folder(path: Path) -> None:
    """Raise where there is no folder to look for a project's files in.

    Raises:
        ContractError: There is none; with the place that was looked at.
    """
    if not path.is_dir():
        raise ContractError(
            describe(
                f"There is no project folder {path}",
                expected=f"a folder with {PROJECT_FILE} and {DICTIONARY_FILE}",
                received=f"PROJECT={path.resolve()}",
                next_step="give the folder's path; those that Mulgil ships are in projects/ of its checkout",
            )
        )


def parse(model: type[Model], document: YamlDocument) -> Model:
    """Check a parsed file against its model.

    Raises:
        ContractError: Every mistake, each with file and line.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as exc:
        raise ContractError("\n".join(_messages(model, document, exc))) from exc


def _attempt(model: type[Model], path: Path) -> Model | ContractError:
    try:
        return parse(model, read_yaml(path))
    except ContractError as exc:
        return exc


def _messages(model: type[BaseModel], document: YamlDocument, exc: ValidationError) -> list[str]:
    """Write one line a place in the file; a value that fits no member of a union has one error for each."""
    texts: dict[Location, dict[str, None]] = {}
    received: dict[Location, str] = {}
    for error in exc.errors(include_url=False):
        # pydantic counts only the items that are right; those that are wrong have errors of their own.
        if error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]:
            continue
        place = _in_document(document, error)
        texts.setdefault(place, {})[_text(model, error)] = None
        if error["type"] not in _TELLS_WHAT_IT_RECEIVED:
            received[place] = f"; received {_shorten(error['input'])}"
    return [
        f"{document.path}:{document.line_of(place)}: {_name(document.data, place)}: "
        + ", or ".join(texts[place])
        + received.get(place, "")
        for place in sorted(texts, key=document.line_of)
    ]


_TELLS_WHAT_IT_RECEIVED = {
    "value_error",
    "extra_forbidden",
    "missing",
    "union_tag_not_found",
    "union_tag_invalid",
}


def _text(model: type[BaseModel], error: ErrorDetails) -> str:
    match error["type"]:
        case "extra_forbidden":
            keys = ", ".join(_known_keys(model, error["loc"][:-1]))
            return f"this key is unknown; expected one of {keys}; received {error['loc'][-1]!r}"
        case "missing":
            return "this key is needed; received nothing"
        case "union_tag_not_found":
            return f"the key {error['ctx']['discriminator']} is needed; received nothing"
        case "union_tag_invalid":
            return f"expected one of {error['ctx']['expected_tags']}; received {error['ctx']['tag']!r}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "expected a mapping of keys to values"
        case "string_type":
            return "expected text; where it looks like a number, put it in quotes"
        case "tuple_type":
            return "expected a list"
        case "too_short":
            return f"expected at least {error['ctx']['min_length']}"
        case "string_pattern_mismatch":
            return f"expected another form ({_description(model, error['loc'])})"
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    return [name for m in _models_at(model, location) for name in m.model_fields]


def _description(model: type[BaseModel], location: Location) -> str:
    """What the contract says of the key at `location`."""
    fields = (m.model_fields.get(str(location[-1])) for m in _models_at(model, location[:-1]))
    return next((field.description for field in fields if field and field.description), "").rstrip(".")


def _models_at(model: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    """The models of the object at `location`, which may have the tags of unions in it."""
    models = [model]
    for part in location:
        if isinstance(part, int):
            continue
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields:
            models = [m for field in fields for m in _models_in(field.annotation)]
        else:
            models = [m for m in models if part in get_args(m.model_fields["kind"].annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _in_document(document: YamlDocument, error: ErrorDetails) -> Location:
    """Drop what pydantic adds to a location and the file does not have, such as the tag of a union."""
    location = error["loc"]
    kept: Location = ()
    for part in location:
        if (*kept, part) in document.lines:
            kept = (*kept, part)
    if error["type"] == "missing":
        return (*kept, location[-1])
    if error["type"] == "union_tag_invalid":
        return (*kept, error["ctx"]["discriminator"].strip("'"))
    return kept


def _shorten(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


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
