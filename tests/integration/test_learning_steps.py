"""Train, evaluate and register, on a table with a column of every type and every missing policy."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from learning_project import CATEGORIES, LearningProject, write_project, write_rows
from registry_template import make_champion, write_empty_registry
from request_strategies import transforms
from strategies import dictionaries, dictionaries_with_derived, instances
from tensorflow_serving import ServedSavedModel

from components.evaluate_model import standing as evaluate_standing
from components.evaluate_model.__main__ import main as evaluate_main
from components.evaluate_model.bundle_dictionary import read_dictionary
from components.evaluate_model.core import evaluate_model
from components.register_model import standing as register_standing
from components.register_model.core import register_model
from components.train_model.core import train_model
from components.train_model.graph_derived import derive_tensor
from components.train_model.graph_preprocessing import encode
from mulgil import registry
from mulgil.artifacts import (
    Background,
    BundleManifest,
    DatasetManifest,
    Evaluation,
    FeatureServiceReference,
    TrainingHistory,
    Verdict,
    WarmUpExample,
    read_bundle,
)
from mulgil.contract import Column, ColumnType
from mulgil.contract.moments import seconds_of
from mulgil.errors import GateRejectedError, InputError, NotReconciledError
from mulgil.home import SOURCE_ROOT
from mulgil.preprocessing import MISSING_CODE, FittedTransform, TransformExecutor
from mulgil.preprocessing.derived import derive_values
from mulgil.preprocessing.rows import read_rows
from mulgil.serving.derivation import Derivation
from mulgil.serving.model import ServedModel


@dataclass(frozen=True)
class Trained:
    """A project, and the bundle trained from it."""

    project: LearningProject
    bundle_path: Path
    history_path: Path

    @property
    def bundle(self) -> BundleManifest:
        return read_bundle(self.bundle_path)


def train(project: LearningProject, out: Path) -> Trained:
    trained = Trained(project, out / "bundle", out / "history.json")
    train_model(
        project_path=project.path,
        training_rows_path=project.rows_path,
        feature_service_path=project.feature_service_path,
        bundle_path=trained.bundle_path,
        history_path=trained.history_path,
    )
    return trained


def evaluate(trained: Trained, out: Path, project: LearningProject | None = None) -> Verdict:
    return evaluate_model(
        project_path=(project or trained.project).path,
        training_rows_path=trained.project.rows_path,
        bundle_path=trained.bundle_path,
        evaluation_path=out / "evaluation.json",
        verdict_path=out / "verdict.json",
    )


def register(trained: Trained, out: Path):
    return register_model(
        project_path=trained.project.path,
        bundle_path=trained.bundle_path,
        history_path=trained.history_path,
        evaluation_path=out / "evaluation.json",
        evaluation_verdict_path=out / "verdict.json",
        run_id="r1",
        registered_model_path=out / "registered.json",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    return train(write_project(root), root)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def empty_registry(home, tmp_path):
    write_empty_registry(tmp_path / "home")


# --- train_model -------------------------------------------------------------------------------------------


def test_a_bundle_holds_its_parts_and_no_pickle(trained):
    assert sorted(trained.bundle.files) == [
        "background.json",
        "dictionary.json",
        "example.json",
        "model.tflite",
        "saved_model/saved_model.pb",
        "saved_model/variables/variables.data-00000-of-00001",
        "saved_model/variables/variables.index",
        "transform.json",
    ]


def test_a_bundle_carries_rows_to_explain_against(trained):
    background = Background.read(trained.bundle_path / "background.json")

    assert 0 < len(background.instances) <= 32
    names = [column.name for column in trained.project.folder.dictionary.inputs]
    assert all(list(instance) == names for instance in background.instances)


def test_a_bundles_dictionary_is_the_projects(trained):
    dictionary = trained.project.folder.dictionary

    assert read_dictionary(trained.bundle_path) == dictionary
    content = json.loads((trained.bundle_path / "dictionary.json").read_text(encoding="utf-8"))
    assert type(dictionary).model_validate(content) == dictionary


TENSOR_TYPES = {ColumnType.CATEGORY: tf.string, ColumnType.TIMESTAMP: tf.float64}


def test_the_signature_takes_the_raw_columns_by_name(trained):
    serve = tf.saved_model.load(str(trained.bundle_path / "saved_model")).signatures["serving_default"]
    _, inputs = serve.structured_input_signature

    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in inputs.items()} == {
        column.name: (TENSOR_TYPES.get(column.type, tf.float32), [None])
        for column in trained.project.folder.dictionary.inputs
    }
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in serve.structured_outputs.items()} == {
        "probability": (tf.float32, [None])
    }


def as_tensorflow_serving_takes_it(value):
    """A value as its row form has it: booleans and times are numbers, nothing is NaN or the empty text."""
    if isinstance(value, str) and value not in CATEGORIES:
        return as_seconds(value)
    return float(value) if isinstance(value, bool) else value


def as_seconds(text):
    return math.nan if text is None else seconds_of(datetime.fromisoformat(text))


def test_the_saved_model_alone_answers_tensorflow_servings_rows_as_our_server_does(trained):
    rows = read_rows(trained.project.rows_path, "test", trained.project.folder.dictionary)
    instances = [rows.instance(place) for place in range(len(rows))]
    features = trained.project.folder.dictionary.inputs
    missing = {c.name: MISSING_CODE if c.type is ColumnType.CATEGORY else float("nan") for c in features}
    body = {
        "signature_name": "serving_default",
        "instances": [
            {
                name: missing[name] if value is None else as_tensorflow_serving_takes_it(value)
                for name, value in instance.items()
            }
            for instance in instances
        ],
    }

    answer = ServedSavedModel(trained.bundle_path / "saved_model").predict(json.dumps(body).encode())

    columns = {column.name: [instance[column.name] for instance in instances] for column in features}
    assert any(None in values for values in columns.values()), "missing values are compared too"
    expected = ServedModel(trained.bundle_path).predict(columns, len(instances))
    assert answer["predictions"] == pytest.approx(expected, abs=1e-5)


def test_the_example_is_a_training_row_and_the_saved_models_answer(trained):
    example = WarmUpExample.read(trained.bundle_path / "example.json")

    assert set(example.instance) == {column.name for column in trained.project.folder.dictionary.inputs}
    assert Served(trained.bundle_path).ask([example.instance])[0] == pytest.approx(
        example.prediction, abs=1e-7
    )


def test_the_history_has_a_loss_for_every_epoch_and_the_best(trained):
    history = TrainingHistory.read(trained.history_path)

    assert len(history.loss) == len(history.val_loss) <= 8
    assert history.val_loss[history.best_epoch - 1] == min(history.val_loss)
    assert history.rows["train"] < 60, "some rows lack a value that drops them"
    width = FittedTransform.read(trained.bundle_path / "transform.json").width
    assert history.parameters == (width + 1) * 4 + 5


def test_the_same_rows_and_seed_give_the_same_bundle_whatever_the_test_rows(trained, tmp_path):
    other_rows = tmp_path / "rows"
    shutil.copytree(trained.project.rows_path, other_rows)
    write_rows(other_rows / "test.parquet", trained.project.folder, rows=300, seed=99)
    # Each in a process of its own: within one, TensorFlow numbers a graph's functions on.
    processes = [
        start_training(trained.project, rows, tmp_path / name)
        for name, rows in (("one", trained.project.rows_path), ("two", other_rows))
    ]
    for process in processes:
        assert process.wait(timeout=120) == 0

    one, two = (read_bundle(tmp_path / name / "bundle") for name in ("one", "two"))
    assert one.files == two.files
    assert one.fingerprint == two.fingerprint
    losses = [TrainingHistory.read(tmp_path / name / "history.json").val_loss for name in ("one", "two")]
    assert losses[0] == losses[1]


def test_other_training_rows_give_another_bundle(trained, tmp_path):
    project = write_project(tmp_path)
    write_rows(project.rows_path / "validation.parquet", project.folder, rows=60, seed=99)

    other = train(project, tmp_path)

    weights = "saved_model/variables/variables.data-00000-of-00001"
    assert other.bundle.files[weights] != trained.bundle.files[weights]


def start_training(project: LearningProject, rows_path: Path, out: Path) -> subprocess.Popen[bytes]:
    flags = {
        "--project-path": project.path,
        "--training-rows-path": rows_path,
        "--feature-service-path": project.feature_service_path,
        "--bundle-path": out / "bundle",
        "--history-path": out / "history.json",
    }
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "components.train_model",
            *(str(word) for pair in flags.items() for word in pair),
        ],
        cwd=SOURCE_ROOT,
        env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)},
    )


def test_another_dictionarys_feature_service_is_refused(trained, tmp_path):
    reference = FeatureServiceReference.read(trained.project.feature_service_path)
    path = tmp_path / "feature_service.json"
    reference.model_copy(update={"features": reference.features[::-1]}).write(path)

    with pytest.raises(InputError, match="is not this dictionary's"):
        train(LearningProject(trained.project.folder, trained.project.rows_path, path), tmp_path)


def test_rows_read_by_another_dictionary_are_refused(trained, tmp_path):
    project = write_project(tmp_path)
    manifest = DatasetManifest.read(project.rows_path / "manifest.json")
    changed = manifest.model_copy(update={"dictionary_fingerprint": "0" * 64})
    changed.write(project.rows_path / "manifest.json")

    with pytest.raises(InputError, match="read by another data dictionary"):
        train(project, tmp_path)


def test_a_training_that_diverges_says_what_to_do(tmp_path):
    training = {"hidden_units": [4], "learning_rate": 1e38, "max_epochs": 3}
    project = write_project(tmp_path, training=training)

    with pytest.raises(InputError, match=r"divide training\.learning_rate"):
        train(project, tmp_path)
    assert not (tmp_path / "bundle").exists()


# --- the two executions of one transform -------------------------------------------------------------------


class Served:
    """A bundle asked in both ways: its SavedModel, and the transform executor before the LiteRT model."""

    def __init__(self, bundle_path: Path) -> None:
        self.transform = FittedTransform.read(bundle_path / "transform.json")
        self._model = tf.saved_model.load(str(bundle_path / "saved_model"))
        self._executor = TransformExecutor(self.transform)
        self._interpreter = Interpreter(model_path=str(bundle_path / "model.tflite"))

    def ask(self, rows):
        tensors = {
            column.name: tf.constant(
                [MISSING_CODE if row[column.name] is None else row[column.name] for row in rows]
            )
            if column.is_categorical
            else tf.constant(
                [float("nan") if row[column.name] is None else row[column.name] for row in rows], tf.float32
            )
            for column in self.transform.inputs
        }
        for name in self.transform.moments:
            tensors[name] = tf.constant([as_seconds(row[name]) for row in rows], tf.float64)
        return self._model.signatures["serving_default"](**tensors)["probability"].numpy()

    def ask_fast(self, rows):
        numbers = self._executor.apply({name: [row[name] for row in rows] for name in self.transform.names})
        (input_,), (output,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._interpreter.resize_tensor_input(input_["index"], numbers.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(input_["index"], numbers)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(output["index"])


@pytest.fixture(scope="module")
def served(trained):
    return Served(trained.bundle_path)


def cells(column):
    number = st.floats(-100, 100, width=32)
    values = {
        ColumnType.FLOAT: number,
        ColumnType.INTEGER: st.integers(-100, 100),
        ColumnType.BOOLEAN: st.booleans(),
        # A code that no training row has is among them.
        ColumnType.CATEGORY: st.sampled_from(CATEGORIES),
        ColumnType.TIMESTAMP: st.datetimes(datetime(1900, 1, 1), datetime(2150, 1, 1)).map(
            datetime.isoformat
        ),
    }[column.type]
    return values if column.missing.is_value_required else st.none() | values


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_executor_and_litert_equal_the_saved_model_on_every_type_and_missing_policy(trained, served, data):
    features = trained.project.folder.dictionary.inputs
    row = st.fixed_dictionaries({column.name: cells(column) for column in features})
    rows = data.draw(st.lists(row, min_size=1, max_size=5))

    np.testing.assert_allclose(served.ask_fast(rows), served.ask(rows), rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_graph_equals_the_executor_on_every_scaling_fence_and_derived_column(data):
    dictionary = data.draw(dictionaries() | dictionaries_with_derived())
    transform = data.draw(transforms(dictionary))
    rows = data.draw(st.lists(instances(dictionary), min_size=1, max_size=5))
    # A column without a code gives nothing, and TensorFlow has no constant of no strings.
    assume(all(column.codes for column in transform.columns if column.is_categorical))
    columns = {column.name: [row[column.name] for row in rows] for column in transform.inputs}
    tensors = {
        column.name: tf.constant([MISSING_CODE if v is None else v for v in columns[column.name]])
        if column.is_categorical
        else tf.constant([math.nan if v is None else float(v) for v in columns[column.name]], tf.float32)
        for column in transform.inputs
    }
    for name in transform.moments:
        columns[name] = [row[name] for row in rows]
        seconds = [math.nan if v is None else seconds_of(v) for v in columns[name]]
        tensors[name] = tf.constant(seconds, tf.float64)

    np.testing.assert_allclose(
        encode(transform, tensors).numpy(), TransformExecutor(transform).apply(columns), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("debt", "derived"), [(1e-37, 1.0), (-5e-40, math.nan)])
def test_a_number_nearer_to_zero_than_float32_has_them_is_zero_to_every_way(debt, derived):
    column = Column(name="made", role="feature", type="float", description="Made.", derived="debt / debt")
    operand = Column(name="debt", role="feature", type="float", description="Owed.")

    graph = derive_tensor(column.expression, {"debt": tf.constant([debt])}, like=tf.constant([0.0]))
    table = derive_values(column.expression, {"debt": np.float32([debt])}, rows=1)
    row = Derivation(column, [operand]).compute([debt])

    np.testing.assert_array_equal(graph.numpy(), np.float32([derived]))
    np.testing.assert_array_equal(table, np.float32([derived]))
    assert row == (None if math.isnan(derived) else derived)


def test_every_type_is_served_with_every_policy_missing_and_not(trained, served):
    generator = random.Random(0)
    features = trained.project.folder.dictionary.inputs
    base = {
        column.name: generator.choice(CATEGORIES) if column.type is ColumnType.CATEGORY else True
        for column in features
    }
    base |= dict.fromkeys(trained.project.folder.dictionary.moments, "1969-07-20T22:17:40.9+02:00")
    fillable = [column.name for column in features if not column.missing.is_value_required]
    rows = [base, *({**base, name: None} for name in fillable), {**base, **dict.fromkeys(fillable)}]

    fast, slow = served.ask_fast(rows), served.ask(rows)

    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-5)
    # The comparison is of something: the rows do not all get one answer.
    assert len(np.unique(slow)) > len(fillable) / 2


# --- evaluate_model ----------------------------------------------------------------------------------------


def test_a_good_model_is_approved_with_intervals_beside_baseline_and_reference(trained, tmp_path):
    verdict = evaluate(trained, tmp_path)

    assert verdict.is_approved
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    assert (verdict.gate, verdict.subject) == ("evaluate_model", trained.bundle.fingerprint)
    assert [check.name for check in verdict.checks] == [
        "roc_auc_floor",
        "better_than_baseline",
        "no_worse_than_champion",
    ]
    evaluation = Evaluation.read(tmp_path / "evaluation.json")
    assert evaluation.rows < 60, "some rows lack a value that drops them"
    assert evaluation.baseline["roc_auc"].value == 0.5
    assert evaluation.reference["roc_auc"].value > 0.6
    assert set(evaluation.improvements) == {"baseline", "reference"}
    assert set(evaluation.curves) == {"model", "reference"}
    confusion = evaluation.curves["model"].confusion
    right = confusion.true_positives + confusion.true_negatives
    assert right / evaluation.rows == pytest.approx(evaluation.metrics["accuracy"].value)
    interval = evaluation.metrics["roc_auc"]
    assert interval.low < interval.value < interval.high
    # The shares call every row the same: no resample differs.
    recall = evaluation.baseline["recall"]
    assert recall.value in (0, 1)
    assert 0 <= recall.low < recall.high <= 1


def test_a_model_below_a_floor_is_rejected_with_everything_written(trained, tmp_path, capsys):
    project = write_project(tmp_path, gates={"floors": {"roc_auc": 0.999}})
    flags = {
        "--project-path": project.path,
        "--training-rows-path": trained.project.rows_path,
        "--bundle-path": trained.bundle_path,
        "--evaluation-path": tmp_path / "evaluation.json",
        "--verdict-path": tmp_path / "verdict.json",
    }

    code = evaluate_main([str(word) for pair in flags.items() for word in pair])

    assert code == 3
    assert "evaluate_model rejected" in capsys.readouterr().err
    verdict = Verdict.read(tmp_path / "verdict.json")
    assert [check.name for check in verdict.checks if not check.is_passed] == ["roc_auc_floor"]
    assert Evaluation.read(tmp_path / "evaluation.json").bundle_fingerprint == verdict.subject


def test_a_model_that_learned_nothing_is_no_better_than_the_baseline(tmp_path):
    project = write_project(tmp_path, gates={})
    for number, split in enumerate(("train", "validation")):
        write_rows(project.rows_path / f"{split}.parquet", project.folder, rows=60, seed=number)
    shuffle_targets(project.rows_path)
    noise = train(project, tmp_path)

    with pytest.raises(GateRejectedError, match="better than the baseline's by"):
        evaluate(noise, tmp_path)


def shuffle_targets(rows_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "validation", "test"):
        table = pq.read_table(rows_path / f"{split}.parquet")
        target = np.random.default_rng(5).permutation(table["answer"].to_numpy())
        table = table.set_column(table.column_names.index("answer"), "answer", pa.array(target))
        pq.write_table(table, rows_path / f"{split}.parquet")


def test_a_bundle_of_other_rows_is_refused(trained, tmp_path):
    rows_path = tmp_path / "rows"
    shutil.copytree(trained.project.rows_path, rows_path)
    manifest = DatasetManifest.read(rows_path / "manifest.json")
    manifest.model_copy(update={"fingerprint": "0" * 64}).write(rows_path / "manifest.json")
    project = LearningProject(trained.project.folder, rows_path, trained.project.feature_service_path)

    with pytest.raises(InputError, match="was not trained on these rows"):
        evaluate(Trained(project, trained.bundle_path, trained.history_path), tmp_path)


def test_a_damaged_bundle_is_refused(trained, tmp_path):
    damaged = tmp_path / "bundle"
    shutil.copytree(trained.bundle_path, damaged)
    (damaged / "transform.json").write_text("{}")

    with pytest.raises(InputError, match=r"transform\.json"):
        evaluate(Trained(trained.project, damaged, trained.history_path), tmp_path)


def test_behavior_and_budgets_are_judged_on_the_test_rows(trained, tmp_path):
    gates = {
        "behaviors": [
            {"column": "float_mean", "by": 5, "prediction": "rises", "tolerance": 1},
            {"column": "category_constant", "prediction": "stays"},
            {"column": "boolean_mean", "to": True, "prediction": "falls", "tolerance": 1},
        ],
        "latency_milliseconds": 1000,
        "bundle_megabytes": 0.001,
    }
    project = write_project(tmp_path, gates=gates)

    with pytest.raises(
        GateRejectedError, match=r"category_constant to any other.*(\n.*)*asked for: at most 0.001 MB"
    ):
        evaluate(trained, tmp_path, project)

    checks = {check.name: check for check in Verdict.read(tmp_path / "verdict.json").checks}
    passed = {name: checks[name].is_passed for name in list(checks)[-5:]}
    assert passed == {
        "behavior:1:float_mean": True,
        "behavior:2:category_constant": False,
        "behavior:3:boolean_mean": True,
        "latency": True,
        "size": False,
    }
    evaluation = Evaluation.read(tmp_path / "evaluation.json")
    assert [len(finding.examples) for finding in evaluation.behaviors] == [0, 3, 0]
    assert 0 < evaluation.latency.median_milliseconds <= evaluation.latency.p99_milliseconds
    weight = sum(path.stat().st_size for path in trained.bundle_path.rglob("*") if path.is_file())
    assert evaluation.bundle_bytes == weight


# --- register_model, and the champion ----------------------------------------------------------------------


@pytest.fixture
def champion(trained, empty_registry, tmp_path):
    """The trained model, registered and serving."""
    out = tmp_path / "champion"
    evaluate(trained, out)
    registered = register(trained, out)
    make_champion(registered.name, registered.version)
    return registered


def test_an_approved_bundle_is_registered_with_its_lineage(trained, empty_registry, tmp_path):
    evaluate(trained, tmp_path)

    registered = register(trained, tmp_path)

    assert registered.version == "1"
    assert read_bundle(registry.bundle_directory(registered)) == trained.bundle
    with registry._client() as client:
        version = client.get_model_version_by_alias("every-column", "candidate")
        assert version.tags == {
            "mulgil.bundle_fingerprint": trained.bundle.fingerprint,
            "mulgil.run_id": "r1",
            "mulgil.data_fingerprint": "f" * 64,
            "mulgil.dictionary_fingerprint": trained.bundle.dictionary_fingerprint,
            "mulgil.feature_service": "every-column",
            "mulgil.store_version": "1",
        }
        run = client.get_run(version.run_id)
        assert run.data.params["hidden_units"] == "[4]"
        assert 0.5 < run.data.metrics["test_roc_auc_low"] < run.data.metrics["test_roc_auc"]
        assert len(client.get_metric_history(version.run_id, "val_loss")) > 1


@pytest.mark.parametrize("verdict", [None, {"is_approved": False}, {"subject": "0" * 64}, {"gate": "other"}])
def test_nothing_is_registered_without_this_bundles_approval(trained, tmp_path, verdict):
    evaluate(trained, tmp_path)
    path = tmp_path / "verdict.json"
    if verdict is None:
        path.unlink()
    else:
        Verdict.read(path).model_copy(update=verdict).write(path)

    with pytest.raises(GateRejectedError):
        register(trained, tmp_path)

    assert not (tmp_path / "home").exists()


def test_another_bundles_evaluation_is_refused(trained, tmp_path):
    evaluate(trained, tmp_path)
    path = tmp_path / "evaluation.json"
    Evaluation.read(path).model_copy(update={"bundle_fingerprint": "0" * 64}).write(path)

    with pytest.raises(InputError, match="is about another bundle"):
        register(trained, tmp_path)


def test_the_champion_is_not_held_against_itself_and_is_judged_the_same_again(trained, champion, tmp_path):
    evaluate(trained, tmp_path)

    (check,) = [c for c in Verdict.read(tmp_path / "verdict.json").checks if "champion" in c.name]
    assert check.is_passed
    assert check.reason == "Not compared: no other version of every-column is the champion"
    # `champion` judged it before there was any.
    assert Verdict.read(tmp_path / "verdict.json") == Verdict.read(tmp_path / "champion" / "verdict.json")


def observe_evaluation(trained, out):
    return evaluate_standing.observe({"bundle": trained.bundle_path}, {"evaluation": out / "evaluation.json"})


def test_a_judgement_stands_until_another_version_is_the_champion(trained, champion, tmp_path):
    evaluate(trained, tmp_path)
    assert observe_evaluation(trained, tmp_path) == {"champion": ""}

    other = write_project(
        tmp_path,
        training={"hidden_units": [5], "learning_rate": 0.05, "max_epochs": 8},
        gates={"champion_margin": 0.9},
    )
    rival = train(other, tmp_path / "rival")
    evaluate(rival, tmp_path / "rival")
    registered = register(rival, tmp_path / "rival")
    make_champion(registered.name, registered.version)

    with pytest.raises(NotReconciledError, match="the champion is another one than it was: version 2"):
        observe_evaluation(trained, tmp_path)
    evaluate(trained, tmp_path, other)
    assert observe_evaluation(trained, tmp_path) == {"champion": rival.bundle.fingerprint}

    (registry.bundle_directory(registered) / "transform.json").write_text("{}")
    with pytest.raises(InputError, match=r"transform\.json"):
        observe_evaluation(trained, tmp_path)


def test_a_registration_stands_until_the_candidate_is_another_or_its_bundle_changed(
    trained, champion, tmp_path
):
    outputs = {"registered_model": tmp_path / "champion" / "registered.json"}

    def observe():
        return register_standing.observe({"bundle": trained.bundle_path}, outputs)

    assert observe() == {"bundle": trained.bundle.fingerprint}

    with registry._client() as client:
        client.delete_registered_model_alias("every-column", "candidate")
    with pytest.raises(NotReconciledError, match="none"):
        observe()
    with registry._client() as client:
        client.set_registered_model_alias("every-column", "candidate", "1")
    observe()

    (registry.bundle_directory(champion) / "transform.json").write_text("{}")
    with pytest.raises(InputError, match=r"transform\.json"):
        observe()


@pytest.mark.parametrize("standing", [evaluate_standing, register_standing])
def test_nothing_stands_in_a_registry_that_is_a_server(trained, standing, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")

    with pytest.raises(NotReconciledError, match="server"):
        standing.observe({"bundle": trained.bundle_path}, {})


def test_a_model_much_worse_than_the_champion_is_rejected(trained, champion, tmp_path):
    project = write_project(tmp_path, training={"hidden_units": [4], "max_epochs": 1, "learning_rate": 1e-9})
    worse = train(project, tmp_path)

    with pytest.raises(GateRejectedError, match=r"differs from the champion's \(version 1\)"):
        evaluate(worse, tmp_path)

    evaluation = Evaluation.read(tmp_path / "evaluation.json")
    assert evaluation.improvements["champion"].value < -0.1
    assert evaluation.champion["roc_auc"].value > evaluation.metrics["roc_auc"].value


def test_a_champion_whose_columns_are_gone_is_not_compared_and_the_verdict_says_so(champion, tmp_path):
    fewer = train(write_project(tmp_path, without="float_mean"), tmp_path)

    verdict = evaluate(fewer, tmp_path)

    (check,) = [c for c in verdict.checks if "champion" in c.name]
    assert check.reason == (
        "Not compared: the champion, version 1, reads columns that are not there any more: float_mean"
    )
