"""Trainings in processes of their own, which save after every epoch and may be slowed down, to be killed."""

import os
import signal
import subprocess
import sys
import time

from learning_project import write_project

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
checkpoints._EVERY_SECONDS = checkpoints._TIMES_THE_WRITE = 0.0
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


def start(project, root, pause):
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


def finish(project, root):
    """Train to the end; return what was said."""
    process = start(project, root, 0)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def check_a_kill_changes_nothing(tmp_path, megabytes):
    """Train once to the end, and once with a kill in the fit: what is left is the same, bit for bit."""
    training = {"hidden_units": [4], "batch_normalization": True, "learning_rate": 0.02, "max_epochs": 12}
    training |= {"batch_size": 8, "memory_megabytes": megabytes}
    project = write_project(tmp_path / "project", training=training)
    left_alone, killed = tmp_path / "left alone", tmp_path / "killed"
    assert "Taken up" not in finish(project, left_alone)

    process = start(project, killed, 0.3)
    checkpoints = killed / "home" / "checkpoints"
    deadline = time.monotonic() + 200
    while not list(checkpoints.glob("*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (killed / "bundle").exists()
    assert bool(list((killed / "home").glob("examples/*/*/*.f32"))) is (megabytes < 1)

    assert "Taken up after epoch" in finish(project, killed)

    one, other = (TrainingHistory.read(root / "history.json") for root in (left_alone, killed))
    assert (one.loss, one.val_loss, one.best_epoch) == (other.loss, other.val_loss, other.best_epoch)
    # Weights, graph, fast format, example and all.
    assert read_bundle(left_alone / "bundle").files == read_bundle(killed / "bundle").files
    assert not list(checkpoints.glob("*"))
    assert not list((killed / "home").glob("examples/*"))
