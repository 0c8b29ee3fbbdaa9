"""The serving plane's state on the disk."""

import pytest

from mulgil.local.plane.revisions import ServerKey, ServiceKey, ServiceState
from mulgil.local.plane.store import PlaneStore
from mulgil.local.plane.traffic_policy import TrafficPolicy

KEY = ServiceKey("clinic", "heart")


@pytest.fixture
def store(tmp_path):
    return PlaneStore(tmp_path / "serving")


def test_what_was_written_is_read(store):
    store.write_object(KEY, {"kind": "InferenceService"})
    store.write_state(KEY, ServiceState(observed_generation=3))

    assert store.list_keys() == [KEY]
    assert store.read_object(KEY) == {"kind": "InferenceService"}
    assert store.read_state(KEY).observed_generation == 3


def test_a_service_is_listed_until_both_what_is_wanted_and_what_is_known_are_gone(store):
    store.write_object(KEY, {})
    store.write_state(KEY, ServiceState())

    store.delete_object(KEY)
    assert store.list_keys() == [KEY]
    store.forget(KEY)
    assert store.list_keys() == []


def test_forgetting_what_is_known_never_takes_what_is_wanted(store):
    # A client may be applying a service anew in the very moment that the supervisor forgets the old one.
    store.write_object(KEY, {"kind": "InferenceService"})

    store.forget(KEY)

    assert store.read_object(KEY) == {"kind": "InferenceService"}


def test_a_lock_is_one_holders(store):
    with store.lock("client"):
        with store.try_lock("client") as is_mine:
            assert not is_mine
        with store.try_lock("supervisor") as is_mine:
            assert is_mine


def test_the_end_of_a_log_is_read(store):
    server = ServerKey("heart-predictor-00001", 0)
    path = store.log_path(KEY, server)
    assert store.read_log_tail(KEY, server) == ""
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {n}\n" for n in range(100)), encoding="utf-8")

    assert store.read_log_tail(KEY, server, lines=2) == "line 98\nline 99"


def test_what_another_version_knew_is_not_known(store):
    store.write_state(KEY, ServiceState(observed_generation=3))
    path = store.folder / "states" / "clinic" / "heart.json"
    path.write_text('{"observed_generation": 3, "a_field_of_old": 1}', encoding="utf-8")

    assert store.read_state(KEY) == ServiceState()


def test_a_policy_holds_until_the_service_is_deleted(store):
    assert store.read_policy(KEY) == TrafficPolicy()
    store.write_policy(KEY, TrafficPolicy(mirror_percent=5))
    assert store.read_policy(KEY).mirror_percent == 5

    store.delete_object(KEY)

    assert store.read_policy(KEY) == TrafficPolicy()
