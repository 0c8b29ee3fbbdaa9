"""What an interpreter that has done a component's imports was made of.

It imports the standard library alone, and of ours where things are: the keeper of warm interpreters has it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mulgil.home import SOURCE_ROOT

_SOURCES = ("components", "feature_repo", "mulgil")
_NOT_SOURCES = {".venv", "__pycache__"}
# They tell of the shell that was typed into, not of what is to be run.
_OF_THE_SHELL = {"_", "OLDPWD", "PWD", "SHLVL"}


def fingerprint_recipe(
    prefix: Path, lock: Path, variables: Mapping[str, str], root: Path = SOURCE_ROOT
) -> str:
    """Return a hash of everything that an import may have read.

    Args:
        prefix: The environment's folder.
        lock: The file that pins what is in it.
        variables: The process environment.
        root: The folder of the sources.
    """
    told = hashlib.sha256()
    for file in (lock, *_sources(root)):
        # The time too: a file that was changed and changed back may have been read in between.
        told.update(f"{file}\0{file.stat().st_mtime_ns}\0".encode())
        told.update(hashlib.sha256(file.read_bytes()).digest())
    # A package that is installed past the lock changes the folder.
    for packages in sorted(prefix.glob("lib/python*/site-packages")):
        told.update(f"{packages}\0{packages.stat().st_mtime_ns}\0".encode())
    kept = {name: value for name, value in variables.items() if name not in _OF_THE_SHELL}
    told.update(json.dumps(kept, sort_keys=True).encode())
    return told.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for package in _SOURCES:
        for folder, folders, names in os.walk(root / package):
            folders[:] = sorted(set(folders) - _NOT_SOURCES)
            yield from (Path(folder, name) for name in sorted(names))
