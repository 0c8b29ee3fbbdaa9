"""Which locked environment stands for which image on this machine.

Every image of ours is named after its component. A component that has a `pyproject.toml` of its own has an
environment of its own beside it; the others share the main one.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mulgil.artifacts import fingerprint_file
from mulgil.errors import PermanentError, UnsupportedPipelineError, describe
from mulgil.home import SOURCE_ROOT, home

_IMAGE = re.compile(r"^(?:.*/)?mulgil/(?P<name>[a-z0-9-]+)(?:[:@].*)?$")


@dataclass(frozen=True)
class Environment:
    """A Python environment on this machine.

    Attributes:
        component: The component whose image it stands for.
        prefix: Its folder.
        lock: The file that pins what is in it.
        variables: The process environment in which `python` is this environment's.
    """

    component: str
    prefix: Path
    lock: Path
    variables: dict[str, str] = field(compare=False, repr=False)


def find_environment(image: str) -> Environment:
    """Return the environment that stands for an image.

    Raises:
        UnsupportedPipelineError: The image is not one of ours.
        PermanentError: Its environment has not been installed.
    """
    match = _IMAGE.match(image)
    folder = SOURCE_ROOT / "components" / match["name"].replace("-", "_") if match else None
    if folder is None or not folder.is_dir():
        raise UnsupportedPipelineError(
            describe(
                "No environment on this machine stands for the image",
                expected="an image of a component here, such as mulgil/ingest-data",
                received=f"image={image}",
            )
        )
    if not (folder / "pyproject.toml").is_file():
        prefix = Path(sys.prefix)
        return Environment(folder.name, prefix, SOURCE_ROOT / "uv.lock", _variables(prefix))
    prefix = folder / ".venv"
    if not (prefix / "bin" / "python").exists():
        raise PermanentError(
            describe(
                f"The environment of {folder.name} is not installed",
                expected=f"a Python in {prefix}",
                next_step="run `make setup` in the checkout",
            )
        )
    return Environment(folder.name, prefix, folder / "uv.lock", _variables(prefix))


def fingerprint_lock(image: str) -> str:
    """Return what stands for all that an image's environment here holds of others: its lock's SHA-256.

    Raises:
        MulgilError: No environment stands for the image.
    """
    return fingerprint_file(find_environment(image).lock)


def _variables(prefix: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(prefix),
        "PYTHONPATH": str(SOURCE_ROOT),
        "PYTHONUNBUFFERED": "1",
        "MULGIL_HOME": str(home()),
    }
