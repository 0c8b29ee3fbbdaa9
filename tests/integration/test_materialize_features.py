"""The component `materialize_features` on a generated dataset, with the real Feast."""

from __future__ import annotations

import fcntl
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from feast.protos.feast.core.Feature_pb2 import FeatureSpecV2
from feast.protos.feast.core.FeatureView_pb2 import FeatureViewSpec
from feast.protos.feast.core.Registry_pb2 import Registry
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue

from components.materialize_features import dataset, standing
from components.materialize_features.__main__ import build_parser, main
from components.materialize_features.core import materialize_features
from components.materialize_features.dataset import open_splits
from components.materialize_features.offline import join_features
from components.materialize_features.online import check_parity, sample_latest
from components.materialize_features.staging import staged_store
from feature_repo import point_in_time_offline_store
from feature_repo.feature_store import CONFIGURATION, open_feature_store
from feature_repo.layout import StoreLayout
from feature_repo.online_places import SqlitePlace
from mulgil.artifacts import SPLITS, Check, DatasetManifest, FeatureServiceReference, Verdict
from mulgil.contract import load_project
from mulgil.errors import InputError, NotReconciledError, PermanentError
from mulgil.home import SOURCE_ROOT
from mulgil.online_rows import RowForm, key_writer

FINGERPRINT = "f" * 64
START = datetime(2020, 1, 1, 12, tzinfo=UTC)

PROJECT = """\
name: some-project
problem: {goal: To be tested., success_measure: Green.}
task: binary_classification
source: {kind: csv, location: rows.csv}
"""

DICTIONARY = """\
columns:
  - {name: key, role: entity, type: ENTITY_TYPE, description: What a row is about.}
  - {name: seen_at, role: event_timestamp, type: timestamp, description: When.}
  - {name: weight, type: float, missing: mean, description: Body weight.}
  - {name: visits, type: VISITS_TYPE, missing: median, description: Visits before.}
  - {name: smoker, type: boolean, missing: most_frequent, description: Whether the patient smokes.}
  - {name: stage, type: category, categories: [1, 2], missing: new_category, description: Stage., SENSITIVE}
  - {name: note, role: ignore, type: text, description: Not kept.}
  - {name: ill, role: target, type: boolean, description: The outcome.}
"""


@dataclass(frozen=True)
class Case:
    """A project, its dataset and the places of the outputs."""

    folder: Path
    rows: pa.Table

    @property
    def paths(self) -> dict[str, Path]:
        return {
            "project_path": self.folder / "project",
            "dataset_path": self.folder / "dataset",
            "validation_verdict_path": self.folder / "verdict.json",
            "training_rows_path": self.folder / "out" / "rows",
            "feature_service_path": self.folder / "out" / "service.json",
        }

    @property
    def flags(self) -> list[str]:
        return [
            part for name, path in self.paths.items() for part in (f"--{name.replace('_', '-')}", str(path))
        ]

    def run(self) -> FeatureServiceReference:
        return materialize_features(**self.paths)

    def describe(self, *, entity: str = "integer", visits: str = "integer", sensitive: bool = False) -> None:
        text = DICTIONARY.replace("ENTITY_TYPE", entity).replace("VISITS_TYPE", visits)
        text = text.replace("SENSITIVE", f"sensitive: {str(sensitive).lower()}")
        project = self.paths["project_path"]
        project.mkdir(parents=True, exist_ok=True)
        (project / "project.yaml").write_text(PROJECT)
        (project / "data_dictionary.yaml").write_text(text)

    def ingest(self, rows: pa.Table) -> Case:
        """Write the dataset as `ingest_data` does, three of five rows to train."""
        dataset = self.paths["dataset_path"]
        dataset.mkdir(parents=True, exist_ok=True)
        place = np.arange(rows.num_rows) % 5
        splits = {"train": place < 3, "validation": place == 3, "test": place == 4}
        for split, chosen in splits.items():
            pq.write_table(rows.filter(pa.array(chosen)), dataset / f"{split}.parquet")
        DatasetManifest(
            fingerprint=FINGERPRINT,
            dictionary_fingerprint="d" * 64,
            source="generated",
            rows_read=rows.num_rows,
            rows={split: int(chosen.sum()) for split, chosen in splits.items()},
            rows_quarantined=0,
            rows_deduplicated=0,
        ).write(dataset / "manifest.json")
        return Case(self.folder, rows)

    def judge(
        self, *, is_approved: bool = True, gate: str = "validate_data", subject: str = FINGERPRINT
    ) -> None:
        check = Check(name="anomalies", is_passed=is_approved, reason="weight is out of range")
        Verdict.of(gate, subject, [check]).write(self.paths["validation_verdict_path"])


def generate(entity: str = "integer", seed: int = 0) -> pa.Table:
    """Make 40 entities at three times each, shuffled, some values missing, types at their edges."""
    random = np.random.default_rng(seed)
    order = random.permutation(120)
    numbers = [int(i) % 40 for i in order]
    weights = [5e-324, 0.1 + 0.2, -1.7976931348623157e308, 0.0, *random.normal(size=116)]
    visits = [2**53, -(2**53), 0, *(int(value) for value in random.integers(-9, 9, size=117))]

    def some(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([None if random.random() < 0.25 else value for value in values], kind)

    return pa.table(
        {
            "key": pa.array(numbers, pa.int64())
            if entity == "integer"
            else pa.array([f"물-{number}" for number in numbers], pa.string()),
            "seen_at": pa.array(
                [START + timedelta(days=int(i) // 40, microseconds=int(i)) for i in order],
                pa.timestamp("us", "UTC"),
            ),
            "weight": some(weights, pa.float64()),
            "visits": some(visits, pa.int64()),
            "smoker": some([bool(value) for value in random.integers(0, 2, size=120)], pa.bool_()),
            "stage": some([str(value) for value in random.integers(1, 3, size=120)], pa.string()),
            "ill": pa.array([bool(value) for value in random.integers(0, 2, size=120)], pa.bool_()),
        }
    )


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreLayout:
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    return StoreLayout(tmp_path / "home" / "feature_store")


@pytest.fixture
def make_case(tmp_path: Path, layout: StoreLayout) -> Callable[..., Case]:
    def make(entity: str = "integer", rows: pa.Table | None = None, **dictionary: Any) -> Case:
        case = Case(tmp_path, pa.table({})).ingest(generate(entity) if rows is None else rows)
        case.describe(entity=entity, **dictionary)
        case.judge()
        return case

    return make


def stored(reference: FeatureServiceReference) -> dict[bytes, bytes]:
    """Every row in a version's online store."""
    database = sqlite3.connect(reference.online_store)
    found = database.execute(f"SELECT entity_key, row FROM {reference.project}_{reference.name}").fetchall()
    database.close()
    return dict(found)


def assert_latest_are_answered(case: Case, reference: FeatureServiceReference, layout: StoreLayout) -> None:
    """Hold what the online store answers against the latest row of each of the 40 entities."""
    store = open_feature_store(layout.registry, Path(reference.online_store))
    latest = {row["key"]: row for row in sorted(case.rows.to_pylist(), key=lambda row: row["seen_at"])}
    online = store.get_online_features(
        store.get_feature_service(reference.name), [{"key": key} for key in latest]
    ).to_dict()
    for feature in reference.features:
        assert online[feature] == [row[feature] for row in latest.values()]
    assert len(latest) == 40


@pytest.mark.parametrize("entity", ["integer", "text"])
def test_training_rows_are_the_dataset_value_for_value_and_type_for_type(
    entity: str, make_case: Callable[..., Case]
) -> None:
    case = make_case(entity)

    case.run()

    dataset, training = case.paths["dataset_path"], case.paths["training_rows_path"]
    for split in SPLITS:
        came_in, went_out = (pq.read_table(path / f"{split}.parquet") for path in (dataset, training))
        assert went_out.schema == came_in.schema
        assert went_out.equals(came_in)
        assert went_out["weight"].null_count > 0
    assert (training / "manifest.json").read_bytes() == (dataset / "manifest.json").read_bytes()


def test_read_some_rows_at_a_time_all_is_as_it_is_at_once(
    make_case: Callable[..., Case], layout: StoreLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case("text")
    reference = case.run()
    at_once = stored(reference), layout.offline("some-project", reference.store_version)
    rows = pq.read_table(at_once[1])

    for module in (dataset, point_in_time_offline_store):
        monkeypatch.setattr(module, "count_batch_rows", lambda columns: 7)
    assert case.run() == reference

    assert pq.ParquetFile(at_once[1]).num_row_groups > 15
    assert pq.read_table(at_once[1]).equals(rows)
    assert stored(reference) == at_once[0]
    for split in SPLITS:
        came_in, went_out = (
            pq.read_table(case.paths[path] / f"{split}.parquet")
            for path in ("dataset_path", "training_rows_path")
        )
        assert went_out.equals(came_in)


@pytest.mark.parametrize("entity", ["integer", "text"])
def test_the_online_store_answers_with_the_latest_row_of_every_entity(
    entity: str, make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case(entity)

    reference = case.run()

    assert FeatureServiceReference.read(case.paths["feature_service_path"]) == reference
    assert_latest_are_answered(case, reference, layout)


def test_times_that_nanoseconds_do_not_reach_are_told_apart_as_any_others(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    rows = generate()
    years = {True: (1500, 1600, 1650), False: (2020, 2300, 2400)}
    moments = [
        row["seen_at"].replace(year=years[row["key"] < 20][(row["seen_at"] - START).days])
        for row in rows.to_pylist()
    ]
    case = make_case(rows=rows.set_column(1, "seen_at", pa.array(moments, pa.timestamp("us", "UTC"))))

    reference = case.run()

    for split in SPLITS:
        came_in, went_out = (
            pq.read_table(case.paths[path] / f"{split}.parquet")
            for path in ("dataset_path", "training_rows_path")
        )
        assert went_out.equals(came_in)
    assert_latest_are_answered(case, reference, layout)


def test_all_rows_at_one_time_and_a_column_without_any_value_pass(make_case: Callable[..., Case]) -> None:
    rows = generate().slice(0, 30)
    for name, values in {
        "key": pa.array(range(30), pa.int64()),
        "seen_at": pa.array([START] * 30, pa.timestamp("us", "UTC")),
        "smoker": pa.nulls(30, pa.bool_()),
        "visits": pa.nulls(30, pa.int64()),
    }.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    case = make_case(rows=rows)

    case.run()

    train = pq.read_table(case.paths["training_rows_path"] / "train.parquet")
    assert train.equals(pq.read_table(case.paths["dataset_path"] / "train.parquet"))


def test_the_join_answers_with_what_was_known_at_the_time(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case()
    reference = case.run()
    store = open_feature_store(layout.registry, Path(reference.online_store))
    history = sorted((r for r in case.rows.to_pylist() if r["key"] == 7), key=lambda row: row["seen_at"])
    asked = [
        history[1]["seen_at"] - timedelta(microseconds=1),
        history[1]["seen_at"],
        history[2]["seen_at"] + timedelta(days=10_000),
    ]
    rows = pa.Table.from_pylist([history[0] | {"seen_at": time} for time in asked], case.rows.schema)
    dictionary = load_project(case.paths["project_path"]).dictionary

    service = store.get_feature_service(reference.name)
    joined = pa.concat_tables(join_features(store, service, rows, dictionary, rows.schema)).to_pylist()

    assert [{f: row[f] for f in reference.features} for row in joined] == [
        {f: row[f] for f in reference.features} for row in history
    ]


def test_a_row_that_feasts_own_join_drops_is_kept_by_ours_and_an_error_with_feasts(
    make_case: Callable[..., Case], layout: StoreLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case()
    reference = case.run()
    dictionary = load_project(case.paths["project_path"]).dictionary
    rows = case.rows.slice(0, 10)
    before_all = rows.slice(0, 2).set_column(
        1, "seen_at", pa.array([START - timedelta(days=1)] * 2, pa.timestamp("us", "UTC"))
    )
    text = CONFIGURATION.read_text()
    feasts = tmp_path / "feasts.yaml"
    ours = "feature_repo.point_in_time_offline_store.PointInTimeOfflineStore"
    assert ours in text
    feasts.write_text(text.replace(ours, "dask"))

    def join(asked: pa.Table) -> pa.Table:
        store = open_feature_store(layout.registry, Path(reference.online_store))
        service = store.get_feature_service(reference.name)
        return pa.concat_tables(join_features(store, service, asked, dictionary, asked.schema))

    again = rows.slice(0, 3)
    assert join(pa.concat_tables([rows, again])).slice(10).equals(again.select(join(again).column_names))
    for feature in reference.features:
        assert join(before_all)[feature].null_count == 2

    monkeypatch.setattr("feature_repo.feature_store.CONFIGURATION", feasts)
    for surplus in (again, before_all):
        asked = pa.concat_tables([rows, surplus])
        with pytest.raises(PermanentError, match=rf"rows={asked.num_rows}\n.*rows=10"):
            join(asked)


def test_two_rows_of_one_entity_at_one_time_are_refused_with_their_number(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    rows = generate()
    case = make_case(rows=pa.concat_tables([rows, rows.slice(0, 3)]))

    with pytest.raises(InputError, match=r"3 of 123 rows repeat the key and the seen_at"):
        case.run()

    assert not layout.root.exists()


def test_without_an_approval_of_this_dataset_nothing_is_written_and_the_exit_code_is_3(
    make_case: Callable[..., Case], layout: StoreLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    case = make_case()
    verdict = case.paths["validation_verdict_path"]

    case.judge(is_approved=False)
    assert main(case.flags) == 3
    assert "weight is out of range" in capsys.readouterr().err
    for wrong in ({"gate": "evaluate_model"}, {"subject": "e" * 64}):
        case.judge(**wrong)
        assert main(case.flags) == 3
    verdict.unlink()
    assert main(case.flags) == 3

    assert not layout.root.exists()
    assert not case.paths["training_rows_path"].exists()


def test_a_dataset_of_another_dictionary_is_refused_naming_the_column(
    make_case: Callable[..., Case], capsys: pytest.CaptureFixture[str]
) -> None:
    case = make_case(visits="float")

    assert main(case.flags) == 2

    error = capsys.readouterr().err
    assert "visits int64" in error
    assert "Traceback" not in error


def test_a_second_run_gives_the_same_version_and_values(make_case: Callable[..., Case]) -> None:
    case = make_case()

    first = case.run()
    before = stored(first)
    training = pq.read_table(case.paths["training_rows_path"] / "train.parquet")
    second = case.run()

    assert second == first
    assert stored(second) == before
    assert len(before) == 40
    assert pq.read_table(case.paths["training_rows_path"] / "train.parquet").equals(training)


def test_unchanged_definitions_share_one_store_which_keeps_entities_that_left_the_data(
    make_case: Callable[..., Case],
) -> None:
    case = make_case()
    first = case.run()
    before = stored(first)
    fewer = generate(seed=1)
    case.ingest(fewer.filter(pc.less(fewer["key"], 30)))

    second = case.run()

    after = stored(second)
    assert second == first
    assert after.keys() == before.keys()
    assert after != before


def test_changed_definitions_get_a_store_of_their_own_and_the_old_one_stays_as_it_was(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case()
    first = case.run()
    before = Path(first.online_store).read_bytes()
    place = case.rows.schema.get_field_index("visits")
    case.ingest(case.rows.set_column(place, "visits", case.rows["visits"].cast(pa.float64())))
    case.describe(visits="float")

    second = case.run()

    assert second.store_version != first.store_version
    assert second.online_store != first.online_store
    assert Path(first.online_store).read_bytes() == before
    store = open_feature_store(layout.registry, Path(first.online_store))
    answer = store.get_online_features(store.get_feature_service(first.name), [{"key": 7}]).to_dict()
    row = max((r for r in case.rows.to_pylist() if r["key"] == 7), key=lambda row: row["seen_at"])
    assert {feature: answer[feature] for feature in first.features} == {
        feature: [row[feature]] for feature in first.features
    }


def test_a_reader_of_the_old_store_reads_on_undisturbed_while_a_new_one_takes_its_place(
    make_case: Callable[..., Case],
) -> None:
    case = make_case()
    reference = case.run()
    before = stored(reference)
    query = f"SELECT entity_key, row FROM {reference.project}_{reference.name}"
    reader = sqlite3.connect(f"file:{reference.online_store}?mode=ro", uri=True)
    cursor = reader.execute(query)
    seen = [cursor.fetchone()]

    case.ingest(generate(seed=1))
    case.run()

    # Both a read that was under way and a new one on the old connection see one state, the old.
    seen += cursor.fetchall()
    assert dict(seen) == before
    assert dict(reader.execute(query)) == before
    reader.close()
    assert stored(reference) != before


def test_an_error_on_the_way_leaves_registry_and_store_as_they_were(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case()
    reference = case.run()
    online = Path(reference.online_store)
    before = layout.registry.read_bytes(), online.read_bytes()

    with pytest.raises(RuntimeError, match="on the way"), staged_store(layout, SqlitePlace(online)) as store:
        store.delete_feature_service(reference.name)
        raise RuntimeError("on the way")

    assert (layout.registry.read_bytes(), online.read_bytes()) == before
    assert not layout.staging.exists()


def test_a_run_killed_on_the_way_leaves_the_old_store_and_the_next_run_succeeds(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case()
    reference = case.run()
    before = layout.registry.read_bytes(), Path(reference.online_store).read_bytes()
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from components.materialize_features.staging import staged_store\n"
        "from feature_repo.layout import StoreLayout\n"
        "from feature_repo.online_places import SqlitePlace\n"
        "with staged_store(StoreLayout(Path(sys.argv[1])), SqlitePlace(Path(sys.argv[2]))) as store:\n"
        "    store.delete_feature_view(sys.argv[3])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    killed = subprocess.run(
        [sys.executable, "-c", program, layout.root, reference.online_store, reference.name],
        env=os.environ | {"PYTHONPATH": str(SOURCE_ROOT)},
        timeout=120,
    )

    assert killed.returncode == -signal.SIGKILL
    assert layout.staging.exists()
    assert (layout.registry.read_bytes(), Path(reference.online_store).read_bytes()) == before
    assert case.run() == reference
    assert not layout.staging.exists()


def test_a_second_run_waits_for_the_first(make_case: Callable[..., Case], layout: StoreLayout) -> None:
    case = make_case()
    layout.root.mkdir(parents=True)
    results: list[FeatureServiceReference] = []
    with layout.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: results.append(case.run()))
        second.start()
        second.join(timeout=1)
        assert second.is_alive()
        assert not layout.registry.exists()
    second.join(timeout=60)

    assert [result.name for result in results] == [case.run().name]


def test_a_broken_registry_is_an_error_that_names_the_file(
    make_case: Callable[..., Case], layout: StoreLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    case = make_case()
    layout.root.mkdir(parents=True)
    layout.registry.write_bytes(b"\xff not a registry")

    assert main(case.flags) == 4

    error = capsys.readouterr().err
    assert str(layout.registry) in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("column", "value", "is_sensitive"),
    [
        ("weight", 0.5, False),
        ("visits", None, False),
        ("stage", "9", True),
    ],
    ids=["another value", "a lost value", "a sensitive column"],
)
def test_an_online_value_that_differs_is_an_error_naming_column_and_entity(
    column: str, value: object, is_sensitive: bool, make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case(sensitive=is_sensitive)
    reference = case.run()
    dictionary = load_project(case.paths["project_path"]).dictionary
    splits = open_splits(case.paths["dataset_path"], dictionary)
    latest = splits.take(sample_latest(splits.read(["key", "seen_at"]), 200))
    victim = next(row for row in latest if row[column] not in (None, False))
    store = open_feature_store(layout.registry, Path(reference.online_store))
    service = store.get_feature_service(reference.name)
    assert check_parity(store, service, latest, dictionary) == 40

    types = {feature.name: str(feature.dtype) for feature in service.feature_view_projections[0].features}
    form = RowForm(list(types.items()))
    changed = [value if name == column else victim[name] for name in types]
    table = f"{reference.project}_{reference.name}"
    write_key = key_writer("key", is_integer=True)
    with sqlite3.connect(reference.online_store) as database:
        done = database.execute(
            f"UPDATE {table} SET row = ? WHERE entity_key = ?",
            (form.pack(0, None, changed), write_key(victim["key"])),
        )
    database.close()
    assert done.rowcount == 1

    with pytest.raises(PermanentError) as error:
        check_parity(store, service, latest, dictionary)
    assert f"in {column} of key {victim['key']}." in str(error.value)
    assert ("(hidden)" in str(error.value)) == is_sensitive
    if not is_sensitive:
        assert f"{column}={victim[column]!r}" in str(error.value)


def test_the_sample_is_bounded_the_same_each_time_and_of_latest_rows_only() -> None:
    rows = generate()

    places = sample_latest(rows.select(["key", "seen_at"]), 15)
    sample = rows.take(places).to_pylist()

    assert places == sample_latest(rows.select(["key", "seen_at"]), 15)
    assert len({row["key"] for row in sample}) == 15
    for row in sample:
        assert row["seen_at"] == max(r["seen_at"] for r in rows.to_pylist() if r["key"] == row["key"])


def test_the_program_says_what_it_did_and_nothing_of_feasts(
    make_case: Callable[..., Case], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(make_case().flags) == 0

    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == [
        "feature service",
        "training rows",
        "online store",
    ]
    assert said.err == ""


def test_a_missing_dataset_is_the_users_mistake(make_case: Callable[..., Case]) -> None:
    case = make_case()
    (case.paths["dataset_path"] / "test.parquet").unlink()

    with pytest.raises(InputError, match=r"test\.parquet"):
        case.run()


def observe(case: Case) -> dict[str, str]:
    inputs = {"project_path": str(case.paths["project_path"]), "dataset": case.paths["dataset_path"]}
    return standing.observe(inputs, {"feature_service": case.paths["feature_service_path"]})


def test_a_store_stands_as_it_was_left_until_something_in_it_changes(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    case = make_case()
    reference = case.run()
    left = observe(case)
    assert observe(case) == left

    # Another project's definitions in the same registry are none of this one's.
    other = make_case(
        visits="float", rows=generate().set_column(3, "visits", generate()["visits"].cast("float64"))
    )
    other.run()
    case = make_case()
    reference.write(case.paths["feature_service_path"])
    assert observe(case) == left

    with sqlite3.connect(reference.online_store) as database:
        database.execute("CREATE TABLE something (one INTEGER)")
    database.close()
    assert {name for name, fact in observe(case).items() if fact != left[name]} == {"online store"}

    # The same step again leaves another state, which stands too.
    case.run()
    assert observe(case) != left


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lambda layout, reference: Path(reference.online_store).unlink(), "rows.db"),
        (lambda layout, reference: layout.registry.unlink(), "registry.db"),
        (lambda layout, reference: layout.registry.write_bytes(b"\xff"), "no registry of Feast's"),
        (
            lambda layout, reference: layout.offline("some-project", reference.store_version).unlink(),
            "features.parquet",
        ),
        (
            lambda layout, reference: layout.dataset("some-project", reference.store_version).write_text("e"),
            "values of another dataset",
        ),
    ],
    ids=["online store", "registry", "broken registry", "offline store", "another dataset"],
)
def test_what_is_gone_or_anothers_does_not_stand(
    make_case: Callable[..., Case], layout: StoreLayout, lose: Callable[..., Any], reason: str
) -> None:
    case = make_case()
    lose(layout, case.run())

    with pytest.raises(NotReconciledError, match=reason):
        observe(case)


def test_values_in_redis_are_never_taken_for_standing(
    make_case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case()
    case.run()
    monkeypatch.setenv("MULGIL_ONLINE_STORE_URL", "redis://127.0.0.1:1")

    with pytest.raises(NotReconciledError, match="Redis"):
        observe(case)


def test_the_registrys_entries_are_where_feast_puts_them() -> None:
    names = {field.number: field.name for field in Registry.DESCRIPTOR.fields}

    assert [names[number] for number in sorted(standing._ENTRIES)] == [
        "entities",
        "feature_views",
        "feature_services",
        "data_sources",
    ]


def field_at(place: tuple[int, ...]) -> FieldDescriptor:
    """The field of Feast's registry that some numbers lead to."""
    message = Registry.DESCRIPTOR
    for number in place[:-1]:
        message = message.fields_by_number[number].message_type
    return message.fields_by_number[place[-1]]


def maps_in(message: Message, place: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Where something stands in a map."""
    for field in message.DESCRIPTOR.fields:
        within, value = (*place, field.number), getattr(message, field.name)
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if value:
                yield within
        elif field.is_repeated:
            for one in value:
                yield from maps_in(one, within)
        elif message.HasField(field.name):
            yield from maps_in(value, within)


@pytest.mark.parametrize("place", sorted(standing.MAPS), ids=str)
def test_only_what_feast_calls_a_map_is_read_without_its_order(place: tuple[int, ...]) -> None:
    assert field_at(place).message_type.GetOptions().map_entry


def test_each_map_that_our_definitions_fill_is_read_without_its_order(
    make_case: Callable[..., Case], layout: StoreLayout
) -> None:
    make_case().run()
    registry = Registry.FromString(layout.registry.read_bytes())

    filled = {place for place in maps_in(registry) if place[0] in standing._ENTRIES}

    assert filled
    assert filled <= standing.MAPS


def said(*parts: FeatureViewSpec) -> str:
    """What is said of the view whose definition is written as these parts, one after the other."""
    written = b"".join(part.SerializeToString() for part in parts)
    # Its only field is of the same number and kind as the definition in its view.
    view = BytesValue(value=written).SerializeToString()
    return standing.say_in_one_order(view, (6,))


def test_the_pairs_of_a_map_have_no_order_and_a_list_has_one() -> None:
    tags = [FeatureViewSpec(tags={"owner": "us"}), FeatureViewSpec(tags={"unit": "cm"})]
    features = [
        FeatureViewSpec(features=[FeatureSpecV2(name=name, tags=tag)])
        for name, tag in [("weight", {"unit": "kg"}), ("height", {"unit": "cm"})]
    ]

    assert said(*tags, *features) == said(*reversed(tags), *features)
    assert said(*tags, *features) != said(*tags, *reversed(features))
    assert said(*tags) != said(FeatureViewSpec(tags={"owner": "cm"}), FeatureViewSpec(tags={"unit": "us"}))
    assert said(*tags) != said(tags[0])


def test_looking_whether_the_store_stands_imports_no_feast() -> None:
    code = "import sys, components.materialize_features.standing as s; print('feast' in sys.modules)"
    looked = subprocess.run(
        [sys.executable, "-c", code], cwd=SOURCE_ROOT, capture_output=True, text=True, timeout=60
    )

    assert looked.stdout.strip() == "False", looked.stderr


def test_the_flags_are_the_parameters_of_the_core() -> None:
    destinations = {action.dest for action in build_parser()._actions} - {"help"}

    assert destinations == set(inspect.signature(materialize_features).parameters)
