"""A search in several processes: it finds what one process does, and nothing of it outlives a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from learning_project import write_project

from mulgil.artifacts import TrainingHistory, read_bundle
from mulgil.home import SOURCE_ROOT

SPACES = {
    "neural_network": {"hidden_units": {"choices": [[2], [8, 4]]}, "dropout": {"low": 0.0, "high": 0.5}},
    "gradient_boosting": {
        "learning_rate": {"low": 0.01, "high": 0.5},
        "scaling": {"choices": ["standard", "robust"]},
    },
}


def search(root, family, processes, method="random", trials=4):
    """Write a project that is tuned, with rows that are the same each time."""
    training = {
        "family": family,
        "folds": 4,
        "tuning": {
            "method": method,
            "trials": trials,
            "proposed_at_once": 2,
            "processes": processes,
            "space": SPACES[family],
        },
    }
    if family == "neural_network":
        training |= {"max_epochs": 5, "patience": 2}
    return write_project(root, training=training, gates={})


def start(project, root):
    flags = {
        "project-path": project.path,
        "training-rows-path": project.rows_path,
        "feature-service-path": project.feature_service_path,
        "bundle-path": root / "bundle",
        "history-path": root / "history.json",
    }
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "components.train_model",
            *(word for name, value in flags.items() for word in (f"--{name}", str(value))),
        ],
        env={**os.environ, "MULGIL_HOME": str(root / "home"), "PYTHONPATH": str(SOURCE_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(project, root):
    process = start(project, root)
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said
    history = TrainingHistory.read(root / "history.json")
    trials = [(trial.settings, trial.losses, trial.loss, trial.reason) for trial in history.trials]
    return trials, read_bundle(root / "bundle").files, said


def children_of(pid):
    """Return the processes that a process started, and those that they did."""
    found, waiting = set(), [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*"):
            for child in (task / "children").read_text().split():
                found.add(int(child))
                waiting.append(int(child))
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("neural_network", "hyperband"),
        ("gradient_boosting", "bayesian"),
        ("gradient_boosting", "random"),
    ],
)
def test_a_search_in_two_processes_is_the_one_in_one(tmp_path, family, method):
    made = {}
    for processes in (1, 2):
        root = tmp_path / str(processes)
        made[processes] = finish(search(root, family, processes, method), root)

    assert len(made[1][0]) == 5
    assert made[1][:2] == made[2][:2]
    assert not any((tmp_path / "2" / "home" / "checkpoints").glob("*"))


def test_a_search_in_two_processes_that_is_killed_leaves_nobody_and_goes_on_as_if_it_had_not_been(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = finish(search(whole, "gradient_boosting", 2, "bayesian", trials=8), whole)
    project = search(killed, "gradient_boosting", 2, "bayesian", trials=8)

    process = start(project, killed)
    deadline, tried = time.monotonic() + 200, {}
    while len(tried) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
        for path in (killed / "home" / "tuning").glob("*.json"):
            tried = json.loads(path.read_text())
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert 3 <= len(tried) < 9
    assert len(children) >= 2
    deadline = time.monotonic() + 10
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, children))

    resumed = finish(project, killed)

    assert f"Taken up after {len(tried)} settings" in resumed[2]
    assert resumed[:2] == undisturbed[:2]


def test_a_process_that_is_killed_is_told_and_no_traceback_is_shown(tmp_path):
    project = search(tmp_path, "neural_network", 2, trials=50)
    process = start(project, tmp_path)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "home" / "tuning").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    # As the kernel does where memory is short; the greatest is a process that fits.
    sizes = {pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in children_of(process.pid)}
    os.kill(max(sizes, key=lambda pid: sizes[pid]), signal.SIGKILL)
    said, _ = process.communicate(timeout=100)

    assert process.returncode == 4
    assert "A process that fits a fold was killed" in said
    assert "Traceback" not in said
