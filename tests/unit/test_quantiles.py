"""A model fitted to a quantile: what the loss is, where the predictions lie, and what is refused."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_project import columns, project
from pydantic import ValidationError
from sklearn.metrics import mean_pinball_loss

from components.evaluate_model.baselines import predict_linear_model
from components.train_model.capacity import measure_baseline
from components.train_model.checkpoints import Checkpoints
from components.train_model.comparison import compare_families
from components.train_model.families import make_learner
from components.train_model.heads import make_head
from components.train_model.learners import Examples, measure_loss
from components.train_model.progress import LocalProgress
from mulgil import quantile_regression
from mulgil.contract import DataDictionary, Metric, ProjectFolder, Task
from mulgil.contract.learning import QUANTILE_FAMILIES, Family
from mulgil.contract.project import Project
from mulgil.contract.specifications import specify_preprocessing
from mulgil.preprocessing.rows import TrainingRows
from mulgil.quantile_regression import choose_rows

# Their noise grows with the first column, so that no shift of the mean is a quantile.
ROWS, HELD_OUT = 3000, 4000


@dataclass
class Rows:
    target: Any

    def __len__(self):
        return len(self.target)


NUMBERS = DataDictionary.model_validate(
    {
        "columns": [
            {"name": "one", "type": "integer", "role": "entity", "description": "Any."},
            {"name": "at", "type": "timestamp", "role": "event_timestamp", "description": "Any."},
            *(
                {"name": name, "type": "float", "description": "Any.", "missing": "mean"}
                for name in ("first", "second")
            ),
            {"name": "cost", "type": "float", "role": "target", "description": "Any."},
        ]
    }
)


def table(numbers, target) -> TrainingRows:
    features = pa.table({"first": numbers[:, 0], "second": numbers[:, 1]})
    return TrainingRows(features, target, left_out=0)


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
    # Twice the pinball loss of the median is the absolute error, and the baseline is the median for both.
    of_median = Project.model_validate(regression(quantile=0.5) | {"gates": {"primary_metric": "mae"}})
    assert (of_median.primary_metric, of_median.judged_quantile) == (Metric.MAE, 0.5)
    of_mean = Project.model_validate(regression() | {"gates": {"primary_metric": "mae"}})
    assert (of_mean.primary_metric, of_mean.judged_quantile) == (Metric.MAE, None)


LABELS = {"path": "/labels", "label": "cost", "prediction_id": "id"}
OF_NUMBERS = {"kind": "number", "quantile": 0.5}


@pytest.mark.parametrize(
    ("fitted", "kind", "judged"), [(0.9, "number", 0.9), (None, "number", None), (0.9, "class", None)]
)
def test_labels_of_a_rollout_judge_a_number_by_what_it_is_fitted_to(fitted, kind, judged):
    rollout = {"labels": LABELS | {"kind": kind}}
    described = Project.model_validate(regression(quantile=fitted) | {"rollout": rollout})

    assert described.rollout.labels.quantile == judged
    assert Project.model_validate(described.model_dump(mode="json")) == described


@pytest.mark.parametrize(
    ("rows", "width", "chosen"),
    [(3, 1, 3), (5_000, 40, 5_000), (10**6, 20, 5_000), (5_000, 100, 2_000), (10**5, 10**6, 1)],
)
def test_a_linear_program_has_no_more_numbers_than_it_takes_in_seconds(rows, width, chosen):
    places = choose_rows(rows, width)

    assert len(np.unique(places)) == len(places) == chosen
    assert (places[0], places[-1]) == (0, 0 if chosen == 1 else rows - 1)


def test_what_is_fitted_on_part_of_the_rows_says_on_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(quantile_regression, "_MOST_NUMBERS", 200)
    folder = ProjectFolder(
        tmp_path, Project.model_validate(regression(quantile=0.9, family="linear")), NUMBERS
    )
    numbers, target = draw(250, seed=1)
    rows = table(numbers, target)
    head = make_head(Task.SCALAR_REGRESSION, 1, rows, quantile=0.9)
    learner = make_learner(Family.LINEAR, folder, Checkpoints(LocalProgress(tmp_path)))
    fits = [
        learner.fit(head, examples, learner.look(head, examples, examples))
        for examples in (Examples(numbers[:n], head.encode(Rows(target[:n]))) for n in (100, 250))
    ]

    assert [fit.fitted_rows for fit in fits] == [None, 100]
    predicted, fitted_rows = predict_linear_model(
        Task.SCALAR_REGRESSION, specify_preprocessing(NUMBERS), rows, rows, quantile=0.9
    )
    assert fitted_rows == 100
    assert np.mean(target <= predicted) == pytest.approx(0.9, abs=0.05)
    _, of_mean = predict_linear_model(Task.SCALAR_REGRESSION, specify_preprocessing(NUMBERS), rows, rows)
    assert of_mean == 250


@pytest.mark.parametrize("family", [f for f in Family if f not in (*QUANTILE_FAMILIES, Family.AUTO)])
def test_a_family_that_fits_no_quantile_is_refused_by_name(family):
    with pytest.raises(ValidationError, match=f"received family={family}, quantile=0.9"):
        Project.model_validate(regression(quantile=0.9, family=family))


def test_of_several_families_those_that_fit_no_quantile_are_left_out_with_the_reason(tmp_path):
    of_network = {"hidden_units": [2], "max_epochs": 1}
    described = Project.model_validate(regression(quantile=0.9, family="auto", folds=2, **of_network))
    folder = ProjectFolder(tmp_path, described, NUMBERS)

    scores = compare_families(
        lambda family: make_learner(family, folder, Checkpoints(LocalProgress(tmp_path))),
        described.training,
        Task.SCALAR_REGRESSION,
        1,
        specify_preprocessing(NUMBERS),
        table(*draw(60, seed=1)),
    )

    reasons = {score.family: score.reason for score in scores if score.loss is None}
    others = [family for family in Family if family not in (*QUANTILE_FAMILIES, Family.AUTO)]
    assert reasons == {family: f"{family} is fitted to no quantile" for family in others}
    assert {score.family for score in scores} - set(reasons) == set(QUANTILE_FAMILIES)


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
        (
            {"training": {"quantile": 0.9}, "gates": {"primary_metric": "mae"}},
            "fitted to training.quantile=0.9 is judged by its loss: expected pinball; received mae",
        ),
        (
            {"training": {"quantile": 0.5}, "gates": {"primary_metric": "rmse"}},
            "fitted to training.quantile=0.5 is judged by its loss: expected pinball; received rmse",
        ),
        (
            {"training": {"quantile": 0.9}, "rollout": {"labels": LABELS | OF_NUMBERS}},
            "expected training.quantile=0.9, which is fitted; received 0.5",
        ),
        ({"rollout": {"labels": LABELS | OF_NUMBERS}}, "expected none, as none is fitted; received 0.5"),
        (
            {"rollout": {"labels": LABELS | {"quantile": 0.5}}},
            "`quantile` goes with kind=number; received kind=class",
        ),
    ],
)
def test_quantiles_that_do_not_go_together_are_refused(changes, told):
    with pytest.raises(ValidationError, match=told):
        Project.model_validate(regression() | changes)
