"""A project as an archive that the steps of a cluster can read: nothing in it is on this machine alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mulgil.artifacts import fingerprint_bytes
from mulgil.contract import PROJECT_FILE, ProjectFolder
from mulgil.errors import InputError, describe
from mulgil.project_location import MAX_BYTES, pack


@dataclass(frozen=True)
class ProjectArchive:
    """A packed project.

    Attributes:
        name: The project's.
        content: The archive.
    """

    name: str
    content: bytes

    def address(self, root: str) -> str:
        """Return where it lies under a root: equal projects have equal addresses."""
        return f"{root.rstrip('/')}/{self.name}/{fingerprint_bytes(self.content)[:12]}.zip"


def pack_project(snapshot: ProjectFolder, folder: Path) -> ProjectArchive:
    """Pack a project, with its source file where that lies in its folder.

    Args:
        snapshot: The project as it was read, settings replaced.
        folder: The user's own folder.

    Raises:
        InputError: The source is a file elsewhere on this machine, or too large to travel with the project.
    """
    files = {
        file.relative_to(snapshot.path).as_posix(): file.read_bytes()
        for file in sorted(snapshot.path.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    project = yaml.safe_load(files[PROJECT_FILE])
    source = _local_source(project, folder)
    if source is not None:
        name = source.relative_to(folder.resolve()).as_posix()
        files[name] = source.read_bytes()
        project["source"]["location"] = name
        files[PROJECT_FILE] = yaml.safe_dump(project, sort_keys=False).encode()
    size = sum(map(len, files.values()))
    if size > MAX_BYTES:
        raise InputError(
            describe(
                "The project is too large to travel with each run",
                expected=f"at most {MAX_BYTES // 2**20} MiB, data included",
                received=f"{size // 2**20} MiB",
                next_step="put the data where the cluster reads it, and give its URL as source.location",
            )
        )
    return ProjectArchive(snapshot.project.name, pack(files))


def _local_source(project: Mapping[str, Any], folder: Path) -> Path | None:
    location = project["source"].get("location")
    if location is None or "://" in location:
        return None
    path = Path(location).resolve()
    if path.is_file() and path.is_relative_to(folder.resolve()):
        return path
    raise InputError(
        describe(
            "The project's source is on this machine alone",
            expected="a URL, or a file in the project's folder",
            received=f"source.location={location}",
            next_step="give a URL, or copy the file into the project's folder",
        )
    )
