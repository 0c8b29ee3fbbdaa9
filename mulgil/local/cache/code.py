"""The code that a component runs: its own modules and all of ours that they import, directly or not."""

from __future__ import annotations

import functools
from pathlib import Path

import grimp

from mulgil.artifacts import fingerprint_file
from mulgil.home import SOURCE_ROOT

_PACKAGES = ("mulgil", "components", "feature_repo")


def fingerprint_code(component: str) -> dict[str, str]:
    """Return the SHA-256 of every module of ours that a component imports, by its path in the checkout.

    Imports within functions count too. What a third-party library does is in the environment's lock.
    """
    graph = _import_graph()
    entry = f"components.{component}.__main__"
    modules = {entry} | graph.find_upstream_modules(entry)
    files = {_file_of(module) for module in modules}
    return {file.relative_to(SOURCE_ROOT).as_posix(): fingerprint_file(file) for file in sorted(files)}


@functools.cache
def _import_graph() -> grimp.ImportGraph:
    first, *rest = _PACKAGES
    return grimp.build_graph(first, *rest, cache_dir=None)


def _file_of(module: str) -> Path:
    path = SOURCE_ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
