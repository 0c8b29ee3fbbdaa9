"""Rollouts on the real serving plane: real servers behind a real Envoy, callers that never stop, no hand.

A candidate's fault is put into its own server's process (`faulty_server/sitecustomize.py`), by a variable in
its InferenceService; everything else is what a user has.
"""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from served_bundles import edit_json, network, seal

from mulgil.artifacts import BUNDLE_DICTIONARY
from mulgil.home import SOURCE_ROOT
from mulgil.local.plane.client import ServingPlane
from mulgil.prediction_log.reading import read_predictions
from mulgil.rollout.record import Phase
from mulgil.rollout.store import PAGE, VERDICT, RolloutStore

MULGIL = SOURCE_ROOT / ".venv" / "bin" / "mulgil"
FAULTS = Path(__file__).parent / "faulty_server"
RATE = 240
DECISION_SECONDS = 240.0
# An answer takes a few milliseconds, which others on these cores may double; the slow fault adds twenty.
POLICY = """
rollout:
  strategy: canary
  steps: [10, 50]
  window_seconds: 2
  minimum_requests: 100
  latency: {tolerated_ratio: 1.25, limit_ratio: 2}
  shadow: {requests: 50}
  replay: {requests: 400}
"""


def rows(count, seed):
    rng = np.random.default_rng(seed)
    return [
        {
            "age": int(rng.integers(18, 110)),
            "oldpeak": float(rng.normal(1, 1.2)),
            "exang": bool(rng.integers(2)),
            "thal": str(rng.choice(["3", "6", "7"])),
            "income": float(rng.uniform(1e4, 9e4)),
        }
        for _ in range(count)
    ]


class Callers:
    """Threads that ask for predictions at a steady rate, and count who answered how."""

    def __init__(self, url):
        self.url = f"{url}/v1/models/heart:predict"
        self.answers = {}
        self.told = []
        self.bodies = [json.dumps({"instances": [row]}) for row in rows(2000, seed=5)]
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._call, args=(n,)) for n in range(8)]
        for thread in self.threads:
            thread.start()

    def _call(self, number):
        rng = np.random.default_rng(number)
        pause = len(self.threads) / RATE
        with httpx.Client(timeout=30) as client:
            due = time.monotonic()
            while not self.is_over.is_set():
                body = self.bodies[int(rng.integers(len(self.bodies)))]
                try:
                    answer = client.post(self.url, content=body)
                    key = (answer.headers.get("x-model-version", ""), answer.status_code)
                except httpx.HTTPError as exc:
                    key = ("", type(exc).__name__)
                with self.lock:
                    self.answers[key] = self.answers.get(key, 0) + 1
                    if key[1] == 200:
                        self.told.append((answer.headers["x-request-id"], key[0], answer.json()))
                due = max(due + pause, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def served(self, version):
        return sum(count for (by, _), count in self.answers.items() if by == version)


class Laptop:
    """A home of its own, with version 1 of a model that is called."""

    def __init__(self, folder, monkeypatch, policy=POLICY, logger=None):
        self.folder, self.logger = folder, logger
        self.home = folder / "home"
        monkeypatch.setenv("MULGIL_HOME", str(self.home))
        for version, seed in (("1", 0), ("2", 1)):
            network(seed).write_bundle(folder / f"bundle-{version}")
            if logger:
                keep_nothing_secret(folder / f"bundle-{version}")
        project = folder / "project"
        project.mkdir()
        heart = SOURCE_ROOT / "projects" / "heart_disease"
        (project / "data_dictionary.yaml").write_text((heart / "data_dictionary.yaml").read_text())
        (project / "project.yaml").write_text((heart / "project.yaml").read_text() + policy)
        (folder / "dataset").mkdir()
        pq.write_table(pa.Table.from_pylist(rows(400, seed=3)), folder / "dataset" / "test.parquet")
        self.plane = ServingPlane(preferred_port=18080)
        self.plane.apply(self.manifest("1", bundle="1"))
        self.url = self.plane.wait_ready("heart", "default", 60)["status"]["url"]
        self.callers = Callers(self.url)
        self.store = RolloutStore(self.home / "rollouts")

    def manifest(self, version, bundle, fault=""):
        environment = {"MODEL_VERSION": version}
        if fault:
            environment |= {"PYTHONPATH": f"{FAULTS}:{SOURCE_ROOT}", "FAULT": fault}
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "heart", "namespace": "default"},
            "spec": {
                "predictor": {
                    **({"logger": self.logger} if self.logger else {}),
                    "model": {
                        "modelFormat": {"name": "mulgil"},
                        "storageUri": f"file://{self.folder / f'bundle-{bundle}'}",
                        "env": [{"name": name, "value": value} for name, value in environment.items()],
                    },
                }
            },
        }

    def mulgil(self, *words):
        done = subprocess.run([MULGIL, *words], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def roll_out(self, bundle="1", fault=""):
        time.sleep(3)
        path = self.folder / "candidate.yaml"
        path.write_text(yaml.safe_dump(self.manifest("2", bundle, fault)))
        self.mulgil(
            "rollout",
            "start",
            "-f",
            str(path),
            "--project",
            str(self.folder / "project"),
            "--dataset",
            str(self.folder / "dataset"),
        )
        return self.store.list()[0].rollout_id

    def wait(self, rollout_id):
        deadline = time.monotonic() + DECISION_SECONDS
        while not (record := self.store.read(rollout_id)).phase.is_over:
            assert time.monotonic() < deadline, self.mulgil("rollout", "status")
            time.sleep(0.5)
        return record

    def serving(self):
        return httpx.get(f"{self.url}/v2/models/heart").json()["versions"]


def keep_nothing_secret(bundle):
    """Let no column be sensitive, so that requests can be replayed from the log."""
    path = bundle / BUNDLE_DICTIONARY
    dictionary = json.loads(path.read_text())
    edit_json(path, columns=[{**column, "sensitive": False} for column in dictionary["columns"]])
    seal(bundle)


@pytest.fixture
def laptop(tmp_path, monkeypatch):
    laptop = Laptop(tmp_path, monkeypatch)
    yield laptop
    laptop.callers.stop()
    laptop.plane.down()


def test_a_good_candidate_is_promoted_and_no_request_fails(laptop):
    record = laptop.wait(laptop.roll_out())

    assert record.phase is Phase.PROMOTED, record.reason
    assert laptop.serving() == ["2"]
    assert {status for _, status in laptop.callers.answers} == {200}
    assert "promoted" in (laptop.store.path(record.rollout_id) / PAGE).read_text()


def test_a_better_candidate_that_predicts_differently_as_the_replay_told_is_promoted(laptop):
    record = laptop.wait(laptop.roll_out(bundle="2"))

    assert record.replay.distance > 0.1
    assert record.phase is Phase.PROMOTED, record.reason
    assert {status for _, status in laptop.callers.answers} == {200}


@pytest.mark.parametrize(
    ("fault", "named"),
    [("errors", "requests failed"), ("slow", "took longer"), ("drift", "the replay predicted")],
)
def test_a_candidate_with_a_fault_is_rolled_back_with_no_hand(laptop, fault, named):
    record = laptop.wait(laptop.roll_out(fault=fault))

    verdict = json.loads((laptop.store.path(record.rollout_id) / VERDICT).read_text())
    assert record.phase is Phase.ROLLED_BACK
    assert named in verdict["reason"]
    assert laptop.serving() == ["1"]
    # What the callers saw of version 2, and what the verdict says that they saw.
    assert verdict["exposed_requests"] == pytest.approx(laptop.callers.served("2"), rel=0.2, abs=30)


def test_logged_requests_are_replayed_and_late_labels_send_a_candidate_back(tmp_path, monkeypatch):
    labels = tmp_path / "labels"
    labels.mkdir()
    policy = POLICY.replace("[10, 50]", "[50]") + (
        "  required_metrics: [error_rate, accuracy]\n"
        f"  labels: {{path: {labels}, prediction_id: id, label: ill}}\n"
    )
    laptop = Laptop(tmp_path, monkeypatch, policy, logger={"mode": "all"})
    is_over = threading.Event()

    def learn_the_truth():
        rng = np.random.default_rng(0)
        number = 0
        while not is_over.wait(1):
            with laptop.callers.lock:
                told, laptop.callers.told = laptop.callers.told, []
            rows = [
                {"id": name, "ill": bool((body["predictions"][0] >= 0.5) ^ (rng.random() < wrong))}
                for name, version, body in told
                if (wrong := {"1": 0.1, "2": 0.4}[version])
            ]
            staged = labels / "_staged"
            staged.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
            staged.rename(labels / f"{(number := number + 1):04d}.jsonl")

    labelling = threading.Thread(target=learn_the_truth)
    labelling.start()
    try:
        deadline = time.monotonic() + 90
        while read_predictions(laptop.plane.predictions_folder, "heart", columns=()).num_rows < 1000:
            assert time.monotonic() < deadline
            time.sleep(1)
        record = laptop.wait(laptop.roll_out())
    finally:
        is_over.set()
        labelling.join()
        laptop.callers.stop()
        laptop.plane.down()

    assert record.replay.source == "logged requests"
    assert record.phase is Phase.ROLLED_BACK
    assert "labelled predictions were wrong" in record.reason
    assert {status for _, status in laptop.callers.answers} == {200}


def test_the_driving_process_may_be_killed_and_the_rollout_goes_on(laptop):
    rollout_id = laptop.roll_out()
    killed = set()
    while not laptop.store.read(rollout_id).phase.is_over:
        for pid in driving(rollout_id) - killed:
            time.sleep(4)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            if len(killed) > 4:
                break
        laptop.mulgil("rollout", "status", rollout_id)
        if len(killed) > 4:
            break
    record = laptop.wait(rollout_id)

    assert len(killed) > 4
    assert record.phase is Phase.PROMOTED, record.reason
    assert {status for _, status in laptop.callers.answers} == {200}


def driving(rollout_id):
    """The processes that drive a rollout."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if b"drive" in words and rollout_id.encode() in words:
            found.add(int(folder.name))
    return found


def test_a_person_aborts_it_whatever_the_numbers_say(laptop):
    rollout_id = laptop.roll_out()
    while laptop.store.read(rollout_id).percent == 0:
        time.sleep(0.2)

    told = laptop.mulgil("rollout", "abort", rollout_id)

    assert "A person aborted it" in told
    assert laptop.serving() == ["1"]
    assert {status for _, status in laptop.callers.answers} == {200}
