"""Where a cluster's settings place the features: values in a real Redis, definitions in a database."""

import os
import signal
import subprocess
import sys
import time

import pytest
from feature_stores import Store
from served_bundles import ROW, SPARSE_ROW

from benchmarks.redis_server import run_redis
from feature_repo import online_places
from feature_repo.feature_store import open_feature_store
from mulgil.errors import TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.online_stores import ADDRESS_VARIABLE, PASSWORD_VARIABLE, REGISTRY_VARIABLE, URL_VARIABLE

PASSWORD = "a:b/c@d#e"


@pytest.fixture
def registry_url(tmp_path):
    return f"sqlite:///{tmp_path}/registry_of_all.db"


@pytest.fixture
def server(tmp_path, monkeypatch, registry_url):
    """Set what a step's container finds in its environment on a cluster."""
    with run_redis(tmp_path, flags=("--requirepass", PASSWORD)) as server:
        monkeypatch.delenv(URL_VARIABLE, raising=False)
        monkeypatch.setenv(ADDRESS_VARIABLE, server.connection_string)
        monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
        monkeypatch.setenv(REGISTRY_VARIABLE, registry_url)
        yield server


def read_elsewhere(store, keys):
    """Read as a container does that has nothing but the two places."""
    shared = open_feature_store(
        {"registry_type": "sql", "path": os.environ[REGISTRY_VARIABLE]}, store.place.configuration
    )
    service = shared.get_feature_service(store.reference.name)
    entities = [{"patient_id": key} for key in keys]
    answer = shared.get_online_features(features=service, entity_rows=entities).to_dict()
    return [{name: answer[name][i] for name in ROW} for i in range(len(keys))]


def test_the_values_are_in_redis_and_the_definitions_in_the_database(tmp_path, server):
    store = Store(tmp_path / "a-container")
    store.write({1: ROW, 2: SPARSE_ROW})

    assert store.reference.store_kind == "redis"
    assert PASSWORD not in store.reference.model_dump_json()
    assert read_elsewhere(store, [1, 2, 3]) == [ROW, SPARSE_ROW, dict.fromkeys(ROW)]
    assert not store.layout.registry.exists()


def test_a_run_in_another_container_adds_to_what_is_there(tmp_path, server):
    Store(tmp_path / "a-container").write({1: ROW})
    other = Store(tmp_path / "another")
    other.write({2: SPARSE_ROW}, day=1)

    assert read_elsewhere(other, [1, 2]) == [ROW, SPARSE_ROW]


def test_runs_in_two_containers_at_once_lose_no_row(tmp_path, server):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from feature_stores import Store\n"
        "from served_bundles import ROW, SPARSE_ROW\n"
        "store, first = Store(Path(sys.argv[1])), int(sys.argv[2])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "store.write({first: ROW, first + 1: SPARSE_ROW})\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(SOURCE_ROOT), str(SOURCE_ROOT / "tests")])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / str(first)), str(first)],
            env={**os.environ, **paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (10, 20)
    ]
    # Feast's import takes seconds; then both begin at once.
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0

    assert read_elsewhere(Store(tmp_path / "a-third"), [10, 11, 20, 21]) == [ROW, SPARSE_ROW] * 2


def test_a_lock_lasts_while_its_holder_works_and_ends_with_one_that_was_killed(tmp_path, server, monkeypatch):
    monkeypatch.setattr(online_places, "_LOCK_SECONDS", 1.5)
    monkeypatch.setattr(online_places, "_PATIENCE_SECONDS", 3.0)
    place = Store(tmp_path / "a-container").place
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, time\n"
            "from pathlib import Path\n"
            "from feature_repo import online_places\n"
            "online_places._LOCK_SECONDS = 1.5\n"
            f"with online_places.RedisPlace(online_places.find_redis(), {place.location!r}).held():\n"
            "    print('held', flush=True); time.sleep(60)\n",
        ],
        cwd=SOURCE_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TemporaryError, match="Another run is writing the features"), place.held():
            pass
        os.kill(holder.pid, signal.SIGKILL)
        begun = time.monotonic()
        with place.held():
            assert time.monotonic() - begun < 3.0
    finally:
        holder.kill()
        holder.communicate()


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path, server, monkeypatch):
    monkeypatch.setenv(REGISTRY_VARIABLE, "postgresql://feast:secret@127.0.0.1:1/feast")

    with pytest.raises(TemporaryError, match=REGISTRY_VARIABLE) as raised:
        Store(tmp_path / "a-container").write({1: ROW})

    assert "secret" not in str(raised.value)
