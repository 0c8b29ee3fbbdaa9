"""How far a training has come is kept where the platform has a place for it, and is taken up from there."""

from dataclasses import replace

import fsspec
import numpy as np
import pytest
from learning_project import train_project, write_project

from components.train_model import checkpoints, fitting
from components.train_model import progress as progress_places
from components.train_model.checkpoints import Checkpoints, FitState
from components.train_model.core import name_search
from components.train_model.heads import Head
from components.train_model.learners import Examples
from components.train_model.network import NetworkBuilder
from components.train_model.progress import LocalProgress, StoredProgress, open_progress
from mulgil import source_code
from mulgil.artifacts import read_bundle
from mulgil.contract import Task, load_project
from mulgil.contract.learning import Training
from mulgil.home import SOURCE_ROOT

URL = "memory://training-progress/of-all"


@pytest.fixture(autouse=True)
def empty_store():
    store = fsspec.filesystem("memory")
    if store.exists("/training-progress"):
        store.rm("/training-progress", recursive=True)


@pytest.fixture(params=["local", "stored"])
def progress(request, tmp_path):
    return LocalProgress(tmp_path / "progress") if request.param == "local" else StoredProgress(URL)


def test_what_was_left_is_read_again_replaced_and_forgotten(progress):
    assert progress.read("fit") is None
    progress.forget("fit")
    for content in (b"one", b"another"):
        progress.keep("fit", lambda file, content=content: file.write(content))
        with progress.read("fit") as found:
            assert found.read() == content
    progress.tidy()
    progress.forget("fit")
    assert progress.read("fit") is None


def test_a_fit_is_taken_up_from_an_object_store(progress):
    variables = [np.arange(6, dtype=np.float32), np.array(7)]
    Checkpoints(progress).find("fit").save(FitState({"loss": [0.5, 0.25]}, variables))

    taken_up = Checkpoints(progress)
    state = taken_up.find("fit").load()

    assert state.logs == {"loss": [0.5, 0.25]}
    np.testing.assert_array_equal(state.variables[0], variables[0])
    assert taken_up.used
    taken_up.clear()
    assert Checkpoints(progress).find("fit").load() is None


def test_a_store_that_cannot_be_reached_costs_the_progress_and_not_the_training(capsys, monkeypatch):
    def ask(away):
        assert away.read("fit") is None
        away.keep("fit", lambda file: file.write(b"one"))
        away.forget("fit")
        return [line.partition(" at ")[0] for line in capsys.readouterr().out.splitlines()]

    away = StoredProgress("no-such-protocol://bucket")
    # It may take minutes to say so.
    assert ask(away) == ["The training's progress cannot be read"]
    assert ask(away) == []

    monkeypatch.setattr(progress_places, "_AWAY_SECONDS", -1.0)
    away = StoredProgress("no-such-protocol://bucket")
    assert ask(away) == [f"The training's progress cannot be {what}" for what in ("read", "kept", "removed")]
    # Often enough.
    assert ask(away) == []


def test_what_other_code_or_libraries_left_is_not_taken_up(tmp_path, monkeypatch):
    folder = load_project(write_project(tmp_path / "project").path)

    head = Head(Task.BINARY_CLASSIFICATION, 1)

    def name_progress(version="1", changed="nothing", kind="random"):
        with monkeypatch.context() as patch:
            patch.setattr(source_code.metadata, "version", lambda name: version)
            patch.setattr(source_code, "fingerprint_file", lambda file: str(file == SOURCE_ROOT / changed))
            source_code.fingerprint_source.cache_clear()
            split = folder.project.split.model_copy(update={"kind": kind})
            other = replace(folder, project=folder.project.model_copy(update={"split": split}))
            builder = NetworkBuilder(Training(), None, tmp_path)
            places = Checkpoints(LocalProgress(tmp_path))
            fit = fitting._find(places, builder, head, Examples(np.ones((2, 1)), np.ones(2)))
            return name_search(Training(), other, "rows"), fit.name

    left = name_progress()
    assert name_progress() == left
    for changed in ("components/train_model/network.py", "mulgil/contract/learning.py"):
        assert not set(name_progress(changed=changed)) & set(left)
    assert not set(name_progress(version="2")) & set(left)
    # Of a fit the rows themselves decide.
    search, fit = name_progress(kind="time")
    assert (search == left[0], fit == left[1]) == (False, True)
    source_code.fingerprint_source.cache_clear()


def test_progress_is_on_this_machine_unless_the_platform_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))
    monkeypatch.delenv("MULGIL_TRAINING_URI", raising=False)
    assert open_progress("tuning") == LocalProgress(tmp_path / "tuning")
    monkeypatch.setenv("MULGIL_TRAINING_URI", f"{URL}/")
    assert open_progress("tuning") == StoredProgress(f"{URL}/tuning")


def test_a_training_whose_disk_is_gone_goes_on_by_what_is_in_the_object_store(tmp_path, monkeypatch, capsys):
    class Killed(BaseException):
        """As a pod that is taken away."""

    monkeypatch.setenv("MULGIL_TRAINING_URI", URL)
    for name in ("_EVERY_SECONDS", "_TIMES_THE_WRITE"):
        monkeypatch.setattr(checkpoints, name, 0.0)
    network = {"hidden_units": [4], "learning_rate": 0.05, "max_epochs": 6, "patience": 5}
    project = write_project(tmp_path / "project", training=network)
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "left alone"))
    train_project(project, tmp_path / "left alone")
    save, saved = checkpoints.Checkpoint.save, []

    def save_and_die(self, state):
        save(self, state)
        saved.append(state.epochs)
        if len(saved) == 3:
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoint, "save", save_and_die)
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "first pod"))
    with pytest.raises(Killed):
        train_project(project, tmp_path / "killed")
    monkeypatch.setattr(checkpoints.Checkpoint, "save", save)
    assert not (tmp_path / "first pod" / "checkpoints").exists()

    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "second pod"))
    capsys.readouterr()
    train_project(project, tmp_path / "killed")

    assert "Taken up after epoch 3" in capsys.readouterr().out
    one, other = (read_bundle(tmp_path / name / "bundle").files for name in ("left alone", "killed"))
    assert one == other
    assert not fsspec.filesystem("memory").find("/training-progress")
