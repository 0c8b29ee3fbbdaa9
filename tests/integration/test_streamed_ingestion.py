"""Ingestion batch by batch against the plainest possible one: a row at a time, all in memory, in pandas."""

import csv
import io
import json
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import components.ingest_data.csv_source as csv_source
import components.ingest_data.parquet_source as parquet_source
from components.ingest_data.core import ingest_data
from components.ingest_data.identity import find_repetitions, identify_rows
from mulgil.artifacts import SPLITS, DatasetManifest
from mulgil.contract import ColumnRole, MissingPolicy, load_project
from mulgil.contract.dictionary import canonical_code
from mulgil.contract.values import ValueMismatchError, check_domain, read_text
from mulgil.contract.violations import ViolationPolicy

PROJECT = """\
name: streamed
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: csv, location: rows.csv, missing_values: ["", "?"]}
split: {kind: KIND, seed: SEED}
"""

DICTIONARY = """\
columns:
  - {name: who, role: entity, type: text, description: d}
  - {name: seen, role: event_timestamp, type: timestamp, description: d}
  - {name: size, type: float, missing: mean, missing_codes: [-999], description: d}
  - {name: weight, type: float, range: [-100, 1.0e+30], on_violation: quarantine, description: d}
  - {name: count, type: integer, missing: median, description: d}
  - {name: flag, type: boolean, missing: most_frequent, description: d}
  - {name: code, type: category, categories: [1, a], missing: new_category, description: d,
     on_violation: quarantine}
  - {name: note, role: ignore, type: text, description: d}
  - {name: status, role: ignore, type: integer, description: d}
  - {name: ill, role: target, type: boolean, derived: status > 0, description: d}
  - {name: share, type: float, missing: mean, derived: weight / count, description: d}
"""

# What is read by Arrow, what is left to the contract's reader, and what no reader takes.
NUMBERS = [
    "1",
    "1.0",
    "-0.0",
    "0",
    " 7 ",
    "1e3",
    "+4",
    "1_0",
    ".5",
    "5.",
    "nan",
    "inf",
    "1e400",
    "0x10",
    "?",
    "",
]
CELLS = {
    "who": st.sampled_from(["a", "b", "é", " a", ""]),
    "seen": st.sampled_from(["2024-01-01", "2024-01-01T10:00:00+09:00", "2999-01-01", "01/02/2024", "?"]),
    "size": st.sampled_from([*NUMBERS, "-999", "-999.0"]),
    "weight": st.sampled_from(["1", "2.5", "x", "1e2"]) | st.floats(allow_nan=False, width=32).map(repr),
    "count": st.sampled_from([*NUMBERS, "1.5", "9007199254740993", "12"]),
    "flag": st.sampled_from(["yes", "No", "1", "0.0", "maybe", "?"]),
    "code": st.sampled_from(["1", "1.0", "a", "b", " a", "?"]),
    "note": st.sampled_from(["", "x", "x ", 'say "so"', "two\nlines"]),
    "status": st.sampled_from(["0", "1", "2.0", "?", "one"]),
}
ROWS = st.lists(
    st.fixed_dictionaries(CELLS).map(lambda row: list(row.values()))
    | st.lists(st.sampled_from(["1", "x"]), min_size=1, max_size=10),
    max_size=12,
)


def write(folder: Path, rows: list[list[str]], kind: str, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "project.yaml").write_text(PROJECT.replace("KIND", kind).replace("SEED", str(seed)))
    (folder / "data_dictionary.yaml").write_text(DICTIONARY)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([list(CELLS), *rows])
    (folder / "rows.csv").write_text(text.getvalue(), encoding="utf-8")


def enough(rows: list[list[str]]) -> list[list[str]]:
    """Surely right rows, so many that a random split has both classes everywhere; then those drawn."""
    right = [
        [f"p{i}", f"2024-01-{1 + i // 4:02}", str(i), "1", "1", "yes", "a", "n", str(i % 2)]
        for i in range(90)
    ]
    return [*right, *rows]


def expected(folder: Path, rows: list[list[str]]) -> tuple[pd.DataFrame, list[int], int]:
    """Read the rows one by one: those that are kept, the numbers of those set aside, and the repetitions."""
    dictionary = load_project(folder).dictionary
    kept, aside, seen = [], [], set()
    for number, cells in enumerate((row for row in rows if row), start=1):
        values, is_wrong = {}, len(cells) != len(CELLS)
        for column, cell in [] if is_wrong else zip(dictionary.columns[:-2], cells, strict=True):
            if column.name == "note":
                values[column.name] = cell
                continue
            text = cell.strip()
            try:
                value = None if text in ("", "?", *column.missing_codes) else read_text(column, text)
                if column.on_violation is ViolationPolicy.QUARANTINE and value is not None:
                    check_domain(column, value)
            except ValueMismatchError:
                is_wrong = True
                continue
            if value is not None and canonical_code(value) in column.missing_codes:
                value = None
            values[column.name] = value
            is_needed = column.role not in (ColumnRole.FEATURE, ColumnRole.IGNORE)
            if value is None and (is_needed or (column.name == "weight")):
                is_wrong = True
            if isinstance(value, datetime) and value > datetime.now(UTC) + timedelta(days=1):
                is_wrong = True
        if not is_wrong and values["status"] is None:
            is_wrong = True
        if is_wrong:
            aside.append(number)
            continue
        identity = tuple(values.values())
        if identity not in seen:
            seen.add(identity)
            kept.append({**values, "ill": values["status"] > 0, "share": share_of(values)})
    names = [column.name for column in dictionary.kept]
    return pd.DataFrame(kept)[names], aside, len([r for r in rows if r]) - len(kept) - len(aside)


def share_of(values: dict) -> float | None:
    """Divide as a model's graph does: float32's numbers, in float64."""
    weight, count = (None if values[n] is None else float(np.float32(values[n])) for n in ("weight", "count"))
    return None if count is None or count == 0 else float(np.float32(weight / count))


def ingest(folder: Path) -> DatasetManifest:
    for name in ("dataset", "quarantine"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return ingest_data(
        project_path=folder, source="", dataset_path=folder / "dataset", quarantine_path=folder / "quarantine"
    )


def table_of(folder: Path) -> list[dict]:
    return [row for s in SPLITS for row in pq.read_table(folder / "dataset" / f"{s}.parquet").to_pylist()]


def assert_it_is_split_as(kind: str, frame: pd.DataFrame, folder: Path) -> None:
    """Hold each split against what pandas makes of all rows; a fifth each are for test and validation."""
    parts = {s: pq.read_table(folder / "dataset" / f"{s}.parquet").to_pandas() for s in SPLITS}
    sizes = [len(parts[split]) for split in ("validation", "test")]
    if kind in ("random", "stratified"):
        assert sizes == [round(len(frame) / 5)] * 2
    if kind == "stratified":
        for part in parts.values():
            assert abs(part["ill"].sum() - frame["ill"].mean() * len(part)) < 2
    if kind == "group":
        whose = pd.concat([part[["who"]].assign(split=split) for split, part in parts.items()])
        assert whose.groupby("who")["split"].nunique().max() == 1
    if kind == "time":
        seen = pd.to_datetime(frame["seen"], utc=True).sort_values(ignore_index=True)
        is_test = seen >= seen[round(len(seen) * 0.8)]
        is_train = seen < seen[round(len(seen) * 0.6)]
        expected_times = {
            "train": seen[is_train],
            "validation": seen[~is_train & ~is_test],
            "test": seen[is_test],
        }
        for split, times in expected_times.items():
            assert sorted(parts[split]["seen"]) == list(times)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ROWS,
    st.sampled_from(["random", "stratified", "group", "time"]),
    st.integers(0, 3),
    st.integers(1, 9),
    st.randoms(),
)
def test_batches_of_any_size_give_what_one_row_at_a_time_gives(
    tmp_path, monkeypatch, drawn, kind, seed, size, order
):
    rows = enough(drawn + drawn[:2])
    order.shuffle(rows)
    write(tmp_path, rows, kind, seed)
    frame, aside, repeated = expected(tmp_path, rows)

    monkeypatch.setattr(csv_source, "BATCH_ROWS", size)
    manifest = ingest(tmp_path)
    lines = (tmp_path / "quarantine" / "rows.jsonl").read_text(encoding="utf-8").splitlines()

    assert [json.loads(line)["row_number"] for line in lines] == aside
    assert (manifest.rows_quarantined, manifest.rows_deduplicated) == (len(aside), repeated)
    key = ["who", "seen", "size", "weight", "count", "flag", "code", "ill", "share"]
    found = sorted(json.dumps([row[k] for k in key], default=str) for row in table_of(tmp_path))
    wanted = [
        json.dumps([None if pd.isna(row[k]) else row[k] for k in key], default=str)
        for row in frame.astype(object).to_dict("records")
    ]
    assert found == sorted(wanted)
    assert_it_is_split_as(kind, frame, tmp_path)
    monkeypatch.setattr(csv_source, "BATCH_ROWS", 1 << 16)
    assert ingest(tmp_path) == manifest


def test_a_typed_table_gives_the_same_in_batches_as_at_once(tmp_path, monkeypatch):
    rows = enough([])
    write(tmp_path, rows, "stratified", 0)
    project = (tmp_path / "project.yaml").read_text()
    line = next(line for line in project.splitlines() if line.startswith("source"))
    (tmp_path / "project.yaml").write_text(
        project.replace(line, "source: {kind: parquet, location: rows.parquet}")
    )
    frame = pd.DataFrame(rows, columns=list(CELLS))
    frame["flag"] = [random.Random(i).choice([True, False, None]) for i in range(90)]
    for name, kind in {"size": "float32", "weight": "int8", "count": "Int64", "status": "float64"}.items():
        frame[name] = frame[name].astype(float).astype(kind)
    frame["seen"] = pd.to_datetime(frame["seen"])
    frame.to_parquet(tmp_path / "rows.parquet")
    whole = ingest(tmp_path)
    monkeypatch.setattr(parquet_source, "BATCH_ROWS", 7)

    assert ingest(tmp_path) == whole
    assert (whole.rows_read, whole.rows_quarantined) == (90, 0)


def test_rows_are_told_apart_by_each_of_their_values():
    import pyarrow as pa

    columns = [
        pa.array(["a", "a", None, "b", "a", "a"]),
        pa.array([0.0, -0.0, 0.0, 0.0, None, 0.0]),
        pa.array([1, 1, 1, 1, 1, 2]),
        pa.array([True, True, True, True, True, True]),
    ]
    assert find_repetitions(identify_rows(columns)).tolist() == [False, True, False, False, False, False]


def test_the_weight_column_is_needed_as_the_reference_says(tmp_path):
    write(tmp_path, enough([]), "random", 0)
    needed = [c.name for c in load_project(tmp_path).dictionary.features if c.missing is MissingPolicy.REJECT]
    assert needed == ["weight"]


@pytest.mark.parametrize("compress", ["gzip", "bz2", "lzma"])
def test_a_compressed_file_is_read_and_a_broken_one_is_refused(tmp_path, capsys, compress):
    module = __import__(compress)
    write(tmp_path, enough([]), "random", 0)
    whole = ingest(tmp_path)
    content = module.compress((tmp_path / "rows.csv").read_bytes())
    (tmp_path / "rows.csv").write_bytes(content)
    assert ingest(tmp_path).fingerprint == whole.fingerprint

    from mulgil.errors import InputError

    (tmp_path / "rows.csv").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="compressed and damaged"):
        ingest(tmp_path)
