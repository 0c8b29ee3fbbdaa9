"""Families of models: fitted, exported, and answering and explaining as they were fitted."""

import json
import subprocess
import sys
from functools import cache

import httpx
import numpy as np
import pytest
from fitted_families import FAMILIES, check_served_as_fitted
from learning_project import write_task_project
from model_servers import Server

from components.evaluate_model.core import evaluate_model
from components.train_model.checkpoints import Checkpoints
from components.train_model.comparison import choose_simplest, compare_families
from components.train_model.core import make_learner, train_model
from components.train_model.fit_transform import fit_transform
from components.train_model.learners import Curve
from components.train_model.progress import LocalProgress
from mulgil.artifacts import CalibrationMap, Evaluation, FamilyScore, TrainingHistory, read_bundle
from mulgil.contract import Task
from mulgil.contract.learning import Family, Training
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import ContractError, GateRejectedError, InputError
from mulgil.preprocessing.rows import read_rows


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Give a task's project, which is written once."""
    return cache(lambda task: write_task_project(tmp_path_factory.mktemp("families"), task))


# All pairs are in tests/machine, and pairs that only answer in test_agreement.
@pytest.mark.parametrize(
    ("family", "task"),
    [
        (Family.NEURAL_NETWORK, Task.MULTICLASS_CLASSIFICATION),
        (Family.GRADIENT_BOOSTING, Task.MULTILABEL_CLASSIFICATION),
        (Family.NEAREST_NEIGHBORS, Task.VECTOR_REGRESSION),
    ],
)
def test_the_server_answers_and_explains_what_the_fitted_model_does(project, family, task, tmp_path):
    check_served_as_fitted(project(task), family, tmp_path / "bundle")


@pytest.mark.parametrize("task", [Task.BINARY_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION])
def test_a_served_model_of_scikit_learns_explains_its_predictions(project, task, tmp_path):
    rows = read_rows(project(task).rows_path, "test", project(task).folder.dictionary)
    train(project(task), tmp_path, family="decision_tree")
    server = Server(tmp_path / "bundle")
    url, body = f"{server.url}/v1/models/heart", {"instances": [rows.instance(0)]}

    answers = [httpx.post(f"{url}:{verb}", json=body) for verb in ("predict", "explain")]
    code, output = server.end()

    assert (code, "Traceback" in output) == (0, False), output
    [predicted], [explained] = (next(iter(answer.json().values())) for answer in answers)
    # Of several classes each is explained, by its name.
    probabilities = predicted["probabilities"] if isinstance(predicted, dict) else {None: predicted}
    for label, probability in probabilities.items():
        told, expectation, *shares = (
            part if label is None else part[label]
            for part in (
                explained["prediction"],
                explained["expectation"],
                *explained["attributions"].values(),
            )
        )
        assert told == pytest.approx(probability, abs=1e-6)
        assert sum(shares) == pytest.approx(probability - expectation, abs=1e-6)
        assert any(shares), "the comparison is of something"


def train(project, out, **training):
    path = project.path / "project.yaml"
    content = json.loads(path.read_text())
    copy = out / "project"
    copy.mkdir(parents=True)
    (copy / "project.yaml").write_text(json.dumps({**content, "training": training}))
    (copy / "data_dictionary.yaml").write_text((project.path / "data_dictionary.yaml").read_text())
    train_model(
        project_path=copy,
        training_rows_path=project.rows_path,
        feature_service_path=project.feature_service_path,
        bundle_path=out / "bundle",
        history_path=out / "history.json",
    )
    return copy


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    return write_task_project(tmp_path_factory.mktemp("binary"), Task.BINARY_CLASSIFICATION)


def test_a_family_of_scikit_learns_is_judged_like_any_other(binary, tmp_path):
    copy = train(binary, tmp_path, family="random_forest", hyperparameters={"n_estimators": 30})

    verdict = evaluate_model(
        project_path=copy,
        training_rows_path=binary.rows_path,
        bundle_path=tmp_path / "bundle",
        evaluation_path=tmp_path / "evaluation.json",
        verdict_path=tmp_path / "verdict.json",
    )

    assert verdict.is_approved
    assert Evaluation.read(tmp_path / "evaluation.json").metrics["roc_auc"].low > 0.5
    history = TrainingHistory.read(tmp_path / "history.json")
    assert history.family == "random_forest"
    assert len(history.val_loss) == 1


def test_auto_compares_every_family_and_takes_the_simplest_of_the_good(binary, tmp_path):
    train(binary, tmp_path, family="auto", folds=2, max_epochs=3, hidden_units=[4])

    history = TrainingHistory.read(tmp_path / "history.json")

    assert [score.family for score in history.candidates] == [str(family) for family in FAMILIES]
    assert all(score.loss is not None for score in history.candidates)
    assert history.family == choose_simplest(history.candidates).family
    assert read_bundle(tmp_path / "bundle").task == "binary_classification"


def score(family, loss, error=0.1):
    return FamilyScore(family=family, loss=loss, standard_error=error, seconds=1.0)


@pytest.mark.parametrize(
    ("scores", "taken"),
    [
        ([score("linear", 0.5), score("random_forest", 0.45)], "linear"),
        ([score("linear", 0.6), score("random_forest", 0.45)], "random_forest"),
        # The error that counts is the best one's.
        ([score("linear", 0.6, 1.0), score("random_forest", 0.45, 0.01)], "random_forest"),
        ([score("linear", None), score("random_forest", 0.45)], "random_forest"),
    ],
)
def test_the_simplest_within_one_standard_error_of_the_best_is_taken(scores, taken):
    assert choose_simplest(scores).family == taken


def test_nothing_that_could_be_compared_is_told():
    with pytest.raises(InputError, match="No family of models could be fitted"):
        choose_simplest([score("linear", None)])


def test_a_time_budget_that_is_over_leaves_families_out_with_the_reason(binary, tmp_path):
    dictionary = binary.folder.dictionary
    rows = read_rows(binary.rows_path, "train", dictionary)
    training = Training(family="auto", time_budget_seconds=1, folds=2)
    ticks = iter(range(1000))

    scores = compare_families(
        lambda family: make_learner(family, binary.folder, Checkpoints(LocalProgress(tmp_path))),
        training,
        Task.BINARY_CLASSIFICATION,
        1,
        specify_preprocessing(dictionary),
        rows,
        clock=lambda: float(next(ticks)),
    )

    assert scores[0].loss is not None
    assert all("time budget of 1 s" in one.reason for one in scores[1:])


def test_no_held_out_row_reaches_the_preprocessing_or_the_fit(binary, monkeypatch):
    """Plant a leak to see that it would be caught: the transform sees only what its model is fitted on."""
    dictionary = binary.folder.dictionary
    rows = read_rows(binary.rows_path, "train", dictionary)
    training = Training(family="auto", folds=3)
    fitted_on, applied_to = [], []
    from components.train_model import comparison

    def spy(specification, tensors):
        fitted_on.append(len(next(iter(tensors.values()))))
        return fit_transform(specification, tensors)

    monkeypatch.setattr(comparison, "fit_transform", spy)

    class Witness:
        is_fitted_by_epochs = True

        def look(self, head, train, validation):
            applied_to.append((len(train.numbers), len(validation.numbers)))
            return Curve((1.0,), (1.0,))

        def fit(self, head, examples, curve):
            applied_to.append(len(examples.numbers))
            return self

        def predict(self, numbers):
            applied_to.append(len(numbers))
            return np.full(len(numbers), 0.5)

    compare_families(
        lambda family: Witness(),
        training,
        Task.BINARY_CLASSIFICATION,
        1,
        specify_preprocessing(dictionary),
        rows,
    )

    for fold, size in enumerate(fitted_on[:3]):
        (inner, stopping), whole, held_out = applied_to[3 * fold : 3 * fold + 3]
        assert size == whole == inner + stopping
        assert whole + held_out == len(rows)


def test_a_server_of_litert_loads_no_onnx_runtime():
    code = "import sys, mulgil.serving.model; print('onnxruntime' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# All kinds on all families and tasks are in tests/machine.
@pytest.mark.parametrize(
    ("family", "task", "kind"),
    [
        (Family.NEURAL_NETWORK, Task.MULTICLASS_CLASSIFICATION, "isotonic"),
        (Family.NEURAL_NETWORK, Task.BINARY_CLASSIFICATION, "platt"),
        (Family.DECISION_TREE, Task.MULTILABEL_CLASSIFICATION, "temperature"),
        (Family.LINEAR, Task.MULTICLASS_CLASSIFICATION, "platt"),
    ],
)
def test_the_server_answers_calibrated_probabilities(project, family, task, kind, tmp_path):
    check_served_as_fitted(project(task), family, tmp_path / "bundle", kind)


def test_a_calibrated_model_is_trained_judged_and_tells_of_its_map(binary, tmp_path):
    copy = train(
        binary,
        tmp_path,
        family="decision_tree",
        calibration="platt",
        hyperparameters={"max_depth": 20, "min_samples_leaf": 1},
    )
    gates = json.loads((copy / "project.yaml").read_text()) | {"gates": {"calibration_error": 0.0001}}
    (copy / "project.yaml").write_text(json.dumps(gates))

    with pytest.raises(GateRejectedError, match=r"probabilities are 0.\d+ from what comes true"):
        evaluate_model(
            project_path=copy,
            training_rows_path=binary.rows_path,
            bundle_path=tmp_path / "bundle",
            evaluation_path=tmp_path / "evaluation.json",
            verdict_path=tmp_path / "verdict.json",
        )

    calibration = CalibrationMap.read(tmp_path / "bundle" / "calibration.json")
    assert calibration.slopes[0] < 0.5, "leaves of one row are all too sure"
    assert Evaluation.read(tmp_path / "evaluation.json").calibration_error > 0.0001


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"training": {"calibration": "platt"}}, "calibration"),
        ({"gates": {"calibration_error": 0.1}}, "calibration_error"),
    ],
)
def test_a_number_has_no_probabilities_to_calibrate(section, key, tmp_path):
    with pytest.raises(ContractError, match=f"{key}.*probabilities are calibrated, and scalar_regression"):
        write_task_project(tmp_path, Task.SCALAR_REGRESSION, **section)
