"""A disk that is full is told in words, whichever library meets it."""

import argparse
import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mulgil.full_disk import as_full_disk
from mulgil.home import SOURCE_ROOT
from mulgil.program import run_program

MULGIL = Path(sys.prefix) / "bin" / "mulgil"


def fill_sqlite():
    with sqlite3.connect(":memory:") as database:
        try:
            database.execute("PRAGMA max_page_count = 1")
            database.execute("CREATE TABLE rows (one)")
        finally:
            database.close()


def fill_beneath():
    try:
        raise OSError(errno.ENOSPC, "No space left on device", "rows.parquet")
    except OSError as exc:
        raise RuntimeError("could not write") from exc


@pytest.mark.parametrize("fill", [fill_sqlite, fill_beneath])
def test_a_program_that_meets_a_full_disk_says_so_and_a_retry_is_sensible(fill, capsys):
    code = run_program(argparse.ArgumentParser(), lambda: fill, [])

    assert code == 75
    assert "There is no room left where Mulgil writes" in capsys.readouterr().err


def test_another_defect_keeps_its_traceback():
    assert as_full_disk(OSError(errno.EIO, "Input/output error")) is None
    with pytest.raises(ZeroDivisionError):
        run_program(argparse.ArgumentParser(), lambda: lambda: 1 / 0, [])


def test_the_command_line_says_so_too(tmp_path):
    """With a limit on the size of files, which no privilege is needed for."""
    ended = subprocess.run(
        ["bash", "-c", f"ulimit -f 16; MULGIL_HOME={tmp_path}/home exec {MULGIL} run projects/breast_cancer"],
        cwd=SOURCE_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 75, ended.stderr
    assert "There is no room left where Mulgil writes" in ended.stderr
    assert "Traceback" not in ended.stderr
