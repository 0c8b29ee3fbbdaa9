"""What a step reads of a project, so that a change elsewhere in it leaves the step's outputs in use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.artifacts import fingerprint_file
from mulgil.contract import ProjectFolder, load_project
from mulgil.contract.sources import FilesSource, ImageFolderSource, PythonSource, files_at, images_at


@dataclass(frozen=True)
class ProjectInputs:
    """A step's share of a project.

    Attributes:
        values: The sections it reads, the columns by name, and the hashes of the project's modules where it
            runs them.
        files: SHA-256 by path of what lies outside the folder.
        is_known: Whether that is all; a table behind a URL may change without notice.
    """

    values: dict[str, Any]
    files: dict[str, str]
    is_known: bool


def sections_of(component: str) -> frozenset[str]:
    """Return the sections of `project.yaml` that a component declares to read, and can read no other."""
    sections: frozenset[str] = importlib.import_module(f"components.{component}").PROJECT_SECTIONS
    return sections


def read_project_inputs(component: str, project_path: Path, source: str) -> ProjectInputs:
    """Collect what a component reads of a project.

    Args:
        component: The component.
        project_path: The project's folder.
        source: Path or URL that replaces the project's source; empty keeps it.
    """
    folder = load_project(project_path)
    sections = sections_of(component)
    values: dict[str, Any] = {
        section: folder.project.model_dump(mode="json")[section] for section in sorted(sections)
    }
    columns = folder.dictionary.columns
    values["columns"] = {column.name: column.model_dump(mode="json") for column in columns}
    # A mapping's hash does not know its order; the model's inputs stand in that of the columns and the codes.
    values["order"] = [[column.name, *(column.categories or ())] for column in columns]
    if "training" in sections and folder.project.training.builder is not None:
        values["modules"] = _hash_modules(folder.path)
    if "source" not in sections:
        return ProjectInputs(values, {}, is_known=True)
    return _with_source(values, folder, source)


def _with_source(values: dict[str, Any], folder: ProjectFolder, replacement: str) -> ProjectInputs:
    source = folder.project.source
    if isinstance(source, PythonSource) and not replacement:
        return ProjectInputs({**values, "modules": _hash_modules(folder.path)}, {}, is_known=True)
    location = replacement or (source.location if isinstance(source, FilesSource) else "")
    path = (folder.path / location).absolute()
    files_in = images_at if isinstance(source, ImageFolderSource) else files_at
    window = source.spans if isinstance(source, FilesSource) else None
    files = [] if not location or "://" in location else files_in(path, window)
    # What is behind a URL may change without notice.
    if not files:
        return ProjectInputs(values, {}, is_known=False)
    return ProjectInputs(values, {str(path): fingerprint_file(path) for path in files}, is_known=True)


def _hash_modules(folder: Path) -> dict[str, str]:
    return {
        module.relative_to(folder).as_posix(): fingerprint_file(module)
        for module in sorted(folder.rglob("*.py"))
    }
