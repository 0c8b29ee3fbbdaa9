"""docs/bad_input.md: each row of its tables is done to a table or a project, and ends as the page says."""

import contextlib
import gzip
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest_data.__main__ import main as ingest_data
from mulgil import cli
from mulgil.artifacts import DatasetManifest, QuarantineSummary
from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE
from mulgil.home import SOURCE_ROOT

PAGE = SOURCE_ROOT / "docs" / "bad_input.md"

PROJECT = """\
name: clinic
problem:
  goal: Tell who is ill.
  success_measure: Fewer visits.
source:
  kind: csv
  location: rows.csv
task: binary_classification
gates:
  floors:
    roc_auc: 0.6
"""

DICTIONARY = """\
columns:
  - {name: patient, role: entity, type: text, description: Who came.}
  - {name: seen, role: event_timestamp, type: timestamp, description: When.}
  - {name: age, type: integer, unit: years, range: [18, 110], missing: median, description: Of the patient.}
  - {name: pain, type: category, categories: [1, 2, 3], description: Of the chest.}
  - {name: smoker, type: boolean, description: Whether the patient smokes.}
  - {name: ill, role: target, type: boolean, description: What was found.}
"""


class Clinic:
    """A project with its table, right until a mistake is made in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header = ["patient", "seen", "age", "pain", "smoker", "ill"]
        self.rows = [
            [f"p{i}", f"2024-01-{1 + i % 28:02}", str(20 + i), str(1 + i % 3), "no", "ny"[i % 2]]
            for i in range(60)
        ]
        # As many smokers among the ill as among the others.
        for row in self.rows[::4] + self.rows[1::4]:
            row[4] = "yes"
        self.project = PROJECT
        self.dictionary = DICTIONARY

    def write(self, content: bytes | None = None) -> None:
        """Write the project; the table is made of the rows where its content is not given."""
        lines = "".join(",".join(cells) + "\n" for cells in [self.header, *self.rows])
        (self.folder / "rows.csv").write_bytes(lines.encode() if content is None else content)
        (self.folder / PROJECT_FILE).write_text(self.project, encoding="utf-8")
        (self.folder / DICTIONARY_FILE).write_text(self.dictionary, encoding="utf-8")

    def text(self) -> str:
        """The table as it would be written."""
        return "".join(",".join(cells) + "\n" for cells in [self.header, *self.rows])


MISTAKES: dict[str, Callable[[Clinic], bytes | None]] = {}


def mistake(name: str) -> Callable[[Callable[[Clinic], bytes | None]], Callable[[Clinic], bytes | None]]:
    """Say which row of the page a function makes; it may return what the file holds instead of the rows."""

    def register(make: Callable[[Clinic], bytes | None]) -> Callable[[Clinic], bytes | None]:
        MISTAKES[name] = make
        return make

    return register


def cell(name: str, row: int, column: int, value: str) -> None:
    @mistake(name)
    def make(clinic: Clinic) -> None:
        clinic.rows[row][column] = value


def column(name: str, place: int, value: str) -> None:
    @mistake(name)
    def make(clinic: Clinic) -> None:
        for row in clinic.rows:
            row[place] = value


def project(name: str, old: str, new: str) -> None:
    @mistake(name)
    def make(clinic: Clinic) -> None:
        assert old in clinic.project
        clinic.project = clinic.project.replace(old, new)


def dictionary(name: str, old: str, new: str) -> None:
    @mistake(name)
    def make(clinic: Clinic) -> None:
        assert old in clinic.dictionary
        clinic.dictionary = clinic.dictionary.replace(old, new)


cell("a cell of another type", 3, 2, "old")
cell("a needed value is missing", 3, 3, "")
cell("an unknown category", 3, 3, "9")
cell("a value out of range", 3, 2, "300")
cell("a row without entity", 3, 0, "")
cell("a time in the future", 3, 1, "2999-01-01")
cell("a time that cannot be read", 3, 1, "31/12/2023")
cell("a row without target", 3, 5, "")
column("a column of another type", 2, "old")
column("the same target in every row", 5, "y")
column("no row with a target", 5, "")
project("an unknown key in the project", "task:", "tsak:")
project("a gate on a metric that the task lacks", "roc_auc: 0.6", "rmse: 3")
project("a task that is not there", "binary_classification", "clustering")
dictionary("an unknown key in the dictionary", "range:", "rnage:")
dictionary("two targets", "{name: smoker,", "{name: smoker, role: target,")


@mistake("there is no such file")
def _(clinic: Clinic) -> None:
    clinic.project = clinic.project.replace("rows.csv", "nowhere.csv")


@mistake("no dictionary")
def _(clinic: Clinic) -> None:
    clinic.dictionary = ""


@mistake("an empty file")
def _(clinic: Clinic) -> bytes:
    return b""


@mistake("a header and no rows")
def _(clinic: Clinic) -> None:
    clinic.rows = []


@mistake("another delimiter")
def _(clinic: Clinic) -> bytes:
    return clinic.text().replace(",", ";").encode()


@mistake("not UTF-8")
def _(clinic: Clinic) -> bytes:
    clinic.rows[3][0] = "Zoë"
    return clinic.text().encode("latin-1")


@mistake("a byte-order mark")
def _(clinic: Clinic) -> bytes:
    return clinic.text().encode("utf-8-sig")


@mistake("a quote that is never closed")
def _(clinic: Clinic) -> None:
    clinic.rows[3][0] = '"p3'


@mistake("a file compressed with gzip")
def _(clinic: Clinic) -> bytes:
    return gzip.compress(clinic.text().encode())


@mistake("a compressed file that is damaged")
def _(clinic: Clinic) -> bytes:
    content = gzip.compress(clinic.text().encode())
    return content[: len(content) // 2]


@mistake("a cell without end")
def _(clinic: Clinic) -> bytes:
    return clinic.text().encode() + b'"' + b"p,\n" * 50_000


@mistake("one line without end")
def _(clinic: Clinic) -> bytes:
    return clinic.text().encode() + b"1," * (1 << 23) + b"1"


@mistake("a NUL in a cell")
def _(clinic: Clinic) -> None:
    clinic.rows[3][0] = "p\0"


@mistake("two encodings in one file")
def _(clinic: Clinic) -> bytes:
    clinic.rows[2][0] = "Zoé"
    return clinic.text().encode().replace(b"p3,", "Zoë,".encode("latin-1"))


@mistake("a row with a cell too few")
def _(clinic: Clinic) -> None:
    del clinic.rows[3][2]


@mistake("a column is missing")
def _(clinic: Clinic) -> None:
    for cells in [clinic.header, *clinic.rows]:
        del cells[2]


@mistake("a column too many")
def _(clinic: Clinic) -> None:
    clinic.header.append("shoe_size")
    for cells in clinic.rows:
        cells.append("42")


@mistake("a renamed column")
def _(clinic: Clinic) -> None:
    clinic.header[2] = "years"


@mistake("a column name twice")
def _(clinic: Clinic) -> None:
    clinic.header.append("age")
    for cells in clinic.rows:
        cells.append("42")


@mistake("the same row twice")
def _(clinic: Clinic) -> None:
    clinic.rows += [clinic.rows[3], clinic.rows[5]]


@mistake("two rows of one entity at one time")
def _(clinic: Clinic) -> None:
    clinic.rows.append([*clinic.rows[3][:2], "77", *clinic.rows[3][3:]])


@mistake("too few rows for the split")
def _(clinic: Clinic) -> None:
    clinic.rows = clinic.rows[:4]


@mistake("a feature equal to the target")
def _(clinic: Clinic) -> None:
    for cells in clinic.rows:
        cells[4] = cells[5]


class Row:
    """A row of the page."""

    def __init__(self, cells: list[str]) -> None:
        self.name, self.place, code, said = cells
        self.code = int(code)
        self.said = re.findall(r"`([^`]+)`", said)

    def __repr__(self) -> str:
        return self.name


def read_rows() -> list[Row]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(row) for row in cells if len(row) == 4 and row[0] != "What is wrong"]


ROWS = read_rows()
BEFORE = [row for row in ROWS if row.place == "before the run"]
INGESTED = [row for row in ROWS if row.place == "`ingest-data`"]
SET_ASIDE = [row for row in ROWS if row.place.startswith("nowhere")]
LATER = [row for row in ROWS if row.place in ("`validate-data`", "`materialize-features`")]


def make(row: Row, folder: Path) -> Clinic:
    folder.mkdir(parents=True, exist_ok=True)
    clinic = Clinic(folder)
    clinic.write(MISTAKES[row.name](clinic))
    if not clinic.dictionary:
        (folder / DICTIONARY_FILE).unlink()
    return clinic


def ingest(clinic: Clinic) -> int:
    return ingest_data(
        [
            f"--project-path={clinic.folder}",
            f"--dataset-path={clinic.folder / 'dataset'}",
            f"--quarantine-path={clinic.folder / 'quarantine'}",
        ]
    )


def assert_it_says(row: Row, code: int, printed: str) -> None:
    assert code == row.code, printed
    assert row.said
    for words in row.said:
        assert words in printed
    assert "Traceback" not in printed


def assert_every_row_is_accounted_for(clinic: Clinic) -> DatasetManifest:
    manifest = DatasetManifest.read(clinic.folder / "dataset" / "manifest.json")
    assert manifest.rows_read == len(clinic.rows)
    assert manifest.rows_read == (
        sum(manifest.rows.values()) + manifest.rows_quarantined + manifest.rows_deduplicated
    )
    return manifest


def test_the_page_and_the_mistakes_made_here_are_the_same():
    assert sorted(row.name for row in ROWS) == sorted(MISTAKES)
    assert len(BEFORE) + len(INGESTED) + len(SET_ASIDE) + len(LATER) == len(ROWS)


def test_without_a_mistake_every_row_is_taken(tmp_path):
    clinic = Clinic(tmp_path)
    clinic.write()

    assert ingest(clinic) == 0
    assert sum(assert_every_row_is_accounted_for(clinic).rows.values()) == 60


@pytest.mark.parametrize("row", BEFORE, ids=repr)
def test_a_mistake_in_the_projects_files_is_told_before_anything_runs(row, tmp_path, monkeypatch, capsys):
    clinic = make(row, tmp_path / "project")
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.argv", ["mulgil", "run", str(clinic.folder)])

    with pytest.raises(SystemExit) as left:
        cli.main()

    assert_it_says(row, left.value.code, capsys.readouterr().err)
    assert not (tmp_path / "home" / "runs").exists()


@pytest.mark.parametrize("row", INGESTED, ids=repr)
def test_a_table_that_is_not_the_dictionarys_is_refused_by_ingestion(row, tmp_path, capsys):
    clinic = make(row, tmp_path)

    code = ingest(clinic)

    assert_it_says(row, code, capsys.readouterr().err)
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("row", SET_ASIDE, ids=repr)
def test_a_wrong_row_is_set_aside_as_it_came_with_the_reason_and_the_others_go_on(row, tmp_path, capsys):
    clinic = make(row, tmp_path)

    code = ingest(clinic)

    assert_it_says(row, code, capsys.readouterr().out)
    manifest = assert_every_row_is_accounted_for(clinic)
    quarantined = [
        json.loads(line) for line in (tmp_path / "quarantine" / "rows.jsonl").read_text().splitlines()
    ]
    assert len(quarantined) == manifest.rows_quarantined == row.place.endswith("set aside")
    for aside in quarantined:
        assert aside["row_number"] == 4
        assert list(aside["cells"].values()) == clinic.rows[3]
        (reason,) = QuarantineSummary.read(tmp_path / "quarantine" / "summary.json").reasons
        assert aside["reason"] == f"{reason.column}: expected {reason.expected}, received {reason.received}"


# In the validation environment, all at once: TFDV takes seconds to import.
VALIDATE = """
import contextlib, io, json, sys
from components.validate_data.__main__ import main
for folder in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        names = ("verdict", "statistics", "anomalies")
        code = main([f"--project-path={folder}", f"--dataset-path={folder}/dataset",
                     *(f"--{name}-path={folder}/{name}" for name in names)])
    print(json.dumps([code, said.getvalue()]))
"""


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """Ingest what ingestion takes and judge it; return each row's project, exit code and words."""
    clinics = {row.name: make(row, tmp_path_factory.mktemp("project")) for row in LATER}
    for clinic in clinics.values():
        with contextlib.redirect_stdout(io.StringIO()):
            assert ingest(clinic) == 0
    python = SOURCE_ROOT / "components" / "validate_data" / ".venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", VALIDATE, *(str(clinic.folder) for clinic in clinics.values())],
        cwd=SOURCE_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        name: (clinic, *outcome) for (name, clinic), outcome in zip(clinics.items(), outcomes, strict=True)
    }


@pytest.mark.parametrize("row", LATER, ids=repr)
def test_what_no_row_shows_alone_is_refused_by_the_step_that_sees_it(
    row, validated, tmp_path, monkeypatch, capsys
):
    clinic, code, printed = validated[row.name]
    assert_every_row_is_accounted_for(clinic)
    if row.place == "`materialize-features`":
        assert code == 0, printed
        from components.materialize_features.__main__ import main

        monkeypatch.setenv("MULGIL_HOME", str(tmp_path))
        code = main(
            [
                f"--project-path={clinic.folder}",
                f"--dataset-path={clinic.folder / 'dataset'}",
                f"--validation-verdict-path={clinic.folder / 'verdict'}",
                f"--training-rows-path={tmp_path / 'rows'}",
                f"--feature-service-path={tmp_path / 'service'}",
            ]
        )
        printed = capsys.readouterr().err

    assert_it_says(row, code, printed)
