"""Every task from rows to a served model: trained, judged, registered, and answering as it was trained."""

import json
import random
from datetime import UTC, datetime

import numpy as np
import pytest
import tensorflow as tf
from learning_project import CATEGORIES, TARGETS, write_task_project
from registry_template import make_champion, write_empty_registry
from sklearn.metrics import mean_pinball_loss

from components.evaluate_model.core import evaluate_model
from components.register_model.core import register_model
from components.train_model.core import train_model
from mulgil.artifacts import Evaluation, TrainingHistory, WarmUpExample, read_bundle
from mulgil.contract import ColumnType, Task
from mulgil.contract.answers import AnswerForm, differ
from mulgil.contract.learning import TASK_FORMS
from mulgil.contract.moments import seconds_of
from mulgil.errors import ContractError, GateRejectedError, InputError
from mulgil.preprocessing import MISSING_CODE
from mulgil.preprocessing.rows import read_rows
from mulgil.serving.model import TOLERANCE, ServedModel

TASKS = [task for task in Task if task is not Task.BINARY_CLASSIFICATION]


class TaskRun:
    """A task's project after training and evaluation."""

    def __init__(self, root, task, **changes):
        self.task, self.root = task, root
        self.project = write_task_project(root, task, **changes)
        train_model(
            project_path=self.project.path,
            training_rows_path=self.project.rows_path,
            feature_service_path=self.project.feature_service_path,
            bundle_path=root / "bundle",
            history_path=root / "history.json",
        )
        self.bundle = read_bundle(root / "bundle")

    def evaluate(self):
        return evaluate_model(
            project_path=self.project.path,
            training_rows_path=self.project.rows_path,
            bundle_path=self.root / "bundle",
            evaluation_path=self.root / "evaluation.json",
            verdict_path=self.root / "verdict.json",
        )

    @property
    def dictionary(self):
        return self.project.folder.dictionary


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_empty_registry(tmp_path / "home")


@pytest.fixture(scope="module", params=TASKS)
def run(request, tmp_path_factory):
    return TaskRun(tmp_path_factory.mktemp("task"), request.param)


def raw_rows(dictionary, count):
    generator = random.Random(4)
    values = {
        ColumnType.FLOAT: lambda: generator.uniform(-100, 100),
        ColumnType.INTEGER: lambda: generator.randint(-100, 100),
        ColumnType.BOOLEAN: lambda: generator.random() < 0.5,
        ColumnType.CATEGORY: lambda: generator.choice(CATEGORIES),
        ColumnType.TIMESTAMP: lambda: datetime.fromtimestamp(generator.uniform(-2e9, 2e9), UTC).isoformat(),
    }
    return [
        {
            column.name: None
            if not column.missing.is_value_required and generator.random() < 0.3
            else values[column.type]()
            for column in dictionary.inputs
        }
        for _ in range(count)
    ]


def test_the_server_answers_what_the_saved_model_does_on_every_type_and_missing_policy(run):
    rows = raw_rows(run.dictionary, 40)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    tensors = {
        column.name: tf.constant([MISSING_CODE if v is None else v for v in columns[column.name]])
        if column.type is ColumnType.CATEGORY
        else tf.constant([np.nan if v is None else v for v in columns[column.name]], tf.float32)
        for column in run.dictionary.inputs
        if column.type is not ColumnType.TIMESTAMP
    }
    for name in run.dictionary.moments:
        seconds = [np.nan if v is None else seconds_of(datetime.fromisoformat(v)) for v in columns[name]]
        tensors[name] = tf.constant(seconds, tf.float64)
    trained = tf.saved_model.load(str(run.root / "bundle" / "saved_model")).signatures["serving_default"]
    expected = trained(**tensors)[TASK_FORMS[run.task].output].numpy().tolist()

    served = ServedModel(run.root / "bundle").predict(columns, len(rows))

    assert len({str(row) for row in served}) > len(rows) / 2, "the comparison is of something"
    for one, other in zip(served, expected, strict=True):
        assert not differ(one, other, TOLERANCE), (one, other)


def test_probabilities_of_classes_sum_to_one_and_numbers_are_in_the_targets_unit(run):
    example = WarmUpExample.read(run.root / "bundle" / "example.json")
    numbers = np.atleast_1d(example.prediction)

    assert len(numbers) == AnswerForm.of(run.task, run.dictionary).width
    if run.task is Task.MULTICLASS_CLASSIFICATION:
        assert numbers.sum() == pytest.approx(1, abs=1e-6)
    elif not run.task.is_classification:
        assert 1000 < numbers[0] < 9000


def test_a_good_model_is_approved_on_the_tasks_metrics_and_registered(run, tmp_path):
    verdict = run.evaluate()

    assert verdict.is_approved
    evaluation = Evaluation.read(run.root / "evaluation.json")
    assert evaluation.task == run.task
    form = TASK_FORMS[run.task]
    assert tuple(evaluation.metrics) == tuple(form.metrics)
    primary = evaluation.metrics[form.primary_metric]
    assert evaluation.primary_metric == form.primary_metric
    assert evaluation.baseline[form.primary_metric].value < primary.low
    assert evaluation.improvements["baseline"].low > 0
    pictures = {
        Task.MULTICLASS_CLASSIFICATION: evaluation.confusions,
        Task.MULTILABEL_CLASSIFICATION: evaluation.curves,
    }.get(run.task, evaluation.fits)
    assert pictures
    if run.task is Task.MULTICLASS_CLASSIFICATION:
        counts = np.array(evaluation.confusions["model"].counts)
        assert counts.sum() == evaluation.rows
        assert np.trace(counts) / evaluation.rows == pytest.approx(primary.value)
    history = TrainingHistory.read(run.root / "history.json")
    assert history.val_loss[history.best_epoch - 1] == min(history.val_loss)

    registered = register_model(
        project_path=run.project.path,
        bundle_path=run.root / "bundle",
        history_path=run.root / "history.json",
        evaluation_path=run.root / "evaluation.json",
        evaluation_verdict_path=run.root / "verdict.json",
        run_id="r1",
        registered_model_path=tmp_path / "registered.json",
    )
    make_champion(registered.name, registered.version)
    training = {"hidden_units": [4], "learning_rate": 0.05, "max_epochs": 2, "seed": 1}
    other = TaskRun(tmp_path / "other", run.task, training=training, gates={"champion_margin": 100})
    check = next(check for check in other.evaluate().checks if "champion" in check.name)
    assert check.value is not None, "the champion answered the other model's test rows"
    champion = Evaluation.read(tmp_path / "other" / "evaluation.json").champion
    assert champion[form.primary_metric].value == primary.value


def test_a_quantile_says_what_too_little_costs_and_its_loss_has_a_floor(tmp_path):
    gates = {"floors": {"pinball": 1e9}}
    training = {"family": "linear", "quantile": 0.9}
    run = TaskRun(tmp_path / "regression", Task.SCALAR_REGRESSION, training=training, gates=gates)

    assert run.evaluate().is_approved

    evaluation = Evaluation.read(run.root / "evaluation.json")
    rows = read_rows(run.project.rows_path, "test", run.dictionary)
    instances = [rows.instance(place) for place in range(len(rows))]
    columns = {name: [row[name] for row in instances] for name in instances[0]}
    predicted = ServedModel(run.root / "bundle").predict(columns, len(rows))
    expected = mean_pinball_loss(rows.target, predicted, alpha=0.9)
    assert evaluation.metrics["pinball"].value == pytest.approx(expected, rel=1e-5)
    assert evaluation.primary_metric == "pinball"
    assert evaluation.improvements["baseline"].low > 0, "less is better"
    fitted = np.concatenate(
        [read_rows(run.project.rows_path, split, run.dictionary).target for split in ("train", "validation")]
    )
    without_columns = np.full(len(rows), np.quantile(fitted, 0.9))
    theirs = mean_pinball_loss(rows.target, without_columns, alpha=0.9)
    assert evaluation.baseline["pinball"].value == pytest.approx(theirs)
    assert evaluation.reference["pinball"].value < theirs
    with pytest.raises(ContractError, match=r"gates.quantile: a quantile is of numbers"):
        write_task_project(tmp_path / "binary", Task.BINARY_CLASSIFICATION, gates={"quantile": 0.9})


@pytest.mark.parametrize("task", [Task.MULTICLASS_CLASSIFICATION, Task.SCALAR_REGRESSION])
def test_a_model_that_learned_nothing_is_rejected(task, tmp_path):
    training = {"hidden_units": [4], "max_epochs": 1, "learning_rate": 1e-9}
    worthless = TaskRun(tmp_path, task, training=training)

    with pytest.raises(GateRejectedError, match="better than the baseline's by"):
        worthless.evaluate()


def test_gates_of_another_task_than_the_bundles_are_refused(run):
    task = next(task for task in TARGETS if task is not run.task)
    (run.root / "other").mkdir(exist_ok=True)
    other = json.loads((run.project.path / "project.yaml").read_text())
    folder = run.root / "other"
    (folder / "project.yaml").write_text(json.dumps({**other, "task": task}))
    from learning_project import columns

    (folder / "data_dictionary.yaml").write_text(json.dumps({"columns": columns(task)}))

    with pytest.raises(InputError, match="trained for another task"):
        evaluate_model(
            project_path=folder,
            training_rows_path=run.project.rows_path,
            bundle_path=run.root / "bundle",
            evaluation_path=run.root / "e.json",
            verdict_path=run.root / "v.json",
        )
