"""Which rows a rollout replays: what callers asked lately, or else the test split."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kserve_cluster import isvc
from served_bundles import DICTIONARY

from mulgil.artifacts import BUNDLE_DICTIONARY
from mulgil.contract.rollout import Rollout
from mulgil.local.plane.client import ServingPlane
from mulgil.prediction_log.parquet import RECORD_FIELDS
from mulgil.rollout.record import RolloutRecord
from mulgil.rollout.replayed_rows import find_rows

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
COLUMNS = ["age", "thal"]


@pytest.fixture
def rollout(tmp_path, monkeypatch):
    """A rollout of a bundle that lies on this machine, with a test split of ages from 1000 on."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / BUNDLE_DICTIONARY).write_text(DICTIONARY.model_dump_json())
    split = {"age": range(1000, 1300), "thal": ["3"] * 300, "disease": [True] * 300}
    pq.write_table(
        pa.table({name: list(values) for name, values in split.items()}), tmp_path / "test.parquet"
    )
    stable = isvc("1")
    stable["spec"]["predictor"]["model"]["storageUri"] = bundle.as_uri()
    return RolloutRecord(
        rollout_id="heart-1",
        service="heart",
        namespace="default",
        driver="local",
        source={"kind": "plane"},
        policy=Rollout(),
        stable=stable,
        candidate=isvc("2"),
        stable_version="1",
        candidate_version="2",
        dataset_path=str(tmp_path),
        created_at=0.0,
        deadline_at=1.0,
        since=0.0,
    )


def log(count, version="1", **columns):
    """So many predictions a second apart, with ages from 0 on."""
    folder = ServingPlane().predictions_folder / "date=2026-11-24" / "model=heart" / f"version={version}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "_id": str(i),
            "_source": "server",
            "_instance": 0,
            "_time": NOON + timedelta(seconds=i),
            "_status": 200,
            "_namespace": "default",
            "age": i,
            "thal": "6",
            **columns,
        }
        for i in range(count)
    ]
    types = {"age": pa.int64(), "thal": pa.string(), "income": pa.string()}
    schema = pa.schema([*RECORD_FIELDS, *((n, t) for n, t in types.items() if n in rows[0])])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "part-1.parquet")


def ages(rollout, columns=COLUMNS, most=250):
    rows, source = find_rows(rollout, columns, most)
    return [row["age"] for row in rows], source


def test_a_version_that_was_used_is_replayed_what_its_callers_asked_last(rollout):
    log(400)

    assert ages(rollout) == (list(range(150, 400)), "logged requests")
    assert find_rows(rollout, COLUMNS, 1)[0] == [{"age": 399, "thal": "6"}]


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_version_that_was_hardly_used_is_replayed_the_test_split(rollout, version):
    # Of the candidate's own, none counts.
    log(400 if version == "2" else 199, version)

    assert ages(rollout) == (list(range(1000, 1250)), "test rows")


def test_a_service_of_the_same_name_in_another_namespace_is_not_replayed(rollout):
    log(400, _namespace="staging")

    assert ages(rollout)[1] == "test rows"


def test_a_model_that_reads_what_is_logged_as_a_hash_is_replayed_the_test_split(rollout):
    log(400, income="5f2a")

    assert ages(rollout, [*COLUMNS, "income"])[1] == "test rows"


def test_a_model_that_reads_what_was_not_logged_is_replayed_the_test_split(rollout):
    log(400)

    assert ages(rollout, [*COLUMNS, "exang"])[1] == "test rows"


def test_without_either_there_is_nothing_to_replay(rollout):
    assert find_rows(rollout.model_copy(update={"dataset_path": None}), COLUMNS, 10) == ([], "nothing")
