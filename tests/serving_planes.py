"""Serving planes with real servers behind a real Envoy, a look behind them, and traffic on them."""

import contextlib
import socket
import threading
import time

import httpx
from served_bundles import ROW, edit_json, network, seal

from mulgil.local.plane import processes
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.revisions import ServiceKey
from mulgil.local.plane.store import PlaneStore

SECONDS = 20.0


def write_bundles(folder):
    """Two models that predict differently, and one whose warm-up fails."""
    for name, seed in (("first", 0), ("second", 1), ("broken", 0)):
        network(seed).write_bundle(folder / name)
    edit_json(folder / "broken" / "example.json", prediction=0.123)
    seal(folder / "broken")
    return folder


class Laptop:
    """A plane in a folder of its own, and a look behind it."""

    def __init__(self, folder):
        self.folder = folder
        self.plane = ServingPlane(folder, preferred_port=free_port())
        self.store = PlaneStore(folder.resolve())

    def deploy(self, bundle, version="1", name="heart", namespace="default"):
        self.plane.apply(manifest(bundle, version, name, namespace))
        return self.plane.wait_ready(name, namespace, SECONDS)["status"]["url"]

    def server(self, name="heart", namespace="default"):
        state = self.store.read_state(ServiceKey(namespace, name))
        return state.find(state.latest_ready).servers[0].process

    @property
    def supervisor(self):
        return self.store.read_record().supervisor

    @property
    def envoy(self):
        return self.store.read_record().envoy.process

    def routes(self):
        """Which routes Envoy says that it works with."""
        address = (self.store.envoy_folder / "admin_address.txt").read_text()
        return httpx.get(f"http://{address}/stats?filter=rds.*version_text").text

    def processes(self):
        return processes.find_marked(self.store.folder)


@contextlib.contextmanager
def a_laptop(folder):
    """A laptop, whose plane is down at the end with every process gone."""
    laptop = Laptop(folder)
    yield laptop
    laptop.plane.down()
    assert laptop.processes() == []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def manifest(bundle, version="1", name="heart", namespace="default"):
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "mulgil"},
                    "storageUri": bundle.as_uri(),
                    "env": [{"name": "MODEL_VERSION", "value": version}],
                }
            }
        },
    }


def predict(url, name="heart", row=ROW):
    answer = httpx.post(f"{url}/v1/models/{name}:predict", json={"instances": [row]}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-model-version"], answer.json()["predictions"][0]


def wait_until(is_so, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Traffic:
    """Requests one after another on two connections, until told to stop."""

    def __init__(self, url):
        self.versions = []
        self.failures = []
        self._url = f"{url}/v1/models/heart:predict"
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def _ask(self):
        with httpx.Client(timeout=10) as client:
            while not self._is_over.wait(0.005):
                try:
                    answer = client.post(self._url, json={"instances": [ROW]})
                except httpx.HTTPError as exc:
                    self.failures.append(repr(exc))
                else:
                    self.versions.append(answer.headers.get("x-model-version"))
                    if answer.status_code != 200:
                        self.failures.append(answer.text)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def share_of(url, requests, **headers):
    """How many of so many requests each version answered."""
    counts = {}
    with httpx.Client(timeout=10, headers=headers) as client:
        for _ in range(requests):
            answer = client.post(f"{url}/v1/models/heart:predict", json={"instances": [ROW]})
            assert answer.status_code == 200, answer.text
            version = answer.headers["x-model-version"]
            counts[version] = counts.get(version, 0) + 1
    return counts
