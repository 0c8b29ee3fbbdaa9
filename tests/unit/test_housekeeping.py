"""Runs on the disk: what needs them, and how they go."""

import json
import os
import time
from dataclasses import replace

import pytest
from run_folders import Made

from mulgil.artifacts import RegisteredModel
from mulgil.errors import InputError
from mulgil.local.housekeeping import delete_run, find_needed, measure, size_of, sweep, why_needed
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.plane.revisions import ServiceKey
from mulgil.local.plane.store import PlaneStore
from mulgil.local.run_store import State


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def version_at(uri):
    return RegisteredModel(name="heart", version="3", storage_uri=uri, bundle_fingerprint="b" * 64)


def service_with(uri):
    return {"spec": {"predictor": {"model": {"storageUri": uri}}}}


def test_a_run_that_nothing_needs_may_go():
    assert why_needed([Made().write()], [], [version_at("file:///store/heart/bundle")]) == {}


def test_a_running_run_stays():
    run = replace(Made().write(), state=State.RUNNING)

    assert why_needed([run], [], []) == {run.run_id: "it is running"}


@pytest.mark.parametrize("scheme", ["file://", ""])
def test_a_run_stays_in_which_a_deployed_or_a_registered_bundle_lies(scheme):
    run, other = Made().write(), Made(run_id="other").write()
    uri = f"{scheme}{folder_of(run.run_id)}/tasks/train-model/artifacts/bundle"

    assert why_needed([run, other], [uri], []) == {run.run_id: "what is deployed lies in it"}
    assert why_needed([run, other], [], [version_at(uri)]) == {run.run_id: "the bundle of heart 3 lies in it"}


def test_a_run_is_not_kept_for_one_whose_name_begins_like_its_own():
    run, longer = Made(run_id="run-1").write(), Made(run_id="run-10").write()

    assert list(why_needed([run, longer], [f"file://{folder_of('run-10')}/bundle"], [])) == ["run-10"]


def test_the_run_that_made_what_is_deployed_stays():
    run, other = Made().write(), Made(run_id="other", storage_uri="file:///store/other").write()

    needed = why_needed([run, other], ["/store/heart/bundle"], [])

    assert needed == {run.run_id: "it made heart-disease 3, which is deployed"}


def test_what_the_serving_plane_wants_is_needed_up_or_down(home):
    run, other = Made().write(), Made(run_id="other", storage_uri="file:///store/other").write()
    plane = PlaneStore(home / "serving")
    plane.write_object(ServiceKey("elsewhere", "heart"), service_with("file:///store/heart/bundle"))

    assert list(find_needed([run, other])) == [run.run_id]


def test_a_revision_that_still_serves_while_a_newer_one_starts_is_needed(home):
    old, new = Made().write(), Made(run_id="new", storage_uri="file:///store/new").write()
    key = ServiceKey("default", "heart")
    plane = PlaneStore(home / "serving")
    plane.write_object(key, service_with("file:///store/new"))
    state = json.loads(plane.read_state(key).model_dump_json())
    state["revisions"] = [
        {
            "name": "heart-predictor-00001",
            "workload": "heart-predictor",
            "template": {"predictor": {"model": {"storageUri": "file:///store/heart/bundle"}}},
            "fingerprint": "f",
            "replicas": 1,
        }
    ]
    plane.write_state(key, type(plane.read_state(key)).model_validate(state))

    assert set(find_needed([old, new])) == {old.run_id, new.run_id}


def test_a_deleted_run_is_gone_from_disk_and_record(home):
    store = open_run_store()
    run, other = Made().write(), Made(run_id="other").write()

    delete_run(store, run, {})

    assert [left.run_id for left in store.list_runs()] == [other.run_id]
    assert store.list_tasks(run.run_id) == []
    assert [path.name for path in (home / "runs").iterdir()] == ["other"]


def test_a_run_that_is_needed_is_not_deleted():
    store = open_run_store()
    run = Made().write()

    with pytest.raises(InputError, match="stays: it is running"):
        delete_run(store, run, {run.run_id: "it is running"})

    assert folder_of(run.run_id).is_dir()
    assert store.read_run(run.run_id) == run


def test_a_deletion_that_was_killed_can_be_repeated():
    store = open_run_store()
    run = Made().write()
    folder_of(run.run_id).rename(folder_of("elsewhere"))

    delete_run(store, run, {})

    assert store.list_runs() == []


def test_what_a_killed_deletion_left_is_swept_and_nothing_else(home):
    run = Made().write()
    for name, age in ((".old.aside", 7200), (".new.aside", 10)):
        (home / "runs" / name).mkdir()
        os.utime(home / "runs" / name, (time.time() - age,) * 2)

    sweep(home / "runs")

    assert sorted(path.name for path in (home / "runs").iterdir()) == [".new.aside", run.run_id]


def test_the_size_of_a_folder_is_what_it_takes_on_the_disk(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "link").symlink_to("/usr")

    assert 100_000 <= size_of(tmp_path) <= 120_000
    assert size_of(tmp_path / "nowhere") == 0


def test_the_age_of_a_run_counts_from_its_end():
    run = Made().write()

    assert measure(run).ended_at == run.ended_at
    assert measure(replace(run, ended_at=None)).ended_at == run.started_at
