"""A training that is killed goes on where it was, and ends as one that was left alone."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from learning_project import write_project

from components.train_model.checkpoints import Checkpoints, FitState
from mulgil.artifacts import TrainingHistory, read_bundle
from mulgil.home import SOURCE_ROOT

# It saves after every epoch, and each may be made to take a while, so that a kill falls into the fit.
PROGRAM = """
import sys, time
from components.tensorflow_startup import start_tensorflow
start_tensorflow()
import components.train_model.checkpoints as checkpoints
from components.train_model import fitting, stored_examples
from components.train_model.__main__ import main
checkpoints._EVERY_SECONDS = 0.0
# Rows that are not held in memory are in many shards.
stored_examples.SHARD_BYTES = 1
pause = float(sys.argv.pop(1))
note = fitting._Progress.on_epoch_end
def slowly(self, epoch, logs=None):
    note(self, epoch, logs)
    time.sleep(pause)
fitting._Progress.on_epoch_end = slowly
raise SystemExit(main(sys.argv[1:]))
"""


def _start(project, root, pause):
    arguments = {
        "project-path": project.path,
        "training-rows-path": project.rows_path,
        "feature-service-path": project.feature_service_path,
        "bundle-path": root / "bundle",
        "history-path": root / "history.json",
    }
    flags = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "MULGIL_HOME": str(root / "home"), "PYTHONPATH": str(SOURCE_ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(pause), *flags],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("megabytes", [64, 1e-6], ids=["in memory", "streamed"])
def test_a_training_that_is_killed_ends_as_one_that_was_not(tmp_path, megabytes):
    training = {"hidden_units": [4], "batch_normalization": True, "learning_rate": 0.02, "max_epochs": 12}
    training |= {"batch_size": 8, "memory_megabytes": megabytes}
    project = write_project(tmp_path / "project", training=training)
    left_alone, killed = tmp_path / "left alone", tmp_path / "killed"
    process = _start(project, left_alone, 0)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "Taken up" not in said

    process = _start(project, killed, 0.3)
    checkpoints = killed / "home" / "checkpoints"
    deadline = time.monotonic() + 200
    while not list(checkpoints.glob("*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (killed / "bundle").exists()
    left_behind = list((killed / "home").glob("examples/*/*/*.f32"))
    assert bool(left_behind) is (megabytes < 1)

    process = _start(project, killed, 0)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "Taken up after epoch" in said
    one, other = (TrainingHistory.read(root / "history.json") for root in (left_alone, killed))
    assert (one.loss, one.val_loss, one.best_epoch) == (other.loss, other.val_loss, other.best_epoch)
    # Weights, graph, fast format, example and all.
    files = [read_bundle(root / "bundle").files for root in (left_alone, killed)]
    assert files[0] == files[1]
    assert not list(checkpoints.glob("*"))
    assert not list((killed / "home").glob("examples/*"))


def test_a_checkpoint_is_found_by_all_that_is_fitted(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    rows = np.arange(6, dtype=np.float32)
    one = checkpoints.find(["settings"], rows, 3)
    one.save(FitState({"loss": [0.5, 0.25]}, [rows, np.array(7)]))
    again = Checkpoints(tmp_path).find(["settings"], rows.copy(), 3)
    state = again.load()
    assert (state.epochs, state.logs) == (2, {"loss": [0.5, 0.25]})
    np.testing.assert_array_equal(state.variables[0], rows)
    for parts in ((["others"], rows, 3), (["settings"], rows + 1, 3), (["settings"], rows, 4)):
        assert checkpoints.find(*parts).load() is None
    assert checkpoints.find(["settings"], rows.reshape(2, 3), 3).load() is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half of one"])
def test_a_checkpoint_that_is_damaged_is_none(tmp_path, content):
    checkpoint = Checkpoints(tmp_path).find("fit")
    checkpoint.path.write_bytes(content)
    assert checkpoint.load() is None


def test_what_nobody_came_back_for_is_removed_in_the_end(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    own, others, old = (
        checkpoints.find("own"),
        Checkpoints(tmp_path).find("a"),
        Checkpoints(tmp_path).find("b"),
    )
    for one in (own, others, old):
        one.save(FitState({"loss": [1.0]}, []))
    os.utime(old.path, (1, 1))
    checkpoints.clear()
    assert [one.path.exists() for one in (own, others, old)] == [False, True, False]


def test_a_disk_that_takes_no_checkpoint_does_not_stop_the_fit(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    checkpoint = Checkpoints(tmp_path / "file").find("fit")
    checkpoint.save(FitState({"loss": [1.0]}, []))
    assert "No checkpoint can be kept at" in capsys.readouterr().out
    assert checkpoint.load() is None
