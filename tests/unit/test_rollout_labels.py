"""Labels: what was true, joined with what was predicted."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mulgil.contract.labels import LabelKind, Labels
from mulgil.errors import InputError, TemporaryError
from mulgil.prediction_log.parquet import RECORD_FIELDS
from mulgil.rollout.labels import LabelFiles
from mulgil.rollout.sources import Arms

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ARMS = Arms("heart", "default", stable="1", canary="2")
BY_ID = {"prediction_id": "id", "label": "ill"}
BY_ENTITY = {"entity": "patient_id", "time": "at", "label": "ill"}


def predicted(name, version, prediction, *, minutes=0, instance=0, instances=1, answer=None, **columns):
    return {
        "_id": name,
        "_source": "server",
        "_prediction_id": name,
        "_instance": instance,
        "_instances": instances,
        "_time": NOON + timedelta(minutes=minutes),
        "_status": 200,
        "_namespace": "default",
        "_version": version,
        "_prediction": prediction,
        "_answer": answer,
        **columns,
    }


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


class Scene:
    def __init__(self, folder):
        self.log, self.labels = folder / "predictions", folder / "labels"
        self.labels.mkdir()

    def predict(self, *rows):
        for number, row in enumerate(rows):
            place = self.log / "date=2026-11-24" / "model=heart" / f"version={row['_version']}"
            place.mkdir(parents=True, exist_ok=True)
            extra = [pa.field(name, pa.int64()) for name in row if not name.startswith("_")]
            table = pa.Table.from_pylist([row], pa.schema([*RECORD_FIELDS, *extra]))
            pq.write_table(table, place / f"part-{number}.parquet")

    def tell(self, name, *rows):
        path = self.labels / name
        table = pa.Table.from_pylist(list(rows))
        match path.suffix:
            case ".parquet":
                pq.write_table(table, path)
            case ".csv":
                pyarrow.csv.write_csv(table, path)
            case _:
                path.write_text("".join(f"{json.dumps(row, default=str)}\n" for row in rows))

    def source(self, **policy):
        return LabelFiles(Labels(path=str(self.labels), **policy), self.log, look_seconds=0)

    def losses(self, since=NOON, **policy):
        judged = self.source(**policy).judge(ARMS, since.timestamp())
        return {version: arm.losses.tolist() for version, arm in judged.items()}


@pytest.mark.parametrize("file", ["a.parquet", "a.csv", "a.jsonl"])
def test_a_label_that_names_a_prediction_judges_it(scene, file):
    scene.predict(predicted("a", "1", 0.9), predicted("b", "1", 0.2), predicted("c", "2", 0.7))
    scene.tell(
        file, *({"id": name, "ill": truth} for name, truth in (("a", True), ("b", True), ("c", False)))
    )

    assert scene.losses(**BY_ID) == {"1": [0.0, 1.0], "2": [1.0]}
    assert scene.losses(**BY_ID, threshold=0.1) == {"1": [0.0, 0.0], "2": [1.0]}


def test_predictions_without_a_label_and_labels_without_a_prediction_are_left_out(scene):
    scene.predict(predicted("a", "1", 0.9), predicted("b", "1", 0.2))
    scene.tell("a.csv", {"id": "a", "ill": 1}, {"id": "never asked", "ill": 1})

    assert scene.losses(**BY_ID) == {"1": [0.0], "2": []}


def test_labels_may_come_at_any_time_in_more_files_and_the_last_word_counts(scene):
    scene.predict(predicted("a", "1", 0.9), predicted("b", "1", 0.2))
    scene.tell("1.csv", {"id": "a", "ill": "no"})
    assert scene.losses(**BY_ID)["1"] == [1.0]

    scene.tell("2.csv", {"id": "a", "ill": "yes"}, {"id": "b", "ill": "yes"})
    scene.tell("_unfinished.csv", {"other": 1})

    assert scene.losses(**BY_ID)["1"] == [0.0, 1.0]


def test_a_request_of_several_rows_is_judged_row_by_row_where_labels_say_which(scene):
    scene.predict(
        *(predicted("a", "1", score, instance=i, instances=2) for i, score in enumerate((0.9, 0.2)))
    )
    scene.tell("a.csv", {"id": "a", "row": 0, "ill": 1}, {"id": "a", "row": 1, "ill": 1})

    assert scene.losses(**BY_ID, instance="row")["1"] == [0.0, 1.0]
    assert scene.losses(**BY_ID)["1"] == []


def test_an_entitys_label_judges_its_newest_prediction_before_and_each_one_once(scene):
    scene.predict(
        predicted("old", "1", 0.9, minutes=0, patient_id=7),
        predicted("new", "2", 0.1, minutes=30, patient_id=7),
        predicted("late", "1", 0.9, minutes=90, patient_id=7),
        predicted("other", "1", 0.1, minutes=0, patient_id=8),
    )
    after = {"patient_id": 7, "ill": 1}
    scene.tell(
        "a.jsonl",
        after | {"at": NOON + timedelta(minutes=60)},
        after | {"at": NOON + timedelta(minutes=61)},
        {"patient_id": 8, "ill": 1, "at": NOON + timedelta(hours=2)},
        {"patient_id": 8, "ill": 0, "at": NOON - timedelta(hours=2)},
    )

    assert scene.losses(**BY_ENTITY) == {"1": [1.0], "2": [1.0]}
    assert scene.losses(**BY_ENTITY, within_hours=1) == {"1": [], "2": [1.0]}


def test_of_classes_the_called_one_is_judged_and_of_numbers_the_squared_error(scene):
    scene.predict(
        predicted("a", "1", None, answer='{"label": "red", "probabilities": {"red": 0.9, "white": 0.1}}'),
        predicted("b", "2", 12.0),
    )
    scene.tell("a.jsonl", {"id": "a", "ill": "white"})
    assert scene.losses(**BY_ID) == {"1": [1.0], "2": []}

    scene.tell("a.jsonl", {"id": "b", "ill": 10})
    assert scene.losses(**BY_ID, kind=LabelKind.NUMBER) == {"1": [], "2": [4.0]}


def test_of_a_quantile_a_number_that_is_too_low_costs_by_it_and_one_too_high_by_the_rest(scene):
    scene.predict(predicted("low", "1", 8.0), predicted("high", "2", 12.0))
    scene.tell("a.jsonl", {"id": "low", "ill": 10}, {"id": "high", "ill": 10})

    losses = scene.losses(**BY_ID, kind=LabelKind.NUMBER, quantile=0.9)

    assert losses == {"1": [pytest.approx(1.8)], "2": [pytest.approx(0.2)]}


def test_keys_that_look_like_numbers_are_keys(scene):
    scene.predict(predicted("007", "1", 0.9), predicted("1e5", "1", 0.2))
    scene.tell("a.csv", {"id": "007", "ill": 1}, {"id": "1e5", "ill": 1})
    assert scene.losses(**BY_ID)["1"] == [0.0, 1.0]


def test_an_entitys_key_is_the_same_as_a_number_and_as_a_text(scene):
    scene.predict(predicted("a", "1", 0.9, patient_id=7))
    for key in (7, 7.0, "7"):
        scene.tell("a.jsonl", {"patient_id": key, "ill": 0, "at": str(NOON + timedelta(hours=1))})
        assert scene.losses(**BY_ENTITY)["1"] == [1.0]


def test_labels_that_say_nothing_are_left_out_and_cost_nobody_anything(scene):
    scene.predict(predicted("a", "1", 0.9), predicted("b", "1", None, answer="no JSON"))
    scene.tell(
        "a.jsonl",
        {"id": "a", "ill": None},
        {"id": None, "ill": 1},
        {"id": "a", "ill": 7},
        {"id": "b", "ill": 1},
    )
    assert scene.losses(**BY_ID)["1"] == []

    scene.tell("a.jsonl", {"id": "a", "ill": "many"})
    assert scene.losses(**BY_ID, kind=LabelKind.NUMBER)["1"] == []


def test_predictions_of_before_are_not_asked_for(scene):
    scene.predict(predicted("a", "1", 0.9), predicted("b", "1", 0.2, minutes=10))
    scene.tell("a.csv", {"id": "a", "ill": 0}, {"id": "b", "ill": 0})

    assert scene.losses(since=NOON + timedelta(minutes=5), **BY_ID)["1"] == [0.0]


def test_labels_are_looked_at_no_more_often_than_is_of_use(scene):
    moments = iter([0.0, 0.0, 30.0, 61.0, 61.0])
    source = LabelFiles(
        Labels(path=str(scene.labels), **BY_ID), scene.log, look_seconds=60, clock=lambda: next(moments)
    )

    assert [source.judge(ARMS, 0.0) is None for _ in range(3)] == [False, True, False]


def test_where_nothing_is_yet_nothing_is_judged(tmp_path):
    source = LabelFiles(Labels(path=str(tmp_path / "none"), **BY_ID), tmp_path, look_seconds=0)

    source.check()
    assert source.judge(ARMS, 0.0)["1"].losses.tolist() == []


def test_a_column_that_is_not_there_is_named_with_those_that_are(scene):
    scene.tell("a.csv", {"identity": "a", "ill": 1})

    with pytest.raises(InputError, match=r"a\.csv lack id\.\n.*id, ill.*\n.*identity, ill"):
        scene.source(**BY_ID).check()


@pytest.mark.parametrize(("name", "error"), [("a.xlsx", InputError), ("a.parquet", TemporaryError)])
def test_a_file_that_cannot_be_read_is_named(scene, name, error):
    (scene.labels / name).write_text("no")

    with pytest.raises(error, match=rf"labels/{name}"):
        scene.source(**BY_ID).check()


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "y"},
        {"label": "y", "entity": "e"},
        {"label": "y", "time": "t"},
        {**BY_ID, **BY_ENTITY},
        {**BY_ENTITY, "instance": "i"},
        {**BY_ID, "path": "labels"},
        {**BY_ID, "threshold": 1},
    ],
)
def test_labels_name_predictions_in_one_way_and_are_found_from_anywhere(wrong):
    with pytest.raises(ValidationError):
        Labels(**{"path": "/labels", **wrong})
