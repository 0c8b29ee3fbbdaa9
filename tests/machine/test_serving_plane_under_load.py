"""The serving plane under 200 requests a second, while it is changed and parts of it are killed."""

import itertools
import os
import signal
import socket
import threading
import time

import httpx
import pytest
from served_bundles import ROW, network

from mulgil.local.plane import processes
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.revisions import ServiceKey
from mulgil.local.plane.store import PlaneStore

RATE = 200
THREADS = 8
SECONDS = 30.0


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("first", 0), ("second", 1)):
        network(seed).write_bundle(folder / name)
    return folder


@pytest.fixture
def plane(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plane = ServingPlane(tmp_path / "serving", preferred_port=port)
    plane.store = PlaneStore((tmp_path / "serving").resolve())
    yield plane
    plane.down()


def manifest(bundle, version, **fields):
    model = {
        "modelFormat": {"name": "mulgil"},
        "storageUri": bundle.as_uri(),
        "env": [{"name": "MODEL_VERSION", "value": version}],
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "heart"},
        "spec": {"predictor": {"model": model, **fields}},
    }


class Load:
    """So many requests a second, each at its own time whatever became of the one before."""

    def __init__(self, url):
        self.failures = []
        self.answers = []
        self._url = f"{url}/v1/models/heart:predict"
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(THREADS)]

    def _ask(self, number):
        begun = time.monotonic() + number / RATE
        with httpx.Client(timeout=10) as client:
            for turn in itertools.count():
                due = begun + turn * THREADS / RATE
                if self._is_over.wait(max(0.0, due - time.monotonic())):
                    return
                try:
                    answer = client.post(self._url, json={"instances": [ROW]})
                    said = answer.headers.get("x-model-version") if answer.status_code == 200 else answer.text
                except httpx.HTTPError as exc:
                    answer, said = None, repr(exc)
                if answer is not None and answer.status_code == 200:
                    self.answers.append((time.monotonic(), said))
                else:
                    self.failures.append((time.monotonic(), said))

    def __enter__(self):
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self.rate = len(self.answers) / (time.monotonic() - self._begun)


def serve(plane, item):
    plane.apply(item)
    return plane.wait_ready("heart", "default", SECONDS)["status"]["url"]


def test_a_release_from_5_to_100_percent_costs_no_request(plane, bundles):
    url = serve(plane, manifest(bundles / "first", "1"))

    with Load(url) as load:
        time.sleep(2)
        for percent in (5, 25, 50, 75, 100):
            serve(plane, manifest(bundles / "second", "2", canaryTrafficPercent=percent))
            time.sleep(4)
        serve(plane, manifest(bundles / "second", "2"))
        time.sleep(4)

    assert load.failures == []
    assert load.rate > 0.8 * RATE
    assert {version for _, version in load.answers[-400:]} == {"2"}


def test_one_of_two_stable_servers_killed_costs_at_most_the_request_in_flight(plane, bundles):
    url = serve(plane, manifest(bundles / "first", "1", minReplicas=2))
    killed, other = (
        s.process for s in plane.store.read_state(ServiceKey("default", "heart")).servers.values()
    )

    with Load(url) as load:
        time.sleep(2)
        at = time.monotonic()
        os.kill(killed.pid, signal.SIGKILL)
        time.sleep(5)

    assert processes.is_alive(other)
    assert len(load.failures) <= 1
    assert [failure for when, failure in load.failures if when > at + 0.5] == []
    assert len(plane.state("heart").revisions[0].ready_servers) == 2


def test_a_killed_supervisor_leaves_the_traffic_alone_and_comes_back_knowing_its_state(plane, bundles):
    serve(plane, manifest(bundles / "first", "1"))
    url = serve(plane, manifest(bundles / "second", "2", canaryTrafficPercent=20))
    before = plane.get("heart")
    servers = {key: server.process for key, server in plane.state("heart").servers.items()}
    supervisor = plane.store.read_record().supervisor

    with Load(url) as load:
        time.sleep(1)
        os.kill(supervisor.pid, signal.SIGKILL)
        time.sleep(5)

    assert load.failures == []
    assert plane.is_up
    assert plane.store.read_record().supervisor != supervisor
    assert plane.get("heart") == before
    assert {key: server.process for key, server in plane.state("heart").servers.items()} == servers
