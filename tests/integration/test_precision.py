"""Half the bits while a network is fitted, all of them where it is served, and a seed that is told."""

import numpy as np
import pytest
from learning_project import train_project, write_project
from pydantic import ValidationError

from components.register_model.core import _parameters
from components.train_model.checkpoints import Checkpoints
from components.train_model.devices import choose_precision
from components.train_model.fitting import fit_network
from components.train_model.heads import Head
from components.train_model.learners import Examples
from components.train_model.network import NetworkBuilder
from components.train_model.progress import LocalProgress
from mulgil.artifacts import read_bundle
from mulgil.contract import Task
from mulgil.contract.learning import Training

HEAD = Head(Task.BINARY_CLASSIFICATION, 1)


@pytest.fixture
def examples():
    random = np.random.default_rng(0)
    numbers = random.normal(size=(256, 6)).astype(np.float32)
    return Examples(numbers, (numbers[:, 0] > 0).astype(np.float32))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_that_is_fitted_in_half_precision_is_served_in_float32(tmp_path, examples, precision):
    networks = {}
    for asked in ("float32", precision):
        training = Training(precision=asked, hidden_units=(8,), dropout=0, learning_rate=0.02)
        builder = NetworkBuilder(training, None, tmp_path)
        while_fitted = builder.build(6, HEAD)
        assert while_fitted.layers[1].compute_dtype == asked.removeprefix("mixed_")
        assert while_fitted.output.dtype == "float32"
        networks[asked] = fit_network(
            builder, HEAD, examples, 10, Checkpoints(LocalProgress(tmp_path / asked))
        )
    plain, mixed = networks.values()
    assert all(layer.compute_dtype == "float32" for layer in mixed.layers)
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    answers = [np.asarray(network(examples.numbers, training=False)) for network in (plain, mixed)]
    assert (answers[0] != answers[1]).any()
    np.testing.assert_allclose(*answers, atol=0.1)
    assert ((answers[1] > 0.5) == examples.target).mean() > 0.9


def test_a_fit_in_half_precision_is_taken_up_as_it_was_left(tmp_path, examples, monkeypatch):
    for name in ("_EVERY_SECONDS", "_TIMES_THE_WRITE"):
        monkeypatch.setattr(f"components.train_model.checkpoints.{name}", 0.0)
    training = Training(precision="mixed_float16", hidden_units=(8,), max_epochs=6)
    builder = NetworkBuilder(training, None, tmp_path)
    undisturbed = fit_network(builder, HEAD, examples, 6, Checkpoints(LocalProgress(tmp_path / "one")))
    save, saved = Checkpoints.find, []

    def give_up_after_three(self, *parts):
        checkpoint = save(self, *parts)
        keep = checkpoint.save

        def save_and_stop(state):
            keep(state)
            saved.append(state.epochs)
            if state.epochs == 3:
                raise KeyboardInterrupt

        checkpoint.save = save_and_stop
        return checkpoint

    monkeypatch.setattr(Checkpoints, "find", give_up_after_three)
    with pytest.raises(KeyboardInterrupt):
        fit_network(builder, HEAD, examples, 6, Checkpoints(LocalProgress(tmp_path / "other")))
    monkeypatch.setattr(Checkpoints, "find", save)
    assert saved == [1, 2, 3]
    resumed = fit_network(builder, HEAD, examples, 6, Checkpoints(LocalProgress(tmp_path / "other")))
    for one, other in zip(undisturbed.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_a_gpu_it_is_float32_and_that_is_said(tmp_path, capsys):
    assert choose_precision("mixed_float16", has_gpu=True) == "mixed_float16"
    assert choose_precision("mixed_float16", has_gpu=False) == "float32"
    training = {"hidden_units": [4], "max_epochs": 2, "precision": "mixed_float16", "seed": None}
    project = write_project(tmp_path, training=training)

    history = train_project(project, tmp_path / "out")

    said = capsys.readouterr().out
    assert "There is no GPU: fitted in float32, not in mixed_float16" in said
    assert history.precision == "float32"
    assert f"Drawn for this training: seed {history.seed}" in said
    registered = _parameters(project.folder.project.training, history)
    assert registered["seed"] == str(history.seed), "and not the null that is declared"
    assert registered["precision"] == '"float32"'
    # Whoever wants that model again says so.
    told = {**training, "precision": "float32", "seed": history.seed}
    again = train_project(write_project(tmp_path / "again", training=told), tmp_path / "same")
    assert again.val_loss == history.val_loss
    one, other = (read_bundle(tmp_path / place / "bundle").files for place in ("out", "same"))
    assert one == other


def test_a_family_that_is_chosen_and_is_no_network_has_float32(tmp_path, monkeypatch):
    # As on a machine with a GPU; so little time is for the first family alone.
    monkeypatch.setattr("components.train_model.core.settle", lambda training: training)
    training = {
        "family": "auto",
        "precision": "mixed_bfloat16",
        "time_budget_seconds": 1e-6,
        "capacity_ladder": {"time_budget_seconds": 1e-6},
    }
    history = train_project(write_project(tmp_path, training=training), tmp_path / "out")

    assert history.family == "linear"
    assert history.ladder.steps[0].val_loss
    assert history.precision == "float32"


def test_what_is_no_network_has_no_precision():
    with pytest.raises(ValidationError, match="`precision` goes with family=neural_network or auto"):
        Training(family="linear", precision="mixed_float16")
