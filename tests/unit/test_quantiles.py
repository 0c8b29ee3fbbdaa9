"""A model fitted to a quantile: what the loss is, where the predictions lie, and what is refused."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from learning_project import columns, project
from pydantic import ValidationError
from sklearn.metrics import mean_pinball_loss

from components.train_model.capacity import measure_baseline
from components.train_model.checkpoints import Checkpoints
from components.train_model.families import make_learner
from components.train_model.heads import make_head
from components.train_model.learners import Examples, measure_loss
from components.train_model.progress import LocalProgress
from mulgil.contract import DataDictionary, Metric, ProjectFolder, Task
from mulgil.contract.learning import QUANTILE_FAMILIES, Family
from mulgil.contract.project import Project
from mulgil.errors import InputError

# Their noise grows with the first column, so that no shift of the mean is a quantile.
ROWS, HELD_OUT = 3000, 4000


@dataclass
class Rows:
    target: Any

    def __len__(self):
        return len(self.target)


def regression(**training) -> dict[str, object]:
    return project(task=Task.SCALAR_REGRESSION, gates={}, training=training)


def draw(rows, seed):
    generator = np.random.default_rng(seed)
    numbers = generator.uniform(0, 1, (rows, 2)).astype(np.float32)
    noise = (0.2 + 2 * numbers[:, 0]) * generator.exponential(1, rows)
    return numbers, 100 + 10 * (numbers[:, 1] + noise)


@pytest.mark.parametrize("family", QUANTILE_FAMILIES)
@pytest.mark.parametrize("quantile", [0.2, 0.9])
def test_as_many_true_values_lie_below_the_predictions_as_the_quantile_says(tmp_path, family, quantile):
    of_network = {"hidden_units": [8], "dropout": 0, "max_epochs": 12} if family == "neural_network" else {}
    described = Project.model_validate(regression(family=family, quantile=quantile, **of_network))
    folder = ProjectFolder(
        tmp_path, described, DataDictionary.model_validate({"columns": columns(Task.SCALAR_REGRESSION)})
    )
    numbers, target = draw(ROWS, seed=1)
    head = make_head(Task.SCALAR_REGRESSION, 1, Rows(target), quantile=quantile)
    train, validation = (
        Examples(numbers[part], head.encode(Rows(target[part])))
        for part in (slice(0, 2 * ROWS // 3), slice(2 * ROWS // 3, ROWS))
    )
    learner = make_learner(family, folder, Checkpoints(LocalProgress(tmp_path / "checkpoints")))

    fitted = learner.fit(head, train, learner.look(head, train, validation))

    unseen, true = draw(HELD_OUT, seed=2)
    predicted = head.in_unit(np.asarray(fitted.predict(unseen), np.float64))
    assert np.mean(true <= predicted) == pytest.approx(quantile, abs=0.04)
    # In each half too: where the noise is great, and where it is small.
    for is_noisy in (unseen[:, 0] > 0.5, unseen[:, 0] <= 0.5):
        assert np.mean(true[is_noisy] <= predicted[is_noisy]) == pytest.approx(quantile, abs=0.07)
    constant = np.full(HELD_OUT, np.quantile(target, quantile))
    losses = [mean_pinball_loss(true, given, alpha=quantile) for given in (predicted, constant)]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("width", [1, 2])
def test_the_loss_of_a_fit_and_of_a_comparison_is_scikit_learns(width):
    generator = np.random.default_rng(0)
    shape = (50,) if width == 1 else (50, width)
    target, predicted = generator.normal(size=(2, *shape)).astype(np.float32)
    task = Task.SCALAR_REGRESSION if width == 1 else Task.VECTOR_REGRESSION
    head = make_head(task, width, Rows(target), quantile=0.8)
    expected = mean_pinball_loss(target, predicted, alpha=0.8)

    assert float(head.loss(target, predicted)) == pytest.approx(expected, rel=1e-5)
    assert measure_loss(head, target, predicted) == pytest.approx(expected, rel=1e-5)


def test_the_baseline_of_the_protocol_is_the_quantile_of_the_training_rows():
    target = np.arange(100, dtype=np.float32)
    head = make_head(Task.SCALAR_REGRESSION, 1, Rows(target), quantile=0.9)
    examples = Examples(np.zeros((100, 1), np.float32), target)

    losses = measure_baseline(head, examples, examples)

    assert losses[0] == pytest.approx(
        mean_pinball_loss(target, np.full(100, np.quantile(target, 0.9)), alpha=0.9)
    )


def test_a_project_that_fits_a_quantile_is_judged_by_it():
    described = Project.model_validate(regression(quantile=0.9))

    assert described.primary_metric is Metric.PINBALL
    assert described.gates.pinball_quantile == described.judged_quantile == 0.9
    assert Project.model_validate(described.model_dump(mode="json")) == described
    by_error = Project.model_validate(regression(quantile=0.9) | {"gates": {"primary_metric": "mae"}})
    assert (by_error.primary_metric, by_error.judged_quantile) == (Metric.MAE, None)
    assert by_error.gates.pinball_quantile == 0.9


@pytest.mark.parametrize("family", [f for f in Family if f not in (*QUANTILE_FAMILIES, Family.AUTO)])
def test_a_family_that_fits_no_quantile_is_refused_by_name(family):
    with pytest.raises(ValidationError, match=f"received family={family}, quantile=0.9"):
        Project.model_validate(regression(quantile=0.9, family=family))


def test_of_several_families_those_that_fit_no_quantile_are_left_out_with_the_reason(tmp_path):
    described = Project.model_validate(regression(quantile=0.9, family="auto"))
    folder = ProjectFolder(
        tmp_path, described, DataDictionary.model_validate({"columns": columns(Task.SCALAR_REGRESSION)})
    )
    numbers, target = draw(50, seed=1)
    head = make_head(Task.SCALAR_REGRESSION, 1, Rows(target), quantile=0.9)
    examples = Examples(numbers, head.encode(Rows(target)))
    learner = make_learner(Family.RANDOM_FOREST, folder, Checkpoints(LocalProgress(tmp_path)))

    with pytest.raises(InputError, match="random_forest is fitted to no quantile"):
        learner.look(head, examples, examples)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"gates": {"primary_metric": "pinball", "quantile": 0.9}},
            "expected training.quantile=0.9; received none",
        ),
        (
            {"gates": {"quantile": 0.5}, "training": {"quantile": 0.9}},
            "expected training.quantile=0.9, which is fitted; received 0.5",
        ),
        (
            {"task": Task.BINARY_CLASSIFICATION, "training": {"quantile": 0.9}},
            "a quantile is of numbers, and binary_classification predicts none",
        ),
        ({"training": {"quantile": 1.0}}, "less than 1"),
    ],
)
def test_quantiles_that_do_not_go_together_are_refused(changes, told):
    with pytest.raises(ValidationError, match=told):
        Project.model_validate(regression() | changes)
