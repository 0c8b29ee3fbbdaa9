"""`ingest_data` from files, folders, functions and servers to a dataset, as the program that a step runs."""

import contextlib
import json
import random
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.ingest_data.__main__ import main
from components.ingest_data.core import ingest_data
from components.ingest_data.locations import fetch_location
from mulgil.artifacts import SPLITS, DatasetManifest, QuarantineSummary
from mulgil.contract import load_project
from mulgil.errors import InputError, TemporaryError

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
HEART = PROJECTS / "heart_disease"
HEADER = [
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "slope",
    "ca",
    "thal",
    "num",
]


def heart_rows(count: int = 60) -> list[list[str]]:
    """Rows in the form of UCI's file; no two are alike."""
    draw = random.Random(0)
    return [
        [
            f"{30 + i % 40}.0",
            draw.choice(["0.0", "1.0"]),
            draw.choice(["1.0", "2.0", "3.0", "4.0"]),
            "130.0",
            f"{150 + i}.0",
            draw.choice(["0.0", "1.0"]),
            "0.0",
            "150.0",
            "0.0",
            f"{i / 100:.2f}",
            "2.0",
            "?" if i % 20 == 3 else "0.0",
            "?" if i % 30 == 7 else "7.0",
            str(i % 5 if i % 2 else 0),
        ]
        for i in range(count)
    ]


def as_csv(rows: list[list[str]], delimiter: str = ",") -> str:
    return "".join(delimiter.join(row) + "\n" for row in rows)


class Trial:
    """Folders for one run of the component, and ways to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset = folder / "out" / "dataset"
        self.quarantine = folder / "out" / "quarantine"

    def write(self, content: str | bytes, name: str = "rows.data") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def ingest(self, source: object = "", project: Path = HEART) -> DatasetManifest:
        return ingest_data(
            project_path=project,
            source=str(source),
            dataset_path=self.dataset,
            quarantine_path=self.quarantine,
        )

    def flags(self, source: object = "", project: Path = HEART) -> list[str]:
        return [
            f"--project-path={project}",
            f"--source={source}",
            f"--dataset-path={self.dataset}",
            f"--quarantine-path={self.quarantine}",
        ]

    def table(self) -> pd.DataFrame:
        """Every row of the dataset in the order of the source."""
        parts = [pq.read_table(self.dataset / f"{split}.parquet").to_pylist() for split in SPLITS]
        return sorted((row for part in parts for row in part), key=lambda row: row["patient_id"])

    def set_aside(self) -> list[dict]:
        lines = (self.quarantine / "rows.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def summary(self) -> QuarantineSummary:
        return QuarantineSummary.read(self.quarantine / "summary.json")


@pytest.fixture
def trial(tmp_path) -> Trial:
    return Trial(tmp_path)


def edited_project(trial: Trial, *changes: tuple[str, str], project: Path = HEART) -> Path:
    """A copy of a shipped project with some text replaced."""
    copy = trial.folder / "project"
    copy.mkdir()
    for path in project.iterdir():
        if path.is_file():
            text = path.read_text()
            for old, new in changes:
                text = text.replace(old, new)
            (copy / path.name).write_text(text)
    return copy


def test_a_file_in_ucis_form_becomes_a_typed_and_split_dataset(trial, capsys):
    source = trial.write(as_csv(heart_rows()))
    assert main(trial.flags(source)) == 0
    manifest = DatasetManifest.read(trial.dataset / "manifest.json")
    assert manifest.rows == {"train": 36, "validation": 12, "test": 12}
    assert (manifest.rows_read, manifest.rows_quarantined, manifest.rows_deduplicated) == (60, 0, 0)
    assert manifest.source == str(source)
    assert manifest.dictionary_fingerprint == load_project(HEART).dictionary.fingerprint
    assert "read 60 rows" in capsys.readouterr().out
    schema = pq.read_schema(trial.dataset / "train.parquet")
    assert schema.names == [column.name for column in load_project(HEART).dictionary.kept]
    for name, type_ in {
        "patient_id": pa.int64(),
        "collected_at": pa.timestamp("us", tz="UTC"),
        "oldpeak": pa.float64(),
        "thal": pa.string(),
        "disease": pa.bool_(),
    }.items():
        assert schema.field(name).type == type_
    rows = trial.table()
    assert rows[0]["patient_id"] == 1
    assert rows[0]["collected_at"].isoformat() == "1988-07-01T00:00:00+00:00"
    assert (rows[0]["age"], rows[0]["thal"], rows[0]["disease"]) == (30, "7", False)
    assert [row["patient_id"] for row in rows if row["ca"] is None] == [4, 24, 44]
    assert [row["patient_id"] for row in rows if row["thal"] is None] == [8, 38]
    assert trial.set_aside() == []


def test_each_split_has_the_targets_shares(trial):
    trial.ingest(trial.write(as_csv(heart_rows())))
    for split in SPLITS:
        targets = pq.read_table(trial.dataset / f"{split}.parquet").column("disease").to_pylist()
        # Odd rows have 1, 2, 3, 4 or (every fifth) 0: 24 of 60.
        assert sum(targets) / len(targets) == pytest.approx(0.4, abs=0.05)


def test_the_same_rows_give_the_same_fingerprint_and_any_change_another(trial):
    rows = heart_rows()
    first = trial.ingest(trial.write(as_csv(rows)))
    again = trial.ingest(
        trial.write(as_csv([[cell.removesuffix(".0") for cell in row] for row in rows]), "b.csv")
    )
    assert again.fingerprint == first.fingerprint
    rows[0][0] = "31"
    assert trial.ingest(trial.write(as_csv(rows))).fingerprint != first.fingerprint
    seeded = edited_project(trial, ("  test_ratio: 0.2", "  seed: 1\n  test_ratio: 0.2"))
    assert trial.ingest(trial.folder / "b.csv", project=seeded).fingerprint != first.fingerprint


def test_the_file_with_only_its_target_flipped_is_taken_because_validation_judges_it(trial):
    rows = [[*row[:-1], "1" if row[-1] == "0" else "0"] for row in heart_rows()]
    assert trial.ingest(trial.write(as_csv(rows))).rows_quarantined == 0


def predefined_project(trial: Trial, column: str = "restecg") -> Path:
    codes = "categories: {train: t, validation: v, test: s}\n    role: ignore"
    return edited_project(
        trial,
        ("kind: stratified", f"kind: predefined\n  column: {column}"),
        ("categories: {0: normal, 1: ST-T wave abnormality, 2: left ventricular hypertrophy}", codes),
    )


def test_a_column_of_the_source_can_say_each_rows_split(trial):
    rows = heart_rows()
    for i, row in enumerate(rows):
        row[6] = SPLITS[i % 3]
    rows[5][6], rows[6][6] = "tset", "?"
    manifest = trial.ingest(trial.write(as_csv(rows)), project=predefined_project(trial))
    assert manifest.rows == {"train": 19, "validation": 20, "test": 19}
    assert [row["reason"] for row in trial.set_aside()] == [
        "restecg: expected one of train, validation, test, received 'tset'",
        "restecg: expected a value, received nothing",
    ]
    assert "restecg" not in trial.table()[0]


def test_a_split_by_a_column_that_is_not_there_is_refused(trial):
    with pytest.raises(InputError, match=r"split\.column=fold"):
        trial.ingest(trial.write(as_csv(heart_rows())), project=predefined_project(trial, "fold"))


def located_project(trial: Trial, location: str, kind: str = "csv") -> Path:
    project = edited_project(trial)
    settings = yaml.safe_load((project / "project.yaml").read_text())
    if kind == "csv":
        settings["source"]["location"] = location
    elif kind == "sql":
        settings["source"] = {"kind": kind, "url": location, "query": "SELECT * FROM patients"}
    else:
        settings["source"] = {"kind": kind, "location": location}
    (project / "project.yaml").write_text(yaml.safe_dump(settings))
    return project


@pytest.mark.parametrize("location", ["parts", "parts/*.csv", "**/2024-*.csv"])
def test_several_files_are_one_table_whatever_the_order_of_their_columns(trial, location):
    rows = heart_rows()
    rows[40][0] = "old"
    project = located_project(trial, location)
    (project / "parts").mkdir()
    backwards = [[HEADER[i] for i in range(13, -1, -1)], *([row[::-1] for row in rows[30:]])]
    (project / "parts" / "2024-01.csv").write_text(as_csv([HEADER, *rows[:30]]))
    (project / "parts" / "2024-02.csv").write_text(as_csv(backwards))
    (project / "parts" / "_ignored").write_text("x")
    manifest = trial.ingest(project=project)
    assert (manifest.rows_read, manifest.rows_quarantined) == (60, 1)
    (aside,) = trial.set_aside()
    assert aside["row_number"] == 41
    assert (Path(aside["file"]), aside["row_of_file"]) == (project / "parts" / "2024-02.csv", 11)
    assert trial.table()[30]["oldpeak"] == 0.3


@pytest.mark.parametrize("location", ["parts", "parts/*"])
def test_a_folder_or_a_pattern_replaces_the_projects_source_and_is_read_as_what_it_holds(trial, location):
    (trial.folder / "parts").mkdir()
    frame = pd.DataFrame(heart_rows(), columns=HEADER).replace("?", None).astype(float)
    for number in range(2):
        frame.iloc[number * 30 :][:30].to_parquet(trial.folder / "parts" / f"{number}.parquet")

    assert trial.ingest(trial.folder / location).rows_read == 60


def test_a_file_of_other_columns_among_several_is_named(trial):
    project = located_project(trial, "parts")
    (project / "parts").mkdir()
    (project / "parts" / "a.csv").write_text(as_csv([HEADER, *heart_rows()]))
    (project / "parts" / "b.csv").write_text(as_csv([[*HEADER[:-1], "note"], *heart_rows()]))
    with pytest.raises(InputError, match=r"b\.csv has other columns than .*a\.csv"):
        trial.ingest(project=project)


def test_a_damaged_file_of_several_is_named_and_the_earlier_dataset_stays(trial):
    project = located_project(trial, "parts", "parquet")
    (project / "parts").mkdir()
    frame = pd.DataFrame(heart_rows(), columns=HEADER).replace("?", None).astype(float)
    for number in range(10):
        frame.iloc[number * 6 : number * 6 + 6].to_parquet(project / "parts" / f"{number}.parquet")
    before = trial.ingest(project=project)
    assert before.rows_read == 60
    whole = (project / "parts" / "7.parquet").read_bytes()
    (project / "parts" / "7.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"not a Parquet file: .*7\.parquet"):
        trial.ingest(project=project)
    assert DatasetManifest.read(trial.dataset / "manifest.json") == before
    (project / "parts" / "7.parquet").write_bytes(whole)
    assert trial.ingest(project=project) == before


def as_json_lines(rows: list[list[str]]) -> str:
    cells = [[None if cell == "?" else float(cell) for cell in row] for row in rows]
    return "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in cells)


def test_json_lines_are_read_and_what_is_no_object_is_set_aside(trial):
    whole = trial.ingest(trial.write(as_csv(heart_rows())))
    project = located_project(trial, "rows.jsonl", "json_lines")
    text = as_json_lines(heart_rows())
    (project / "rows.jsonl").write_text(text)
    assert trial.ingest(project=project).fingerprint == whole.fingerprint
    lines = text.splitlines()
    lacking = json.loads(lines[0])
    del lacking["ca"]
    strange = ['{"age": ', "[1]", json.dumps({**json.loads(lines[2]), "age": "old"}), json.dumps(lacking)]
    (project / "rows.jsonl").write_text("\n".join([*lines[4:], "", *strange]))
    manifest = trial.ingest(project=project)
    assert (manifest.rows_read, manifest.rows_quarantined) == (60, 3)
    reasons = [row["reason"] for row in trial.set_aside()]
    assert "the row: expected a JSON object, received a line that is none" in reasons[0]
    assert reasons[1] == "the row: expected a JSON object, received a list"
    assert reasons[2].startswith("age: expected a number (integer)")
    assert trial.set_aside()[0]["cells"] == {"line": '{"age":'}


@pytest.mark.parametrize(("content", "words"), [("", "is empty"), ("[1]\n", "is not JSON lines")])
def test_a_file_without_json_objects_is_refused(trial, content, words):
    project = located_project(trial, "rows.jsonl", "json_lines")
    (project / "rows.jsonl").write_text(content)
    with pytest.raises(InputError, match=words):
        trial.ingest(project=project)


@pytest.fixture
def database(trial):
    path = trial.folder / "rows.db"
    frame = pd.DataFrame(heart_rows(), columns=HEADER).replace("?", None).astype(float)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        frame.to_sql("patients", connection, index=False)
    return path


def test_a_query_gives_the_rows_of_a_database(trial, database, monkeypatch):
    whole = trial.ingest(trial.write(as_csv(heart_rows())))
    monkeypatch.setenv("FOLDER", str(database.parent))
    manifest = trial.ingest(project=located_project(trial, "sqlite:///${FOLDER}/rows.db", "sql"))
    assert (manifest.fingerprint, manifest.source) == (whole.fingerprint, "sqlite:///${FOLDER}/rows.db")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///nowhere.db", "No such file or directory"),
        ("sqlite:///${NOT_SET}/rows.db", "The environment lacks what the source's URL needs: NOT_SET"),
        ("nosuch://host/base", "URL cannot be used"),
    ],
)
def test_a_database_that_cannot_be_asked_is_refused(trial, url, words):
    with pytest.raises(InputError, match=words):
        trial.ingest(project=located_project(trial, url, "sql"))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT * FROM patients WHERE age > 999", "columns and no rows"),
        ("DROP TABLE patients", "source.query: expected another form"),
        ("WITH one AS (SELECT 1) DELETE FROM patients", "attempt to write a readonly database"),
        ("SELECT SELECT", "did not answer the query"),
    ],
)
def test_a_query_that_gives_no_rows_is_refused_and_changes_nothing(trial, database, query, words):
    project = located_project(trial, f"sqlite:///{database}", "sql")
    text = (project / "project.yaml").read_text()
    (project / "project.yaml").write_text(text.replace("SELECT * FROM patients", query))
    with pytest.raises(InputError, match=words):
        trial.ingest(project=project)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM patients").fetchone() == (60,)


def test_a_password_does_not_stand_in_a_project(trial):
    with pytest.raises(InputError, match="a password does not stand in a file"):
        trial.ingest(project=located_project(trial, "postgresql://me:secret@host/base", "sql"))


@pytest.mark.parametrize("name", ["rows.data", "parts/*.data"])
def test_an_object_store_is_read_through_fsspec(trial, name):
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe(f"/bucket/{name.replace('*', 'a')}", as_csv(heart_rows()).encode())
    assert trial.ingest(f"memory://bucket/{name}").rows_read == 60
    with pytest.raises(InputError, match="The source cannot be fetched"):
        trial.ingest("memory://bucket/nothing.data")


def test_unknown_codes_and_values_out_of_range_are_kept_for_validation(trial):
    rows = heart_rows()
    rows[0][2], rows[1][11] = "9.0", "4.0"
    assert trial.ingest(trial.write(as_csv(rows))).rows_quarantined == 0
    assert (trial.table()[0]["cp"], trial.table()[1]["ca"]) == ("9", 4)


def test_text_with_a_mark_of_its_encoding_is_read_by_it(trial):
    assert trial.ingest(trial.write(as_csv(heart_rows()).encode("utf-16"))).rows_quarantined == 0


def test_text_of_another_encoding_is_read_as_the_project_says(trial):
    rows = heart_rows()
    project = edited_project(
        trial, ("kind: csv", "kind: csv\n  encoding: cp1252"), ("0: female", "é: female")
    )
    for row in rows:
        row[1] = row[1].replace("0.0", "é")
    trial.ingest(trial.write(as_csv(rows).encode("cp1252")), project=project)
    assert {row["sex"] for row in trial.table()} == {"é", "1"}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_header_in_the_file_goes_before_the_projects(trial, mark):
    order = [13, *range(13)]
    rows = [[row[i] for i in order] for row in [HEADER, *heart_rows()]]
    assert trial.ingest(trial.write(mark + as_csv(rows).encode())).rows_read == 60
    assert trial.table()[0]["age"] == 30


def kaggle_rows() -> list[list[str]]:
    """The form that circulates: a header, `target` for `num`, and codes that count from another number."""
    rows = [
        [cell.removesuffix(".0").replace("?", "0") for cell in row[:-1]] + [str(int(row[-1] == "0"))]
        for row in heart_rows()
    ]
    for i, row in enumerate(rows):
        row[2], row[10], row[12] = str(i % 4), str(i % 3), str(1 + i % 3)
    rows[0][11] = "4"
    rows[1][12] = "0"
    return [[*HEADER[:-1], "target"], *rows]


def test_the_file_in_kaggles_form_is_refused_with_its_columns_and_its_codes(trial, capsys):
    source = trial.write("\ufeff" + as_csv(kaggle_rows()), "heart.csv")
    assert main(trial.flags(source)) == 2
    message = capsys.readouterr().err
    assert "columns that are missing: num" in message
    assert "columns that the dictionary does not have: target" in message
    assert "cp: 0 (15 rows); expected one of 1, 2, 3, 4" in message
    assert "slope: 0 (20 rows); expected one of 1, 2, 3" in message
    assert "ca: 4 (1 row); expected 0 to 3 vessels" in message
    assert "thal: 0 (1 row), 1 (20 rows), 2 (19 rows); expected one of 3, 6, 7" in message
    assert "write a dictionary for this file" in message
    assert "https://archive.ics.uci.edu" in message
    assert "sex:" not in message
    assert not trial.dataset.exists()


def test_a_sensitive_columns_codes_are_counted_and_not_shown(trial):
    project = edited_project(
        trial, ("    description: Chest pain type.", "    sensitive: true\n    description: D.")
    )
    with pytest.raises(InputError, match=r"cp: \(hidden\) \(15 rows\)"):
        trial.ingest(trial.write(as_csv(kaggle_rows())), project=project)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n\n", "is empty"),
        (as_csv([HEADER]), "a header and no rows"),
        (as_csv([HEADER[:-2], *(row[:-2] for row in heart_rows())]), "columns that are missing: thal, num"),
        (as_csv([[*HEADER, "note"], *([*row, "x"] for row in heart_rows())]), "does not have: note"),
        (as_csv([["age", *HEADER], *(["1", *row] for row in heart_rows())]), "there twice: age"),
        (as_csv(heart_rows(), ";"), "set `source.delimiter: ';'`"),
        (as_csv([HEADER, *heart_rows()], "\t"), r"set `source.delimiter: '\\t'`"),
        ("one\ntwo\n", "Everything in .* is in one column"),
        (as_csv([row[:-1] for row in heart_rows()]), "13 cells in the first row"),
        (as_csv([["1,5", *row[1:]] for row in heart_rows()]), "15 cells in the first row"),
        (as_csv([["é", *row[1:]] for row in heart_rows()]).encode("cp1252"), "not UTF-8"),
        (as_csv(heart_rows()) + '"63,1\n', "cannot be divided into cells at line 6"),
        (b"PAR1 no, this is not Parquet", "2 cells in the first row"),
    ],
)
def test_a_source_that_is_wrong_as_a_whole_is_refused(trial, capsys, content, message):
    with pytest.raises(InputError, match=message):
        trial.ingest(trial.write(content))
    assert not trial.dataset.exists()


def test_a_first_line_that_may_be_somebodys_row_is_not_shown(trial):
    project = edited_project(trial)
    text = (project / "project.yaml").read_text().splitlines()
    (project / "project.yaml").write_text("\n".join(line for line in text if "header:" not in line))
    with pytest.raises(InputError, match="the first line may be no header") as caught:
        trial.ingest(trial.write(as_csv(heart_rows())), project=project)
    assert "130.0" not in str(caught.value)


def test_a_row_that_is_wrong_is_set_aside_with_every_reason_and_its_cells(trial):
    rows = heart_rows()
    rows[2][0] = "old"
    rows[4][3], rows[4][5] = "?", "maybe"
    rows[6][13] = "?"
    rows[8][13] = "none"
    rows[10] = rows[10][:-1]
    rows[12] = [*rows[12], "one more"]
    manifest = trial.ingest(trial.write(as_csv(rows)))
    assert manifest.rows_quarantined == 6
    assert sum(manifest.rows.values()) == 54
    found = {row["row_number"]: row for row in trial.set_aside()}
    assert {number: row["reason"] for number, row in found.items()} == {
        3: "age: expected a number (integer), received 'old'",
        5: "trestbps: expected a value, received nothing; fbs: expected true or false, received 'maybe'",
        7: "disease: expected a value of num > 0, received nothing",
        9: "num: expected a number (integer), received 'none'",
        11: "the row: expected 14 cells, received 13",
        13: "the row: expected 14 cells, received 15",
    }
    assert found[3]["cells"] == dict(zip(HEADER, rows[2], strict=True))
    assert found[13]["cells"]["cell 15"] == "one more"
    assert {row["patient_id"] for row in trial.table()} == set(range(1, 61)) - found.keys()


def test_a_sensitive_value_is_not_in_the_reason(trial):
    project = edited_project(
        trial, ("    description: Age at", "    sensitive: true\n    description: Age at")
    )
    rows = heart_rows()
    rows[2][0] = "4711x"
    trial.ingest(trial.write(as_csv(rows)), project=project)
    (row,) = trial.set_aside()
    assert row["reason"] == "age: expected a number (integer), received (hidden)"
    assert [reason.received for reason in trial.summary().reasons] == ["(hidden)"]


def test_a_repeated_row_is_taken_once_whatever_generated_columns_say(trial):
    rows = heart_rows()
    spelled_otherwise = [cell.removesuffix(".0") for cell in rows[3]]
    manifest = trial.ingest(trial.write(as_csv([*rows, rows[0], spelled_otherwise, rows[0]])))
    assert (manifest.rows_read, manifest.rows_deduplicated, sum(manifest.rows.values())) == (63, 3, 60)
    assert max(row["patient_id"] for row in trial.table()) == 60


def test_a_missing_value_under_drop_row_stays_for_training_to_drop(trial):
    project = edited_project(trial, ("missing: most_frequent", "missing: drop_row"))
    assert trial.ingest(trial.write(as_csv(heart_rows())), project=project).rows_quarantined == 0
    assert [row["patient_id"] for row in trial.table() if row["ca"] is None] == [4, 24, 44]


def test_too_few_right_rows_are_refused_with_the_commonest_reasons(trial):
    rows = heart_rows()
    for row in rows[:58]:
        row[0] = "unknown"
    rows[0][5] = "maybe"
    with pytest.raises(InputError, match="There are too few rows to split") as caught:
        trial.ingest(trial.write(as_csv(rows)))
    assert "58 rows were quarantined" in str(caught.value)
    assert "58 x age: expected a number (integer), received such as 'unknown'" in str(caught.value)
    assert len(trial.set_aside()) == 58
    assert [(reason.column, reason.rows) for reason in trial.summary().reasons] == [("age", 58), ("fbs", 1)]
    assert not trial.dataset.exists()


def test_a_target_that_never_changes_is_refused(trial):
    rows = [[*row[:-1], "0"] for row in heart_rows()]
    with pytest.raises(InputError, match="the same value in every row") as caught:
        trial.ingest(trial.write(as_csv(rows)))
    assert "False: 60 rows" in str(caught.value)


def test_a_source_where_every_row_is_wrong_is_refused(trial):
    rows = [["unknown", *row[1:]] for row in heart_rows()]
    with pytest.raises(InputError, match="No row is left to learn from"):
        trial.ingest(trial.write(as_csv(rows)))


def test_another_run_replaces_the_dataset_whole(trial):
    trial.ingest(trial.write(as_csv(heart_rows())))
    (trial.dataset / "stray.txt").write_text("x")
    trial.ingest(trial.write(as_csv(heart_rows(50))))
    assert sorted(path.name for path in trial.dataset.iterdir()) == [
        "manifest.json", "test.parquet", "train.parquet", "validation.parquet"
    ]  # fmt: skip
    assert sorted(path.name for path in trial.dataset.parent.iterdir()) == ["dataset", "quarantine"]


def test_a_missing_file_is_named_with_what_to_do(trial, capsys):
    assert main(trial.flags(trial.folder / "nowhere.csv")) == 2
    message = capsys.readouterr().err
    assert "No such file or directory" in message
    assert "nowhere.csv" in message
    assert "--source PATH" in message


def test_a_relative_location_starts_at_the_project_and_a_relative_flag_at_the_working_directory(
    trial, monkeypatch
):
    project = edited_project(trial)
    text = (project / "project.yaml").read_text().splitlines()
    located = ["  location: data/rows.csv" if "location:" in line else line for line in text]
    (project / "project.yaml").write_text("\n".join(located))
    (project / "data").mkdir()
    (project / "data" / "rows.csv").write_text(as_csv(heart_rows()))
    assert trial.ingest(project=project).rows_read == 60
    trial.write(as_csv(heart_rows(50)), "here.csv")
    monkeypatch.chdir(trial.folder)
    assert trial.ingest("here.csv", project=project).rows_read == 50


def test_a_project_file_with_a_mistake_exits_with_its_line(trial, capsys):
    project = edited_project(trial, ("kind: csv", "kind: xls"))
    assert main(trial.flags(project=project)) == 2
    assert "project.yaml:10: source.kind" in capsys.readouterr().err


def test_the_breast_cancer_project_is_read_from_its_own_function(trial):
    before = set(sys.modules)
    manifest = trial.ingest(project=PROJECTS / "breast_cancer")
    assert manifest.rows == {"train": 341, "validation": 114, "test": 114}
    assert manifest.rows_quarantined == manifest.rows_deduplicated == 0
    assert not {name for name in set(sys.modules) - before if "source" in name and "mulgil" in name}
    assert not (PROJECTS / "breast_cancer" / "__pycache__").exists()
    frame = pq.read_table(trial.dataset / "test.parquet").to_pandas()
    assert frame["malignant"].dtype == bool
    assert "diagnosis_code" not in frame


@pytest.mark.parametrize("name", ["cancer.csv", "cancer.parquet"])
def test_a_file_stands_in_for_a_python_source(trial, name):
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    path = trial.folder / name
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    project = PROJECTS / "breast_cancer"
    assert trial.ingest(path, project=project).fingerprint == trial.ingest(project=project).fingerprint


def test_what_kind_of_file_stands_in_for_a_python_source_is_told_by_its_ending(trial):
    with pytest.raises(InputError, match=r"ends in \.csv, \.data, \.jsonl, \.ndjson, \.parquet, \.pq, \.txt"):
        trial.ingest(trial.write("x", "cancer.xlsx"), project=PROJECTS / "breast_cancer")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def load(:\n", r"SyntaxError: .* \(source\.py, line 1\)"),
        ("import pandas\n\ndef load():\n    raise KeyError('gone')\n", r"KeyError: 'gone' \(line 4\)"),
        ("def other(): pass\n", "There is no function .*source.py:load"),
        ("load = 3\n", "There is no function"),
        ("def load():\n    return [1]\n", "returned no table"),
        ("import pandas\ndef load():\n    return pandas.DataFrame({'a': []})\n", "returned an empty table"),
        ("import no_such_library\n", "ModuleNotFoundError"),
        (
            "def load():\n    return open('/nonexistent/file').read()\n",
            "FileNotFoundError(.|\\n)*absolute path",
        ),
    ],
)
def test_a_python_source_that_fails_says_where(trial, code, message):
    project = edited_project(trial, project=PROJECTS / "breast_cancer")
    (project / "source.py").write_text(code)
    with pytest.raises(InputError, match=message):
        trial.ingest(project=project)


def test_a_missing_python_source_is_named(trial):
    project = edited_project(trial, project=PROJECTS / "breast_cancer")
    (project / "source.py").unlink()
    with pytest.raises(InputError, match=r"No such file(.|\n)*source\.py"):
        trial.ingest(project=project)


def test_a_python_source_may_use_dataclasses_and_fail_temporarily(trial):
    project = edited_project(trial, project=PROJECTS / "breast_cancer")
    (project / "source.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from mulgil.errors import TemporaryError\n"
        "@dataclass\nclass Server:\n    name: str\n"
        "def load():\n    raise TemporaryError(Server('down').name)\n"
    )
    with pytest.raises(TemporaryError, match="down"):
        trial.ingest(project=project)


TYPED = """\
columns:
  - {name: id, role: entity, type: text, description: d}
  - {name: seen, role: event_timestamp, type: timestamp, description: d}
  - {name: size, type: float, missing: mean, description: d}
  - {name: count, type: integer, missing: median, description: d}
  - {name: flag, type: boolean, missing: most_frequent, description: d}
  - {name: code, type: category, categories: [1, 2], missing: new_category, description: d}
  - {name: note, role: ignore, type: integer, description: Whatever it holds.}
  - {name: ill, role: target, type: boolean, description: d}
"""


def typed_project(trial: Trial, frame: pd.DataFrame) -> Path:
    project = trial.folder / "typed"
    project.mkdir(exist_ok=True)
    (project / "data_dictionary.yaml").write_text(TYPED)
    (project / "project.yaml").write_text(
        "name: typed\nproblem: {goal: g, success_measure: s}\ntask: binary_classification\n"
        "source: {kind: parquet, location: rows.parquet}\n"
    )
    frame.to_parquet(project / "rows.parquet")
    return project


def typed_frame(rows: int = 40) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(rows)],
            "seen": pd.date_range("2024-01-01", periods=rows, freq="h", tz="Asia/Seoul"),
            "size": [None if i == 0 else i / 2 for i in range(rows)],
            "count": pd.array([None if i == 1 else i for i in range(rows)], dtype="Int64"),
            "flag": pd.array([None if i == 2 else bool(i % 2) for i in range(rows)], dtype="boolean"),
            "code": pd.Categorical([None if i == 3 else ["1", "2"][i % 2] for i in range(rows)]),
            "note": [["anything"]] * rows,
            "ill": [i % 2 == 0 for i in range(rows)],
        }
    )


def test_a_parquet_source_keeps_its_types_and_its_missing_values(trial):
    frame = typed_frame()
    frame.loc[4, "seen"] = pd.NaT
    frame["ill"] = frame["ill"].astype(object)
    frame.loc[5, "ill"] = None
    frame.loc[6, "id"] = None
    project = typed_project(trial, frame)
    manifest = trial.ingest(project=project)
    assert manifest.rows_quarantined == 3
    assert [row["reason"] for row in trial.set_aside()] == [
        "seen: expected a value, received nothing",
        "ill: expected a value, received nothing",
        "id: expected a value, received nothing",
    ]
    rows = {
        row["id"]: row
        for split in SPLITS
        for row in pq.read_table(trial.dataset / f"{split}.parquet").to_pylist()
    }
    assert rows["p0"]["seen"].isoformat() == "2023-12-31T15:00:00+00:00"
    assert [rows[f"p{i}"][name] for i, name in enumerate(["size", "count", "flag", "code"])] == [None] * 4
    assert (rows["p7"]["size"], rows["p7"]["count"], rows["p7"]["flag"], rows["p7"]["code"]) == (
        3.5,
        7,
        True,
        "2",
    )


def test_a_data_frames_own_kinds_of_missing_and_of_number_are_read(trial):
    project = typed_project(trial, typed_frame())
    text = (project / "project.yaml").read_text()
    python = text.replace("kind: parquet, location: rows.parquet", "kind: python, function: source:load")
    (project / "project.yaml").write_text(python)
    (project / "source.py").write_text(
        "import decimal, pathlib\nimport numpy, pandas\n"
        "def load():\n"
        f"    frame = pandas.read_parquet({str(project / 'rows.parquet')!r}).astype(object)\n"
        "    frame.loc[8, 'seen'] = pandas.NaT\n"
        "    frame.loc[9, 'code'] = pandas.NA\n"
        "    frame.loc[10, 'size'] = decimal.Decimal('2.5')\n"
        "    frame.loc[11, 'count'] = numpy.int32(7)\n"
        # To a dict 1 and True are one key, and a count is no truth.
        "    frame.loc[12, 'count'], frame.loc[13, 'count'] = 1, True\n"
        "    return frame\n"
    )
    trial.ingest(project=project)
    assert [(row["row_number"], row["reason"].partition(",")[0]) for row in trial.set_aside()] == [
        (9, "seen: expected a value"),
        (14, "count: expected a whole number (integer)"),
    ]
    rows = {
        row["id"]: row
        for split in SPLITS
        for row in pq.read_table(trial.dataset / f"{split}.parquet").to_pylist()
    }
    assert (rows["p9"]["code"], rows["p10"]["size"], rows["p11"]["count"]) == (None, 2.5, 7)


@pytest.mark.parametrize("kind", ["int64", "decimal"])
def test_whole_numbers_of_more_digits_than_a_float_tells_apart_are_read_as_text(trial, kind):
    frame = typed_frame()
    ids = [2**53 + place for place in range(len(frame))]
    types = {"int64": pa.int64(), "decimal": pa.decimal128(20, 0)}
    frame["id"] = pd.array(ids, dtype=pd.ArrowDtype(pa.int64())).astype(pd.ArrowDtype(types[kind]))
    manifest = trial.ingest(project=typed_project(trial, frame))

    parts = [pq.read_table(trial.dataset / f"{split}.parquet")["id"].to_pylist() for split in SPLITS]
    assert manifest.rows_quarantined == 0
    assert sorted(name for part in parts for name in part) == [str(one) for one in ids]


def test_a_parquet_source_that_is_none_is_refused(trial):
    project = typed_project(trial, typed_frame())
    (project / "rows.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is not a Parquet file"):
        trial.ingest(project=project)


def test_a_parquet_source_without_rows_is_refused(trial):
    with pytest.raises(InputError, match="columns and no rows"):
        trial.ingest(project=typed_project(trial, typed_frame(0)))


def test_numbers_written_as_text_in_a_typed_table_are_read_and_words_are_not(trial):
    frame = typed_frame()
    typed = trial.ingest(project=typed_project(trial, frame))
    frame["size"] = frame["size"].astype(str)
    assert trial.ingest(project=typed_project(trial, frame)).fingerprint == typed.fingerprint
    frame["size"] = "large"
    with pytest.raises(InputError, match=r"40 x size: expected a number \(float\), received such as 'large'"):
        trial.ingest(project=typed_project(trial, frame))


class Answers(BaseHTTPRequestHandler):
    """Serves one table and several ways of failing."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(1)
        status = {"/gone": 404, "/busy": 503, "/later": 429, "/moved": 302}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/rows.csv")
        self.end_headers()
        if status == 200:
            self.wfile.write(as_csv(heart_rows()).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def without_a_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("path", ["rows.csv", "moved"])
def test_rows_are_read_from_a_url(trial, server, path):
    manifest = trial.ingest(f"{server}/{path}")
    assert (manifest.rows_read, manifest.source) == (60, f"{server}/{path}")


@pytest.mark.parametrize(
    ("path", "code", "message"), [("gone", 2, "404"), ("busy", 75, "503"), ("later", 75, "429")]
)
def test_a_servers_refusal_says_whether_a_retry_is_sensible(trial, server, capsys, path, code, message):
    assert main(trial.flags(f"{server}/{path}")) == code
    error = capsys.readouterr().err
    assert message in error
    assert f"{server}/{path}" in error


def test_a_server_that_is_not_there_is_temporary(trial, capsys):
    assert main(trial.flags("http://127.0.0.1:1/rows.csv")) == 75
    assert "cannot be reached" in capsys.readouterr().err


def test_a_server_that_says_nothing_is_temporary(server, tmp_path):
    with pytest.raises(TemporaryError, match=r"did not answer within 0\.2 s"):
        fetch_location(f"{server}/slow", tmp_path, timeout_seconds=0.2)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/rows.csv", "s3://bucket/rows.csv", "http://[::bad/rows.csv"]
)
def test_a_url_that_cannot_be_fetched_is_the_users_mistake(trial, url):
    with pytest.raises(InputError, match="The source cannot be fetched"):
        trial.ingest(url)
