"""A real disk that is full, a small one of memory: what was there stays, and a run with room completes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from failing_sources import completes, fails, rows_of, write_project

from mulgil.home import SOURCE_ROOT


@pytest.fixture
def disk(tmp_path):
    """Mount one, too small for a run."""
    assert os.getuid() == 0, "only root mounts a disk: run this as root"
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_ingestion_leaves_the_earlier_rows_and_completes_with_room(tmp_path, disk, capsys):
    write_project(tmp_path)
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    small.write_text(rows_of(0))
    large.write_text(rows_of(0, 100_000))
    completes(tmp_path, small, disk)

    fails(tmp_path, large, capsys, 75, "There is no room left where Mulgil writes", "make room", out=disk)

    assert [entry.name for entry in disk.rglob(".*")] == []
    resize(disk, "64m")
    completes(tmp_path, large, disk)


def run(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mulgil.cli", "run", "projects/breast_cancer", "--no-deploy"],
        env={**os.environ, "MULGIL_HOME": str(home)},
        cwd=SOURCE_ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_run_says_so_wherever_it_meets_it_and_completes_with_room(disk):
    ends = []
    # From where the run itself cannot be written down to where its last steps cannot.
    for size in ("64k", "300k", "1m", "2m", "64m"):
        resize(disk, size)
        ended = run(disk / "home")
        assert "Traceback" not in ended.stderr + ended.stdout, f"{size}: {ended.stdout}{ended.stderr}"
        if ended.returncode:
            assert "There is no room left where Mulgil writes" in ended.stderr, size + ended.stderr
            assert "The report could not be written" not in ended.stderr, size
        ends.append(ended.returncode)

    assert ends[0] == 75
    assert ends[-1] == 0
