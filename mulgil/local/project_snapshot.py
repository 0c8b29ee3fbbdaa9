"""A project as one run reads it: a copy that no later edit can change, with the run's own settings in it.

Copies are kept by the hash of their content, so that equal projects have equal paths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from mulgil.artifacts import fingerprint_json, staged_directory, write_text
from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE, DataDictionary, Project, ProjectFolder
from mulgil.contract.load import check_columns, parse, require_project_folder
from mulgil.contract.yaml_source import YamlDocument, read_yaml
from mulgil.errors import ContractError, InputError, describe

# A file of SQLite, relative to the project.
_SQLITE = re.compile(r"^sqlite:///([^/].*)$")


def parse_setting(text: str) -> tuple[str, Any]:
    """Read `key=value`, where the key is dotted and the value is YAML.

    Raises:
        InputError: It is not of that form.
    """
    key, sign, value = text.partition("=")
    if not sign or not all(key.split(".")):
        raise InputError(
            describe(
                "A setting is not of the form key=value",
                expected="a dotted key of project.yaml, such as training.max_epochs=50",
                received=text,
            )
        )
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as exc:
        raise InputError(describe("A setting's value is not YAML", received=text)) from exc


def snapshot_project(path: Path, settings: Mapping[str, Any], root: Path) -> ProjectFolder:
    """Check a project and copy what defines it: its two files and its Python.

    Args:
        path: The user's project folder.
        settings: Values that replace those of `project.yaml`, by dotted key.
        root: The folder of all copies.

    Returns:
        The copy.

    Raises:
        ContractError: A file or a setting is wrong.
    """
    require_project_folder(path)
    document = read_yaml(path / PROJECT_FILE)
    changed = _with_settings(document, settings)
    try:
        project = parse(Project, changed)
    except ContractError as exc:
        if not settings:
            raise
        given = " ".join(f"--set {key}={value}" for key, value in settings.items())
        raise ContractError(f"{exc}\n(with {given})") from exc
    dictionary = parse(DataDictionary, read_yaml(path / DICTIONARY_FILE))
    check_columns(project, changed, dictionary, path / DICTIONARY_FILE)
    files = _files_of(path) | {PROJECT_FILE: yaml.safe_dump(_located(changed.data, path), sort_keys=False)}
    copy = root / project.name / fingerprint_json(files)[:12]
    if not copy.exists():
        with staged_directory(copy) as staged:
            for name, text in files.items():
                write_text(staged / name, text)
    return ProjectFolder(copy, project, dictionary)


def _files_of(path: Path) -> dict[str, str]:
    """Return the text of a project's dictionary and modules, by their path in the folder."""
    modules = sorted(module for module in path.rglob("*.py") if "__pycache__" not in module.parts)
    names = [path / DICTIONARY_FILE, *modules]
    return {file.relative_to(path).as_posix(): file.read_text(encoding="utf-8-sig") for file in names}


def _with_settings(document: YamlDocument, settings: Mapping[str, Any]) -> YamlDocument:
    data, lines = document.data, dict(document.lines)
    for key, value in settings.items():
        keys = key.split(".")
        data = _replaced(data, keys, value, key)
        # A mistake is named by its key, also where the file does not have that key.
        for length in range(1, len(keys) + 1):
            lines.setdefault(tuple(keys[:length]), document.line_of(tuple(keys[:length])))
    return replace(document, data=data, lines=lines)


def _replaced(data: Any, keys: list[str], value: Any, whole: str) -> Any:
    if not keys:
        return value
    if data is not None and not isinstance(data, dict):
        raise InputError(describe(f"The setting {whole} leads into something that is not a section"))
    head, *rest = keys
    return {**(data or {}), head: _replaced((data or {}).get(head), rest, value, whole)}


def _located(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Make a location that is relative to the user's folder absolute, as the copy lies elsewhere."""
    source = data["source"]
    location, url = source.get("location"), source.get("url")
    if url is not None and (base := _SQLITE.match(url)):
        return {**data, "source": {**source, "url": f"sqlite:///{(path / base[1]).resolve()}"}}
    if location is None or "://" in location or Path(location).is_absolute():
        return data
    return {**data, "source": {**source, "location": str((path / location).resolve())}}
