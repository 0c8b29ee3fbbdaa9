"""A training that is killed goes on where it was, and ends as one that was left alone."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from killed_trainings import check_a_kill_changes_nothing

from components.train_model import checkpoints
from components.train_model.checkpoints import Checkpoint, Checkpoints, FitState
from components.train_model.progress import LocalProgress


def test_a_streamed_training_that_is_killed_ends_as_one_that_was_not(tmp_path):
    # One in memory: tests/machine.
    check_a_kill_changes_nothing(tmp_path, megabytes=1e-6)


def test_a_checkpoint_is_found_by_all_that_is_fitted(tmp_path):
    places = Checkpoints(LocalProgress(tmp_path))
    rows = np.arange(6, dtype=np.float32)
    one = places.find(["settings"], rows, 3)
    one.save(FitState({"loss": [0.5, 0.25]}, [rows, np.array(7)]))
    again = Checkpoints(LocalProgress(tmp_path)).find(["settings"], rows.copy(), 3)
    state = again.load()
    assert (state.epochs, state.logs) == (2, {"loss": [0.5, 0.25]})
    np.testing.assert_array_equal(state.variables[0], rows)
    for parts in ((["others"], rows, 3), (["settings"], rows + 1, 3), (["settings"], rows, 4)):
        assert places.find(*parts).load() is None
    assert places.find(["settings"], rows.reshape(2, 3), 3).load() is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half of one"])
def test_a_checkpoint_that_is_damaged_is_none(tmp_path, content):
    checkpoint = Checkpoints(LocalProgress(tmp_path)).find("fit")
    (tmp_path / checkpoint.name).write_bytes(content)
    assert checkpoint.load() is None


def test_what_nobody_came_back_for_is_removed_in_the_end(tmp_path):
    places = Checkpoints(LocalProgress(tmp_path))
    own, others, old = (
        places.find("own"),
        Checkpoints(LocalProgress(tmp_path)).find("a"),
        Checkpoints(LocalProgress(tmp_path)).find("b"),
    )
    for one in (own, others, old):
        one.save(FitState({"loss": [1.0]}, []))
    (tmp_path / "search").mkdir()
    for name in (old.name, "search"):
        os.utime(tmp_path / name, (1, 1))
    places.clear()
    assert [entry.name for entry in tmp_path.iterdir()] == [others.name]


class SlowPlace:
    """Takes a minute for each write."""

    def __init__(self, clock):
        self.clock = clock

    def keep(self, name, write):
        self.clock[0] += 60.0


def test_a_slow_place_is_written_to_seldom(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    checkpoint = Checkpoint(SlowPlace(clock), "fit", _saved_at=0.0)
    clock[0] = 11.0
    assert checkpoint.is_due

    checkpoint.save(FitState({"loss": [1.0]}, []))

    due = []
    for _ in range(13):
        due.append(checkpoint.is_due)
        clock[0] += 100.0
    assert due == [False] * 12 + [True]


def test_a_disk_that_takes_no_checkpoint_does_not_stop_the_fit(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    checkpoint = Checkpoints(LocalProgress(tmp_path / "file")).find("fit")
    checkpoint.save(FitState({"loss": [1.0]}, []))
    assert "The training's progress cannot be kept at" in capsys.readouterr().out
    assert checkpoint.load() is None
