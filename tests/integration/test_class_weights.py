"""Class weights: a row counts by its class, in networks and in scikit-learn's families."""

import json

import numpy as np
import pytest
from learning_project import write_task_project

from components.train_model.checkpoints import Checkpoints
from components.train_model.core import make_learner
from components.train_model.heads import Head, make_head
from components.train_model.learners import Examples, measure_loss
from components.train_model.progress import LocalProgress
from mulgil.contract import Task, load_project
from mulgil.contract.learning import Family
from mulgil.errors import ContractError, InputError
from mulgil.preprocessing.rows import read_rows

WEIGHED = [family for family in Family if family not in (Family.AUTO, Family.NEAREST_NEIGHBORS)]


def _weigh(project, **training):
    path = project.path / "project.yaml"
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "training": {**content["training"], **training}}), "utf-8")
    return load_project(project.path)


@pytest.fixture
def project(tmp_path):
    return write_task_project(tmp_path, Task.BINARY_CLASSIFICATION)


@pytest.fixture
def examples():
    """400 rows, every tenth a yes, of whose one number little can be told."""
    random = np.random.default_rng(0)
    target = (np.arange(400) % 10 == 0).astype(np.float32)
    numbers = random.normal(size=(400, 3)).astype(np.float32)
    numbers[:, 0] += target
    return Examples(numbers, target)


class _Rows:
    """The truth alone, which is what a head looks at."""

    def __init__(self, target):
        self.target = target

    def __len__(self):
        return len(self.target)


def test_balanced_classes_count_the_same_together(examples):
    head = make_head(Task.BINARY_CLASSIFICATION, 1, _Rows(examples.target > 0.5), "balanced")
    weights = head.weigh(examples.target)
    assert weights[examples.target > 0.5].sum() == pytest.approx(200)
    assert weights[examples.target < 0.5].sum() == pytest.approx(200)


def test_of_given_weights_only_the_ratios_count(examples):
    rows = _Rows(examples.target > 0.5)
    heads = [make_head(Task.BINARY_CLASSIFICATION, 1, rows, given) for given in ((1.0, 5.0), (3.0, 15.0))]
    np.testing.assert_allclose(heads[0].class_weights, heads[1].class_weights)
    assert heads[0].class_weights[1] == pytest.approx(5 * heads[0].class_weights[0])
    assert heads[0].weigh(examples.target).mean() == pytest.approx(1)


def test_of_several_classes_each_has_its_weight():
    target = np.repeat(np.arange(3), [60, 30, 10])
    head = make_head(Task.MULTICLASS_CLASSIFICATION, 3, _Rows(target), "balanced")
    np.testing.assert_allclose(
        np.bincount(target, head.weigh(target.astype(np.int32))), [100 / 3] * 3, rtol=1e-6
    )


def test_the_loss_of_a_row_counts_by_its_class():
    head = Head(Task.BINARY_CLASSIFICATION, 1, class_weights=(0.5, 1.5))
    target, predicted = np.array([0.0, 1.0], np.float32), np.array([0.5, 0.25])
    assert measure_loss(head, target, predicted) == pytest.approx(
        -(0.5 * np.log(0.5) + 1.5 * np.log(0.25)) / 2
    )


@pytest.mark.parametrize("family", WEIGHED)
def test_a_balanced_model_says_that_a_rare_yes_is_likelier(project, examples, family, tmp_path):
    few = (
        {"n_estimators": 20, "min_samples_leaf": 20}
        if family in (Family.RANDOM_FOREST, Family.GRADIENT_BOOSTING)
        else {}
    )
    settings = {"family": family, "hyperparameters": few, "hidden_units": [], "max_epochs": 30}
    others = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    answers = {}
    for given in (None, "balanced"):
        folder = _weigh(project, class_weights=given, **settings)
        head = make_head(Task.BINARY_CLASSIFICATION, 1, _Rows(examples.target > 0.5), given)
        learner = make_learner(family, folder, Checkpoints(LocalProgress(tmp_path / "checkpoints")))
        curve = learner.look(head, examples, examples)
        answers[given] = learner.fit(head, examples, curve).predict(others)
    assert answers[None].mean() == pytest.approx(0.1, abs=0.05)
    if family is Family.SUPPORT_VECTOR_MACHINE:
        # libsvm maps what it computes to the shares that there are, whatever the rows count.
        assert np.abs(answers["balanced"] - answers[None]).max() > 0.02
    else:
        assert answers["balanced"].mean() > 1.5 * answers[None].mean()


def test_the_networks_validation_loss_is_the_weighted_one(project, examples, tmp_path):
    settings = {"family": Family.NEURAL_NETWORK, "hidden_units": [], "max_epochs": 3, "dropout": 0, "l2": 0}
    folder = _weigh(project, class_weights=[1, 5], **settings)
    head = make_head(Task.BINARY_CLASSIFICATION, 1, _Rows(examples.target > 0.5), (1.0, 5.0))
    learner = make_learner(
        Family.NEURAL_NETWORK, folder, Checkpoints(LocalProgress(tmp_path / "checkpoints"))
    )
    curve = learner.look(head, examples, examples)
    assert curve.best_epoch == 3
    fitted = learner.fit(head, examples, curve)
    measured = measure_loss(head, examples.target, fitted.predict(examples.numbers))
    assert measured == pytest.approx(curve.val_loss[-1], rel=1e-5)


def test_a_family_that_takes_no_weights_says_so(project, examples, tmp_path):
    with pytest.raises(ContractError, match="nearest_neighbors takes no weights"):
        _weigh(project, class_weights="balanced", family="nearest_neighbors")
    folder = _weigh(project, class_weights="balanced", family="auto")
    head = make_head(Task.BINARY_CLASSIFICATION, 1, _Rows(examples.target > 0.5), "balanced")
    learner = make_learner(
        Family.NEAREST_NEIGHBORS, folder, Checkpoints(LocalProgress(tmp_path / "checkpoints"))
    )
    with pytest.raises(InputError, match="takes no class weights"):
        learner.look(head, examples, examples)


@pytest.mark.parametrize("given", [[1, 2, 3], [1], [0, 1], "even"])
def test_weights_that_are_not_the_classes_are_refused(project, given):
    with pytest.raises(ContractError, match="class_weights"):
        _weigh(project, class_weights=given)


@pytest.mark.parametrize("task", [Task.MULTILABEL_CLASSIFICATION, Task.SCALAR_REGRESSION])
def test_a_task_without_classes_takes_no_weights(tmp_path, task):
    project = write_task_project(tmp_path, task)
    with pytest.raises(ContractError, match=f"which {task} has not"):
        _weigh(project, class_weights="balanced")


def test_rows_that_are_read_are_weighed_by_their_class(project):
    rows = read_rows(project.rows_path, "train", project.folder.dictionary)
    head = make_head(Task.BINARY_CLASSIFICATION, 1, rows, "balanced")
    weights = head.weigh(head.encode(rows))
    assert weights[rows.target].sum() == pytest.approx(weights[~rows.target].sum(), rel=1e-5)
