"""`mulgil run --runner docker`: pipeline and endpoint in containers, and the outcome of processes.

It needs a Docker engine and what `make images` built of this very code.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from mulgil.artifacts import DATASET_MANIFEST, DatasetManifest, Evaluation, Verdict
from mulgil.home import SOURCE_ROOT
from mulgil.local.docker.launcher import HOME_LABEL, TASK_LABEL
from mulgil.local.plane.server_container import PLANE_LABEL

PROJECT = SOURCE_ROOT / "projects" / "breast_cancer"
# The project's promise of two runs that are to be alike, and the model server's own.
TOLERANCE = 1e-5


@dataclass
class Home:
    """A home of Mulgil's, and the command line on it."""

    folder: Path

    def command(self, *words):
        environment = {**os.environ, "MULGIL_HOME": str(self.folder), "COLUMNS": "400"}
        return [sys.executable, "-m", "mulgil.cli", *words], environment

    def mulgil(self, *words, code=0):
        command, environment = self.command(*words)
        done = subprocess.run(
            command,
            env=environment,
            cwd=SOURCE_ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=560,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def artifact(self, task, name):
        (*_, newest) = sorted((self.folder / "runs").iterdir(), key=lambda run: run.stat().st_mtime)
        (place,) = newest.glob(f"tasks/**/{task}/artifacts/{name}")
        return place

    @property
    def endpoint(self):
        return json.loads(self.artifact("deploy-model", "endpoint").read_text(encoding="utf-8"))

    def predict(self, rows):
        url = f"{self.endpoint['url']}/v1/models/breast-cancer:predict"
        answer = httpx.post(url, json={"instances": rows}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]


def docker(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.split()


def containers_of(home, label=HOME_LABEL):
    folder = home.folder if label == HOME_LABEL else home.folder / "serving"
    return docker("ps", "--all", "--quiet", "--filter", f"label={label}={folder}")


def inspect(container):
    (facts,) = json.loads(" ".join(docker("inspect", container)))
    return facts


def wait_for(look, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def contained(tmp_path_factory):
    """A home after a run in containers."""
    home = Home(tmp_path_factory.mktemp("contained"))
    home.said = home.mulgil("run", str(PROJECT), "--runner", "docker")
    yield home
    home.mulgil("down")
    assert containers_of(home, PLANE_LABEL) == []


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A home after a run of processes."""
    home = Home(tmp_path_factory.mktemp("local"))
    home.mulgil("run", str(PROJECT))
    yield home
    home.mulgil("down")


def test_containers_give_the_data_the_verdicts_and_the_predictions_of_processes(contained, local):
    homes = (contained, local)
    datasets = [home.artifact("ingest-data", "dataset") / DATASET_MANIFEST for home in homes]
    ours, theirs = (DatasetManifest.read(path).fingerprint for path in datasets)
    assert ours == theirs
    for gate in ("validate-data", "evaluate-model"):
        ours, theirs = (Verdict.read(home.artifact(gate, "verdict")) for home in homes)
        assert ours.is_approved
        for our, their in zip(ours.checks, theirs.checks, strict=True):
            assert (our.name, our.is_passed) == (their.name, their.is_passed)
            assert our.value == (their.value and pytest.approx(their.value, abs=TOLERANCE))
    ours, theirs = (Evaluation.read(home.artifact("evaluate-model", "evaluation")) for home in homes)
    for name, metric in ours.metrics.items():
        assert metric.value == pytest.approx(theirs.metrics[name].value, abs=TOLERANCE)
    rows = pq.read_table(contained.artifact("ingest-data", "dataset") / "test.parquet").to_pylist()
    instances = [{name: row[name] for name in contained.endpoint["example"]} for row in rows]
    assert contained.predict(instances) == pytest.approx(local.predict(instances), abs=TOLERANCE)


def test_the_endpoint_is_a_container_that_may_do_nothing_else(contained):
    (server,) = containers_of(contained, PLANE_LABEL)
    facts = inspect(server)

    assert facts["Config"]["Image"].startswith("mulgil/model-server:")
    assert facts["Config"]["User"].split(":")[0] not in ("", "0", "root")
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    assert all(not mount["RW"] for mount in facts["Mounts"])
    (binding,) = next(iter(facts["HostConfig"]["PortBindings"].values()))
    assert binding["HostIp"] == "127.0.0.1"


def test_a_server_whose_process_is_killed_comes_back(contained):
    row = contained.endpoint["example"]
    before = contained.predict([row])
    (server,) = containers_of(contained, PLANE_LABEL)
    state = yaml.safe_load(
        (contained.folder / "serving" / "states" / "default" / "breast-cancer.json").read_text(
            encoding="utf-8"
        )
    )
    (process,) = (s["process"]["pid"] for r in state["revisions"] for s in r["servers"])

    os.kill(process, signal.SIGKILL)

    wait_for(lambda: containers_of(contained, PLANE_LABEL) not in ([], [server]))
    assert wait_for(lambda: _try(lambda: contained.predict([row]))) == pytest.approx(before, abs=TOLERANCE)


def _try(ask):
    try:
        return ask()
    except (AssertionError, httpx.HTTPError):
        return None


def test_what_a_run_left_is_taken_from_the_cache_and_a_plan_says_so(contained):
    plan = contained.mulgil("plan", str(PROJECT), "--runner", "docker")

    assert [line.split()[:2] for line in plan.splitlines()][:4] == [
        ["ingest-data", "cached"],
        ["validate-data", "cached"],
        ["materialize-features", "reconcile"],
        ["train-model", "cached"],
    ]
    assert "environment: this machine's own now" in contained.mulgil("plan", str(PROJECT))


def test_a_step_that_fails_keeps_its_log_and_its_exit_code(contained):
    said = contained.mulgil(
        *("run", str(PROJECT), "--runner", "docker", "--set", "gates.floors.roc_auc=0.99999"), code=3
    )

    assert "evaluate-model failed; the end of its log" in said
    assert "0.99999" in said
    assert "--runner docker" in said
    assert containers_of(contained) == []


def test_a_killed_runner_leaves_no_container_behind_its_next_run(contained):
    words = ("run", str(PROJECT), "--runner", "docker", "--set", "split.seed=12345")
    command, environment = contained.command(*words)
    runner = subprocess.Popen(
        command, env=environment, cwd=SOURCE_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    (orphan,) = wait_for(lambda: containers_of(contained))
    facts = inspect(orphan)
    runner.kill()
    runner.wait()

    assert facts["Config"]["Labels"][TASK_LABEL] == "ingest-data"
    assert facts["HostConfig"]["NetworkMode"] == "none"
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert facts["HostConfig"]["Memory"] == facts["HostConfig"]["MemorySwap"] == 2 * 2**30
    assert facts["HostConfig"]["NanoCpus"] == 10**9
    assert facts["Config"]["User"].split(":")[0] not in ("", "0", "root")
    # Another run of the same home, which has no step to run but those that look at stores.
    contained.mulgil("run", str(PROJECT), "--runner", "docker", "--no-deploy")
    assert containers_of(contained) == []


def test_an_interrupted_run_ends_its_container_and_is_resumed(contained):
    words = ("run", str(PROJECT), "--runner", "docker", "--no-deploy", "--set", "split.seed=54321")
    command, environment = contained.command(*words)
    runner = subprocess.Popen(
        command, env=environment, cwd=SOURCE_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: containers_of(contained))
    runner.send_signal(signal.SIGTERM)

    assert runner.wait(timeout=60) == 130
    assert containers_of(contained) == []
    assert "ingest-data: succeeded" in contained.mulgil("run", "--resume", "latest")
