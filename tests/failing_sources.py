"""A project whose source fails while it is read, and what then must hold."""

import shutil
from pathlib import Path

import pytest

from components.ingest_data.__main__ import main
from mulgil.artifacts import fingerprint_files

PROJECT = """\
name: failing
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: csv, location: rows.csv}
"""
DICTIONARY = """\
columns:
  - {name: who, role: entity, type: text, description: d}
  - {name: seen, role: event_timestamp, type: timestamp, description: d}
  - {name: size, type: float, description: d}
  - {name: ill, role: target, type: boolean, description: d}
"""


def write_project(folder: Path, source: str = "{kind: csv, location: rows.csv}") -> None:
    project = PROJECT.replace("{kind: csv, location: rows.csv}", source)
    (folder / "project.yaml").write_text(project, encoding="utf-8")
    (folder / "data_dictionary.yaml").write_text(DICTIONARY, encoding="utf-8")


def rows_of(number: int, count: int = 40) -> str:
    rows = "".join(f"p{number}-{i},2024-01-01,{i}.5,{'ny'[i % 2]}\n" for i in range(count))
    return f"who,seen,size,ill\n{rows}"


def flags(project: Path, source: object, out: Path | None = None) -> list[str]:
    """Return the component's flags; it writes into `out` of the project's folder, or elsewhere."""
    out = out or project / "out"
    return [
        f"--project-path={project}",
        f"--source={source}",
        f"--dataset-path={out / 'dataset'}",
        f"--quarantine-path={out / 'quarantine'}",
    ]


def fails(
    project: Path,
    source: object,
    capsys: pytest.CaptureFixture[str],
    code: int,
    *words: str,
    out: Path | None = None,
) -> str:
    """Ingest what fails, after it was whole; hold that it changes nothing, and return what is said."""
    out = out or project / "out"
    before = fingerprint_files(out)
    assert before

    assert main(flags(project, source, out)) == code

    said = capsys.readouterr().err
    for some in words:
        assert some in said
    assert "Traceback" not in said
    assert fingerprint_files(out) == before
    return said


def completes(project: Path, source: object, out: Path | None = None) -> None:
    out = out or project / "out"
    for folder in ("dataset", "quarantine"):
        shutil.rmtree(out / folder, ignore_errors=True)
    assert main(flags(project, source, out)) == 0
