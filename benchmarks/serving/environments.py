"""An environment a peer, made when the benchmark first asks for it: they do not resolve with ours."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mulgil.home import SOURCE_ROOT

# Ignored by git; `make clean` removes it.
_ROOT = SOURCE_ROOT / ".tools" / "benchmarks"
_REQUIREMENTS = Path(__file__).with_name("requirements")


def find_python(peer: str | None) -> str:
    """Return the interpreter that a peer runs in, with what it needs; ours where it needs nothing else.

    Raises:
        RuntimeError: Its environment cannot be made.
    """
    if peer is None:
        return sys.executable
    requirements = _REQUIREMENTS / f"{peer}.txt"
    content = requirements.read_bytes() + (_REQUIREMENTS / "shared.txt").read_bytes()
    root = _ROOT / peer
    mark, python = root / ".installed", root / "bin" / "python"
    wanted = hashlib.sha256(content).hexdigest()
    if mark.exists() and mark.read_text(encoding="ascii") == wanted:
        return str(python)
    uv = shutil.which("uv") or str(SOURCE_ROOT / ".tools" / "uv" / "bin" / "uv")
    print(f"installing {peer} into {root}", flush=True)
    shutil.rmtree(root, ignore_errors=True)
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(root)])
    files = [argument for path in ("shared", peer) for argument in ("-r", str(_REQUIREMENTS / f"{path}.txt"))]
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    _run([*install, *files])
    mark.write_text(wanted, encoding="ascii")
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "UV_NO_PROGRESS": "1"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
