"""What the long tests share."""

import os
import subprocess
import sys

import pytest

from mulgil.home import SOURCE_ROOT


@pytest.fixture
def mulgil(tmp_path):
    """Run the command line on a home of its own, which serves nothing in the end."""

    def run(*words: str, code: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "mulgil.cli", *words],
            env={**os.environ, "MULGIL_HOME": str(tmp_path / "home"), "COLUMNS": "200"},
            cwd=SOURCE_ROOT,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    yield run
    run("down")
