"""`mulgil init`: what it writes of tables that nobody described, and that ingestion takes them by it."""

import contextlib
import gzip
import io
import json
import random
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from components.ingest_data.core import ingest_data
from mulgil import cli
from mulgil.artifacts import DatasetManifest
from mulgil.contract import ColumnRole, load_project
from mulgil.images import encode_png


@pytest.fixture
def init(monkeypatch, capsys, tmp_path):
    """Run `mulgil init` on a folder; return the exit code and what was written to the terminal."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))

    def run(source: object, *options: str, folder: Path = tmp_path / "drafted") -> tuple[int, str]:
        words = ["init", str(folder), "--from", str(source), *options]
        monkeypatch.setattr("sys.argv", ["mulgil", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out + printed.err

    return run


def shop(rows: int = 300) -> pd.DataFrame:
    """A table with what tables have: keys, dates, words, codes for missing, sentences."""
    draw = random.Random(0)
    age = [draw.gauss(45, 10) for _ in range(rows)]
    return pd.DataFrame(
        {
            "Customer ID": [f"C-{i:04}" for i in range(rows)],
            "signed up": [f"{1 + i % 28:02}/{1 + i % 12:02}/2023" for i in range(rows)],
            "Age (years)": [str(round(a)) if i % 9 else "?" for i, a in enumerate(age)],
            "income": [-999 if i % 10 == 0 else round(draw.gauss(30000, 9000), 2) for i in range(rows)],
            "blood.pressure": [0 if i % 25 == 0 else round(draw.gauss(120, 15)) for i in range(rows)],
            "newsletter": [draw.choice(["Yes", "No", ""]) for _ in range(rows)],
            "tariff": [draw.choice(["A/B", "010", "x, y", 'q"q']) for _ in range(rows)],
            "zip": [f"{draw.randrange(1000, 99999):05}" for _ in range(rows)],
            "notes": [
                f"called {i} times about the bill and much else that was said at length" for i in range(rows)
            ],
            "row": list(range(rows)),
            "country": ["KR"] * rows,
            "empty": [None] * rows,
            "cancelled on": ["" if a < 45 else "2024-01-01" for a in age],
            "Churn?": ["gone" if a + draw.gauss(0, 10) > 52 else "stays" for a in age],
            "tells it": ["" for _ in range(rows)],
        }
    )


@pytest.fixture
def table(tmp_path):
    frame = shop()
    frame["tells it"] = np.where(frame["Churn?"] == "gone", "refund", "none")
    path = tmp_path / "shop.csv"
    frame.to_csv(path, index=False)
    return path


def ingest(folder: Path) -> DatasetManifest:
    return ingest_data(
        project_path=folder, source="", dataset_path=folder / "dataset", quarantine_path=folder / "quarantine"
    )


def rows_of(folder: Path) -> list[dict]:
    """Ingest the project's table, and return the rows that were taken."""
    ingest(folder)
    splits = [
        pq.read_table(folder / "dataset" / f"{split}.parquet") for split in ("train", "validation", "test")
    ]
    return [row for split in splits for row in split.to_pylist()]


def columns_of(folder: Path) -> dict[str, dict]:
    text = (folder / "data_dictionary.yaml").read_text(encoding="utf-8")
    return {column["name"]: column for column in yaml.safe_load(text)["columns"]}


def test_a_table_is_drafted_so_that_every_row_is_taken(init, table, tmp_path):
    code, printed = init(table, "--target", "Churn?")

    assert code == 0, printed
    manifest = ingest(tmp_path / "drafted")
    assert (manifest.rows_read, manifest.rows_quarantined, manifest.rows_deduplicated) == (300, 0, 0)


def test_each_column_is_what_its_values_are(init, table, tmp_path):
    init(table, "--target", "Churn?")

    columns = columns_of(tmp_path / "drafted")
    assert (columns["Customer_ID"]["role"], columns["Customer_ID"]["type"]) == ("entity", "text")
    assert columns["signed_up"]["role"] == "event_timestamp"
    assert columns["signed_up"]["time_format"] == "%d/%m/%Y"
    assert (columns["Age_years"]["type"], columns["Age_years"]["missing"]) == ("integer", "median")
    assert columns["Age_years"]["source_name"] == "Age (years)"
    assert (columns["income"]["type"], columns["income"]["missing_codes"]) == ("float", [-999])
    assert columns["blood_pressure"]["missing_codes"] == [0]
    assert (columns["newsletter"]["type"], columns["newsletter"]["missing"]) == ("boolean", "most_frequent")
    assert set(columns["tariff"]["categories"]) == {"A/B", "010", "x, y", 'q"q'}
    assert columns["Churn_is_gone"]["derived"] == 'Churn == "gone"'


def test_a_target_of_degrees_is_asked_about_and_can_be_learned_as_any_or_none(init, tmp_path):
    draw = random.Random(1)
    grades = [draw.choice([0, 0, 0, 1, 2, 3]) for _ in range(200)]
    frame = pd.DataFrame({"age": [draw.gauss(50 + 5 * grade, 9) for grade in grades], "grade": grades})
    frame.to_csv(tmp_path / "grades.csv", index=False)

    code, printed = init(tmp_path / "grades.csv", "--target", "grade")
    as_asked, again = init(
        tmp_path / "grades.csv", "--target", "grade", "--task", "binary_classification", "--force"
    )

    assert (code, as_asked) == (0, 0), again
    assert "grade is learned as 4 classes" in printed
    assert "--task binary_classification" in printed
    assert columns_of(tmp_path / "drafted")["grade_above_0"]["derived"] == "grade > 0"
    manifest = ingest(tmp_path / "drafted")
    assert (manifest.rows_read, manifest.rows_quarantined) == (200, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zip", "nearly every row has its own value"),
        ("notes", "free text"),
        ("row", "an identifier: 300 different values in 300 rows"),
        ("country", "it is 'KR' in every row that has a value"),
        ("empty", "it has no value in any row"),
        ("cancelled_on", "it is '2024-01-01' in every row that has a value"),
        ("tells_it", "it tells the target alone, on every row"),
    ],
)
def test_what_cannot_be_a_feature_is_ignored_with_the_reason(init, table, tmp_path, name, reason):
    _, printed = init(table, "--target", "Churn?")

    column = columns_of(tmp_path / "drafted")[name]
    assert column["role"] == "ignore"
    assert reason in column["description"]
    assert reason in " ".join(printed.split())


def test_what_only_a_person_knows_is_marked(init, table, tmp_path):
    _, printed = init(table, "--target", "Churn?")

    text = (tmp_path / "drafted" / "data_dictionary.yaml").read_text(encoding="utf-8")
    assert "# TODO: -999 (30 rows) is taken for a missing value" in text
    assert "# TODO: zero (12 rows) is far below all others and taken for a missing value" in text
    assert "what is looked for, and not 'stays'?" in text
    assert "TODO: what the prediction is for" in (tmp_path / "drafted" / "project.yaml").read_text()
    assert f"{text.count('TODO') - 1} TODO" in printed


def test_codes_for_missing_are_missing_where_they_are_read(init, table, tmp_path):
    init(table, "--target", "Churn?")

    rows = rows_of(tmp_path / "drafted")
    assert sum(row["income"] is None for row in rows) == 30
    assert sum(row["blood_pressure"] is None for row in rows) == 12
    assert min(row["blood_pressure"] for row in rows if row["blood_pressure"] is not None) > 50
    assert {row["signed_up"].year for row in rows} == {2023}


def test_a_file_of_a_spreadsheet_is_read_as_it_is_written(init, tmp_path):
    path = tmp_path / "shop.csv"
    frame = shop().rename(columns={"income": "Einkommen €"})
    frame.to_csv(path, index=False, sep=";", decimal=",", encoding="cp1252")

    code, printed = init(path, "--target", "Churn?")

    assert code == 0, printed
    source = load_project(tmp_path / "drafted").project.source
    assert (source.delimiter, source.decimal, source.encoding) == (";", ",", "cp1252")
    assert columns_of(tmp_path / "drafted")["Einkommen_EUR"]["type"] == "float"
    assert ingest(tmp_path / "drafted").rows_quarantined == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_of_the_encoding_is_understood(init, tmp_path, encoding):
    path = tmp_path / "shop.csv"
    shop().to_csv(path, index=False, encoding=encoding)

    assert init(path, "--target", "Churn?")[0] == 0
    assert ingest(tmp_path / "drafted").rows_quarantined == 0


def test_a_typed_table_keeps_its_types(init, tmp_path):
    path = tmp_path / "rows.parquet"
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "who": np.arange(200) % 50,
            "when": pd.date_range("2024-01-01", periods=200, freq="h", tz="Asia/Seoul"),
            "size": np.where(np.arange(200) % 7 == 0, np.nan, draw.normal(size=200)),
            "kind": pd.Categorical(draw.choice(["a", "b", "?"], 200)),
            "flag": draw.random(200) < 0.5,
            "list": [[1]] * 200,
            "ill": draw.random(200) < 0.3,
        }
    )
    frame.to_parquet(path)

    code, printed = init(path, "--target", "ill", "--entity", "who")

    assert code == 0, printed
    columns = columns_of(tmp_path / "drafted")
    assert (columns["who"]["role"], columns["who"]["type"]) == ("entity", "integer")
    assert columns["when"]["role"] == "event_timestamp"
    assert load_project(tmp_path / "drafted").project.split.kind == "group"
    assert columns["size"]["missing"] == "median"
    assert (columns["kind"]["missing_codes"], columns["kind"]["missing"]) == (["?"], "new_category")
    assert columns["list"]["description"] == "Ignored: its values are neither numbers, words nor times."
    assert ingest(tmp_path / "drafted").rows_quarantined == 0


def test_a_file_without_a_header_needs_the_names(init, tmp_path):
    path = tmp_path / "rows.data"
    path.write_text("".join(f"{20 + i % 50}.0,{i % 3},{i % 2}\n" for i in range(60)), encoding="utf-8")

    code, printed = init(path, "--target", "ill")
    assert code == 2
    assert "--header" in printed

    code, printed = init(path, "--target", "ill", "--header", "age,pain,ill")
    assert code == 0, printed
    assert load_project(tmp_path / "drafted").project.source.header == ("age", "pain", "ill")


def test_rows_that_share_their_key_and_time_are_a_decision(init, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("who,x,y\n" + "".join(f"{i // 2},{i * 7 % 13}.5,{i % 2}\n" for i in range(60)))

    code, printed = init(path, "--target", "y", "--entity", "who")

    assert code == 0
    assert "30 rows repeat the who of another" in printed
    assert "leave --entity out" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "Churn"], ["The table has no column Churn", "did you mean Churn??"]),
        (["--target", "country"], ["the same value in every row"]),
        (["--target", "signed up"], ["cannot be predicted as it is"]),
        (["--target", "zip"], ["cannot be predicted as it is"]),
        (["--target", "Churn?", "--event-timestamp", "income"], ["cannot say when a row became true"]),
        (["--target", "Churn?", "--entity", "income"], ["cannot say what a row is about"]),
        (["--target", "Churn?", "--task", "clustering"], ["The task is not there in this version: clust"]),
        (["--target", "tariff", "--task", "binary_classification"], ["a target of two values", "tariff"]),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(init, table, tmp_path, options, words):
    code, printed = init(table, *options)

    assert code == 2
    for expected in words:
        assert expected in printed
    assert not (tmp_path / "drafted").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The source is empty"),
        (b"a,b\n", "a header and no rows"),
        (b"a,a\n1,2\n", "have one name"),
        (b"PAR1 no", "is not a Parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(init, tmp_path, content, words):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)

    code, printed = init(path, "--target", "a")

    assert code == 2
    assert words in " ".join(printed.split())


def _zip(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "a,b\n1,2\n")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_zip("xl/workbook.xml"), ["a spreadsheet of Excel", "save the sheet as CSV"]),
        (_zip("rows.csv"), ["a zip archive of rows.csv", "unpack it"]),
        (gzip.compress(_zip("rows.csv")), ["a zip archive", "unpack it"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), ["Excel's old form", "save the sheet as CSV"]),
        (b"SQLite format 3\0" + bytes(100), ["a database of SQLite", "sqlite:////"]),
        (b'[\n {"a": 1}\n]\n', ["one JSON array", "an object a line"]),
        (b"<!DOCTYPE html><html></html>", ["a page of a website", "fetch the data itself"]),
        (random.Random(0).randbytes(2_000), ["is no text", "save it as UTF-8"]),
        (b"a   b   y\n1   2   0\n10  20  1\n", ["divided by several spaces", "read_csv"]),
        (
            b"Customers of 2024\nprinted in May\n\na,b,y\n1,2,0\n3,4,1\n",
            ["is not its first line", "a, b, y in line 4", "remove the 3 lines before it"],
        ),
        (b"Customers,,\na,b,y\n1,2,0\n", ["a, b, y in line 2", "remove the line before it"]),
    ],
)
def test_a_file_of_another_kind_says_what_it_is_and_what_makes_a_table_of_it(init, tmp_path, content, words):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)

    code, printed = init(path, "--target", "y")

    assert code == 2
    for expected in words:
        assert expected in " ".join(printed.split())


def test_an_index_without_a_name_is_ignored_and_ingested(init, tmp_path):
    frame = pd.DataFrame(
        {"x": [row % 7 + row / 100 for row in range(60)], "y": [row % 2 for row in range(60)]}
    )
    frame.to_csv(tmp_path / "rows.csv")

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    assert columns_of(tmp_path / "drafted")["column_1"]["source_name"] == ""
    assert sum(ingest(tmp_path / "drafted").rows.values()) == 60


def test_rows_that_chance_makes_alike_are_kept_and_copies_dropped(init, tmp_path):
    draw = np.random.default_rng(0)
    crew = pd.DataFrame({name: draw.choice(["a", "b"], 200) for name in ("class", "age", "sex", "y")})
    crew.to_csv(tmp_path / "crew.csv", index=False)
    homes = pd.DataFrame({"price": draw.normal(size=200).round(6), "y": draw.choice(["a", "b"], 200)})
    pd.concat([homes, homes.head(90)]).to_csv(tmp_path / "homes.csv", index=False)

    _, of_crew = init(tmp_path / "crew.csv", "--target", "y")
    _, of_homes = init(tmp_path / "homes.csv", "--target", "y", folder=tmp_path / "homes")

    assert "184 rows are like an earlier one in every column, where chance makes about " in of_crew
    assert ingest(tmp_path / "drafted").rows_deduplicated == 0
    assert "90 rows are like an earlier one in every column, and dropped as copies" in of_homes
    assert ingest(tmp_path / "homes").rows_deduplicated == 90


def test_columns_that_a_spreadsheet_left_without_a_name_are_ignored_and_take_no_row(init, tmp_path):
    lines = ["x,y,,,"] + [f"{row * 1.5},{row % 2},,{'spilled' if row == 5 else ''}," for row in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    ignored = {
        c["source_name"] for c in columns_of(tmp_path / "drafted").values() if c.get("role") == "ignore"
    }
    assert ignored == {"column 3", "column 4", "column 5"}
    assert sum(ingest(tmp_path / "drafted").rows.values()) == 60


def test_numbers_of_accounts_and_with_a_quoted_comma_are_read(init, tmp_path):
    balance = [f"({row + 1:,}.5)" if row % 3 == 0 else f"{row + 1000:,}.25" for row in range(60)]
    frame = pd.DataFrame({"balance": balance, "y": [row % 2 for row in range(60)]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    heights = pd.DataFrame({"h": [f"1,{60 + row % 30}" for row in range(60)], "y": frame["y"]})
    heights.to_csv(tmp_path / "heights.csv", index=False)

    assert init(tmp_path / "rows.csv", "--target", "y")[0] == 0
    assert init(tmp_path / "heights.csv", "--target", "y", folder=tmp_path / "tall")[0] == 0

    assert min(row["balance"] for row in rows_of(tmp_path / "drafted")) == -58.5
    assert max(row["h"] for row in rows_of(tmp_path / "tall")) == 1.89


def test_a_project_that_is_there_is_not_overwritten(init, table, tmp_path):
    assert init(table, "--target", "Churn?")[0] == 0

    code, printed = init(table, "--target", "Churn?")

    assert code == 2
    assert "is a project already" in printed
    assert init(table, "--target", "Churn?", "--force")[0] == 0


def test_three_hundred_columns_and_odd_names_make_a_dictionary(init, tmp_path):
    draw = np.random.default_rng(0)
    names = [f"f{i}" for i in range(296)] + ["class", "이름", "A b", "a-b"]
    frame = pd.DataFrame(draw.normal(size=(80, 300)), columns=names).assign(y=draw.random(80) < 0.5)
    frame.to_csv(tmp_path / "wide.csv", index=False)

    code, printed = init(tmp_path / "wide.csv", "--target", "y")

    assert code == 0, printed
    features = [
        c for c in load_project(tmp_path / "drafted").dictionary.columns if c.role is ColumnRole.FEATURE
    ]
    assert len(features) == 300
    assert {c.name for c in features[-4:]} == {"class_value", "ILeum", "A_b", "a_b_2"}


def driver(rows: int = 240) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "driver": np.arange(rows) % 60,
            "at": pd.date_range("2024-01-01", periods=rows, freq="h").strftime("%Y-%m-%dT%H:%M:%S"),
            "rate": draw.random(rows).round(3),
            "trips": np.arange(rows) % 7,
            "is_good": draw.random(rows) < 0.5,
        }
    )


def write_json_lines(folder: Path) -> str:
    driver().to_json(folder / "rows.jsonl", orient="records", lines=True)
    return str(folder / "rows.jsonl")


def write_compressed_json_lines(folder: Path) -> str:
    driver().to_json(folder / "rows.jsonl.gz", orient="records", lines=True)
    return str(folder / "rows.jsonl.gz")


def write_database(folder: Path) -> str:
    with contextlib.closing(sqlite3.connect(folder / "rows.db")) as base:
        driver().to_sql("drivers", base, index=False)
    return f"sqlite:///{folder / 'rows.db'}"


def write_parts(folder: Path) -> str:
    for part in range(4):
        rows = driver()[60 * part : 60 * part + 60]
        rows.to_csv(folder / f"part-{part}.csv", index=False)
    return str(folder / "part-*.csv")


def write_a_folder_of_parquet(folder: Path) -> str:
    (folder / "parts").mkdir()
    for part in range(4):
        rows = driver()[60 * part : 60 * part + 60]
        # As where a part has no missing value and another one has: of another type.
        rows = rows.assign(trips=rows["trips"].astype(float if part else int))
        rows.to_parquet(folder / "parts" / f"{part}.parquet")
    return str(folder / "parts")


@pytest.mark.parametrize(
    "write",
    [
        write_json_lines,
        write_compressed_json_lines,
        write_database,
        write_parts,
        write_a_folder_of_parquet,
    ],
)
def test_every_kind_of_source_is_seen_whole_and_read_again_as_it_was_drafted(init, tmp_path, write):
    code, printed = init(write(tmp_path), "--target", "is_good", "--entity", "driver")

    assert code == 0, printed
    columns = columns_of(tmp_path / "drafted")
    assert (columns["at"]["role"], columns["trips"]["type"]) == ("event_timestamp", "integer")
    manifest = ingest(tmp_path / "drafted")
    assert (manifest.rows_read, manifest.rows_quarantined) == (240, 0)


def test_a_database_of_several_tables_needs_a_query(init, tmp_path, monkeypatch):
    url = write_database(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.db")) as base:
        driver().to_sql("others", base, index=False)
    monkeypatch.chdir(tmp_path)

    code, printed = init(url, "--target", "is_good")
    assert code == 2
    assert "drivers, others" in printed and "--query 'SELECT * FROM drivers'" in printed

    query = "SELECT rate, trips, is_good FROM drivers WHERE trips < 5"
    code, printed = init("sqlite:///rows.db", "--target", "is_good", "--query", query)
    assert code == 0, printed
    assert ingest(tmp_path / "drafted").rows_read == sum(i % 7 < 5 for i in range(240))


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("postgresql://me:secret@host/base", (), "a password does not stand in a file"),
        ("sqlite:///nothing.db", (), "No such file"),
        ("nothing/*.csv", (), "No such file"),
        ("rows.csv", ("--query", "SELECT 1"), "A query goes to a database"),
        ("sqlite:///rows.db", ("--query", "DELETE FROM drivers"), "cannot be asked so"),
        ("nosuch://rows", (), "cannot be fetched"),
    ],
)
def test_a_source_that_cannot_be_drafted_from_says_why(init, tmp_path, monkeypatch, source, options, words):
    monkeypatch.chdir(tmp_path)
    write_database(tmp_path)
    driver().to_csv("rows.csv", index=False)

    code, printed = init(source, "--target", "is_good", *options)

    assert code == 2
    assert words in " ".join(printed.split())
    assert "secret" not in printed
    assert not (tmp_path / "drafted").exists()


def test_parts_of_other_columns_are_told(init, tmp_path):
    driver().to_csv(tmp_path / "part-0.csv", index=False)
    driver().drop(columns="rate").to_csv(tmp_path / "part-1.csv", index=False)

    code, printed = init(tmp_path / "part-*.csv", "--target", "is_good")

    assert code == 2
    assert "part-1.csv has other columns than" in " ".join(printed.split())


def test_numbers_written_as_text_are_numbers_in_every_kind_of_source(init, tmp_path):
    frame = driver().assign(rate=[str(r) if i % 5 else "" for i, r in enumerate(driver()["rate"])])
    frame.to_parquet(tmp_path / "rows.parquet")

    init(tmp_path / "rows.parquet", "--target", "is_good")

    rate = columns_of(tmp_path / "drafted")["rate"]
    assert (rate["type"], rate["missing"]) == ("float", "median")
    assert ingest(tmp_path / "drafted").rows_quarantined == 0


def test_values_of_several_kinds_in_one_column_are_read_or_ignored(init, tmp_path):
    rows = [
        {"n": i / 7 if i % 9 else "?", "geo": {"lat": i}, "odd": [i] if i % 2 else i, "x": i % 5, "y": i % 2}
        for i in range(90)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    code, printed = init(tmp_path / "rows.jsonl", "--target", "y")

    assert code == 0, printed
    columns = columns_of(tmp_path / "drafted")
    assert (columns["n"]["type"], columns["n"]["missing_codes"]) == ("float", ["?"])
    assert columns["geo"]["role"] == columns["odd"]["role"] == "ignore"
    assert ingest(tmp_path / "drafted").rows_quarantined == 0


def test_numbers_with_currencies_units_and_thousands_are_read(init, tmp_path):
    draw = np.random.default_rng(1)
    amounts = draw.normal(50_000, 9_000, 120).round(2)
    frame = pd.DataFrame(
        {
            "price": [f"${a:,.2f}" for a in amounts],
            "share": [f"{a / 1e3:.1f} %" for a in amounts],
            "weight": [f"{a / 1e3:.0f}kg" for a in amounts],
            "people": [f"{a:,.0f}" for a in amounts],
            "room": [f"{i % 7}{'AB'[i % 2]}" for i in range(120)],
            "y": amounts + draw.normal(0, 3_000, 120) > 50_000,
        }
    )
    frame.to_csv(tmp_path / "rows.csv", index=False)

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    columns = columns_of(tmp_path / "drafted")
    assert columns["room"]["type"] == "category"
    signs = {name: columns[name].get("number_signs") for name in ("price", "share", "weight", "people")}
    assert signs == {"price": ["$", ","], "share": ["%"], "weight": ["kg"], "people": [","]}
    assert (columns["share"]["type"], columns["share"]["unit"]) == ("float", "%")
    assert ingest(tmp_path / "drafted").rows_quarantined == 0
    train = pq.read_table(tmp_path / "drafted" / "dataset" / "train.parquet")
    assert set(train["price"].to_pylist()) <= set(amounts)
    assert set(train["people"].to_pylist()) <= set(amounts.round())


def test_a_german_spreadsheet_with_points_between_thousands_is_read(init, tmp_path):
    amounts = np.random.default_rng(1).normal(50_000, 9_000, 120).round(2)
    german = [f"{a:,.2f} €".translate(str.maketrans(",.", ".,")) for a in amounts]
    frame = pd.DataFrame({"Straße": ["Köln", "München"] * 60, "Umsatz": german, "y": np.arange(120) % 2})
    frame.to_csv(tmp_path / "rows.csv", index=False, sep=";", encoding="cp1252")

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    assert "read as cp1252" in printed
    assert set(columns_of(tmp_path / "drafted")["Umsatz"]["number_signs"]) == {"€", "."}
    ingest(tmp_path / "drafted")
    rows = pq.read_table(tmp_path / "drafted" / "dataset" / "train.parquet")["Umsatz"].to_pylist()
    assert set(rows) <= set(amounts)


def test_a_first_line_that_names_the_target_is_a_header(init, tmp_path):
    driver().rename(columns={"trips": "7", "rate": ""}).to_csv(tmp_path / "rows.csv", index=False)

    code, printed = init(tmp_path / "rows.csv", "--target", "is_good")

    assert code == 0, printed
    assert columns_of(tmp_path / "drafted")["column_7"]["source_name"] == "7"


def test_classes_too_rare_for_every_split_are_set_aside(init, tmp_path):
    frame = pd.DataFrame({"x": np.arange(90) * 7 % 50 / 3, "kind": ["a", "b", "c"] * 29 + ["d", "d", "é f"]})
    frame.to_csv(tmp_path / "rows.csv", index=False)

    code, printed = init(tmp_path / "rows.csv", "--target", "kind")

    assert code == 0, printed
    assert "fewer than 10 rows are set aside (2, 3 rows in all)" in " ".join(printed.split())
    manifest = ingest(tmp_path / "drafted")
    assert (manifest.rows_read, manifest.rows_quarantined) == (90, 3)


def test_too_few_rows_to_divide_are_a_decision(init, tmp_path):
    pd.DataFrame({"x": np.arange(12.0), "y": [0, 0, 0, 1] * 3}).to_csv(tmp_path / "rows.csv", index=False)

    _, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert "too few rows to train, to validate and to test on: 0 (9), 1 (3)" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("cells", "source", "derived"),
    [
        (["1,5", "2,5", "2,5"], "float", "y == 1.5"),
        (["1.000", "2.000", "2.000"], "integer", "y == 1000"),
        (["3 €", "4 €", "4 €"], "integer", "y == 3"),
    ],
)
def test_a_target_of_two_numbers_is_told_apart_however_they_are_written(
    init, tmp_path, cells, source, derived
):
    lines = [f"{i % 7};{i * 7 % 13},25;{cells[i % 3]}" for i in range(90)]
    (tmp_path / "rows.csv").write_text("\n".join(["grade;x;y", *lines, ""]), encoding="utf-8")

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    columns = columns_of(tmp_path / "drafted")
    assert columns["y"]["type"] == source
    assert [c["derived"] for c in columns.values() if "derived" in c] == [derived]
    assert ingest(tmp_path / "drafted").rows_quarantined == 0


def test_thousands_in_groups_that_are_few_are_asked_about(init, tmp_path):
    lines = [f'"{1 + i % 4},000",{i % 2}' for i in range(80)]
    (tmp_path / "rows.csv").write_text("\n".join(["n,y", *lines, ""]), encoding="utf-8")

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 2 or "n" in columns_of(tmp_path / "drafted"), printed
    assert "Traceback" not in printed


def test_a_target_that_one_row_would_decide_is_asked_about(init, tmp_path):
    draw = np.random.default_rng(0)
    price = np.append(draw.normal(100, 10, 119), 1e7)
    pd.DataFrame({"x": draw.normal(size=120), "price": price}).to_csv(tmp_path / "rows.csv", index=False)

    _, printed = init(tmp_path / "rows.csv", "--target", "price")

    assert "price has values far from all that is usual, such as 1e+07" in " ".join(printed.split())


def test_whole_numbers_that_a_float_rounds_are_asked_about_and_tell_rows_apart_as_text(init, tmp_path):
    first = 2**60
    rows = pd.DataFrame(
        {
            "id": [first + i for i in range(80)],
            "account": [first + 3 * i % 40 for i in range(80)],
            "x": range(80),
        }
    ).assign(y=lambda frame: frame["x"] % 3 == 0)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet")

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    drafted = columns_of(tmp_path / "drafted")
    # Eighty different ones, which as floats are one.
    assert (drafted["id"]["role"], drafted["id"]["type"]) == ("entity", "text")
    assert drafted["account"]["type"] == "float"
    text = (tmp_path / "drafted" / "data_dictionary.yaml").read_text()
    assert text.count("TODO: a float rounds whole numbers beyond 2^53") == 1
    assert ingest(tmp_path / "drafted").rows_quarantined == 0

    typed = tmp_path / "typed"
    code, printed = init(tmp_path / "rows.parquet", "--target", "y", folder=typed)
    assert code == 0, printed
    assert (columns_of(typed)["id"]["role"], columns_of(typed)["id"]["type"]) == ("entity", "text")
    assert ingest(typed).rows_quarantined == 0

    # What the source has rounded already is no identifier.
    rows.astype({"id": float}).to_parquet(tmp_path / "rounded.parquet")
    code, printed = init(
        tmp_path / "rounded.parquet", "--target", "y", "--entity", "id", folder=tmp_path / "none"
    )
    assert code == 2 and "CAST(id AS text)" in printed and "Traceback" not in printed


def test_a_target_of_two_great_whole_numbers_is_told_apart(init, tmp_path):
    rows = [f"{i % 7},{2**60 + (i % 3 > 0)}" for i in range(80)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y", *rows]))

    code, printed = init(tmp_path / "rows.csv", "--target", "y")

    assert code == 0, printed
    manifest = ingest(tmp_path / "drafted")
    assert manifest.rows_quarantined == 0
    assert {str(2**60), str(2**60 + 1)} == set(columns_of(tmp_path / "drafted")["y"]["categories"])


@pytest.mark.parametrize(
    ("garbled", "words"), [(0, None), (1, "1 line is UTF-8"), (30, "30 lines are UTF-8")]
)
def test_a_file_of_two_encodings_is_told(init, tmp_path, garbled, words):
    in_utf8 = {4 * place for place in range(1, garbled + 1)}
    lines = [
        f"{('Köln', 'Süd', 'Ost', 'Straße')[i % 4]},{i % 7},{'ny'[i // 3 % 2]}\n".encode(
            "utf-8" if i in in_utf8 else "cp1252"
        )
        for i in range(1, 200)
    ]
    (tmp_path / "rows.csv").write_bytes(b"where,size,ill\n" + b"".join(lines))

    code, printed = init(tmp_path / "rows.csv", "--target", "ill")

    assert code == 0, printed
    assert "the file is read as cp1252" in printed
    assert ("two encodings" in printed) == bool(words)
    assert words is None or words in " ".join(printed.split())


def test_a_folder_of_images_by_class_is_drafted_and_ingested_whole(init, tmp_path):
    images = tmp_path / "images"
    for place in range(60):
        file = images / ("cat", "dog")[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(np.full((200, 100, 3), (place, 90, 30), np.uint8)))
    (images / "dog" / "notes.txt").write_text("two are of a fox")
    (images / "LICENSE.txt").write_text("free")

    code, printed = init(images)

    assert code == 0, printed
    folder = load_project(tmp_path / "drafted")
    column = next(column for column in folder.dictionary.columns if column.name == "image")
    # As high and wide as they are to each other, and in colour as they are.
    assert (column.image.height, column.image.width, column.image.colors) == (64, 32, "rgb")
    assert folder.project.training.convolutions == (32, 64)
    manifest = ingest_data(
        project_path=tmp_path / "drafted",
        source="",
        dataset_path=tmp_path / "dataset",
        quarantine_path=tmp_path / "quarantine",
    )
    assert (sum(manifest.rows.values()), manifest.rows_quarantined) == (60, 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "colour"], "A folder of images has no such columns"),
        (["--entity", "path"], "A folder of images has no such columns"),
        ([], "There is nothing to learn"),
    ],
)
def test_a_folder_of_images_that_cannot_be_drafted_from_says_why(init, tmp_path, options, words):
    file = tmp_path / "images" / "cat" / "1.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(encode_png(np.zeros((9, 9), np.uint8)))

    code, printed = init(tmp_path / "images", *options)

    assert code == 2
    assert words in printed
    assert not (tmp_path / "drafted").exists()


def test_a_table_needs_a_target(init, table, tmp_path):
    code, printed = init(table)

    assert code == 2
    assert "--target COLUMN" in printed
