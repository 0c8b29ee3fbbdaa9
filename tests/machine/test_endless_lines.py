"""A gigabyte in one line: it is refused, and does not fill the memory."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from failing_sources import flags, rows_of, write_project

from mulgil.home import SOURCE_ROOT

GIGABYTE = 1 << 30
_PART = b"x" * (1 << 24)

# What the libraries take before a byte is read is some 0.15 GB. Chosen by eye, far below the line.
_PEAK_GB = 0.4

# A small process of its own between: a child's peak counts what its parent held when it was made.
_MEASURED = (
    "import resource, subprocess, sys\n"
    "code = subprocess.call(sys.argv[1:])\n"
    "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    "sys.exit(code)\n"
)


@pytest.fixture(autouse=True)
def _room(tmp_path):
    yield
    # pytest keeps what tests write.
    for path in tmp_path.glob("rows.*"):
        path.unlink()


def write_line(path: Path, before: str, *, opened: Callable = open, part: bytes = _PART) -> None:
    with opened(path, "wb") as file:
        file.write(before.encode())
        for _ in range(GIGABYTE // len(part)):
            file.write(part)


def in_rows(folder: Path) -> str:
    write_line(folder / "rows.csv", rows_of(0))
    return "rows.csv"


def in_an_open_quote(folder: Path) -> str:
    # Its lines end, the cell does not.
    write_line(folder / "rows.csv", rows_of(0) + '"', part=_PART[: 1 << 20] + b"\n")
    return "rows.csv"


def of_nothing(folder: Path) -> str:
    write_line(folder / "rows.csv", rows_of(0), part=bytes(len(_PART)))
    return "rows.csv"


def compressed(folder: Path) -> str:
    # Some megabytes on the disk.
    write_line(folder / "rows.csv.gz", rows_of(0), opened=partial(gzip.open, compresslevel=1))
    return "rows.csv.gz"


def of_json(folder: Path) -> str:
    write_line(folder / "rows.jsonl", '{"who": "')
    return "rows.jsonl"


def measured(*words: object) -> tuple[int, str, float]:
    """Run a module; return its exit code, what it said, and its greatest memory in GB."""
    command = [sys.executable, "-c", _MEASURED, sys.executable, "-m", *map(str, words)]
    ended = subprocess.run(command, cwd=SOURCE_ROOT, capture_output=True, text=True, timeout=240)
    _, _, kilobytes = ended.stdout.rpartition("peak ")
    return ended.returncode, ended.stderr, int(kilobytes) * 1024 / 1e9


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (in_rows, "Line 42 of"),
        (in_an_open_quote, "is too long"),
        (of_nothing, "Line 42 of"),
        (compressed, "Line 42 of"),
        (of_json, "Line 1 of"),
    ],
)
def test_ingestion_refuses_a_gigabyte_in_one_line(tmp_path, write, words):
    write_project(tmp_path)
    source = tmp_path / write(tmp_path)

    code, said, peak_gb = measured("components.ingest_data", *flags(tmp_path, source))

    assert code == 2, said
    assert words in said and "Traceback" not in said
    assert peak_gb < _PEAK_GB
    assert not (tmp_path / "out" / "dataset").exists()


@pytest.mark.parametrize("write", [in_rows, compressed])
def test_a_draft_refuses_it_too(tmp_path, write):
    source = tmp_path / write(tmp_path)

    code, said, peak_gb = measured(
        "mulgil.cli", "init", tmp_path / "drafted", "--from", source, "--target", "ill"
    )

    assert code == 2, said
    assert "has no end" in said and "Traceback" not in said
    assert peak_gb < _PEAK_GB
    assert not (tmp_path / "drafted").exists()
