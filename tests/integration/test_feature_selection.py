"""Features are chosen by the training rows; a request brings all, and the model reads those chosen."""

import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from learning_project import train_project, write_project

from components.train_model.checkpoints import Checkpoints
from components.train_model.comparison import fit_part
from components.train_model.core import make_learner
from components.train_model.estimators import Estimators
from components.train_model.fit_transform import fit_transform
from components.train_model.heads import Head, make_head
from components.train_model.learners import Curve, Examples
from components.train_model.network import NetworkBuilder
from components.train_model.neural_network import NeuralNetwork
from components.train_model.progress import LocalProgress
from components.train_model.selection import _divide, select_features
from mulgil.artifacts import FeatureSelection
from mulgil.contract import DataDictionary, Task, load_project
from mulgil.contract.expressions import parse_expression
from mulgil.contract.learning import SEEDS, Family, Training
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import ContractError, InputError
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.rows import TrainingRows, read_rows
from mulgil.serving.model import TOLERANCE, ContractViolationError, ServedModel

FEATURES = [
    {"name": "noise", "type": "float"},
    {"name": "level", "type": "float"},
    {"name": "bent", "type": "float"},
    {"name": "colour", "type": "category", "categories": ["red", "green", "blue"]},
    {"name": "shape", "type": "category", "categories": ["round", "long", "flat", "odd"]},
]
SPECIFICATION = specify_preprocessing(
    DataDictionary.model_validate(
        {
            "columns": [
                {"name": "key", "role": "entity", "type": "integer", "description": "Who."},
                {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
                *({"description": "Any.", **feature} for feature in FEATURES),
                {"name": "answer", "role": "target", "type": "boolean", "description": "Whether."},
            ]
        }
    )
)


def draw_rows(task, rows=400):
    """Rows whose truth follows `level`, `bent` and `colour`, and neither `noise` nor `shape`."""
    generator = np.random.default_rng(3)
    numbers = {name: generator.normal(size=rows) for name in ("noise", "level", "bent")}
    codes = {
        "colour": generator.choice(["red", "green", "blue"], rows),
        "shape": generator.choice(["round", "long", "flat", "odd"], rows),
    }
    level = 1.5 * numbers["level"] + numbers["bent"] ** 2 - 1 + 2.0 * (codes["colour"] == "blue")
    other = -2.0 * numbers["level"] + generator.normal(0, 0.5, rows)
    level = level + generator.normal(0, 0.5, rows)
    target = {
        Task.BINARY_CLASSIFICATION: level > 0.5,
        Task.MULTICLASS_CLASSIFICATION: np.digitize(level, [-0.5, 1.5]),
        Task.MULTILABEL_CLASSIFICATION: np.stack([level > 0.5, other > 0], axis=1),
        Task.SCALAR_REGRESSION: level,
        Task.VECTOR_REGRESSION: np.stack([level, other], axis=1),
    }[task]
    features = pa.table({**numbers, **{name: pa.array(values) for name, values in codes.items()}})
    return TrainingRows(features, target, left_out=0)


def select(task, tmp_path, family=Family.RANDOM_FOREST, **selection):
    rows = draw_rows(task)
    width = {Task.MULTICLASS_CLASSIFICATION: 3}.get(task, rows.target.shape[1] if rows.target.ndim > 1 else 1)
    training = Training(family=family, selection=selection, hyperparameters={"n_estimators": 60})
    transform = fit_transform(SPECIFICATION, rows.tensors)
    folder = write_project(tmp_path).folder
    folder.project.__dict__["training"] = training
    learner = make_learner(family, folder, Checkpoints(LocalProgress(tmp_path / "checkpoints")))
    return select_features(training, learner, transform, make_head(task, width, rows), rows)


@pytest.mark.parametrize(
    ("method", "task"),
    [
        ("mutual_information", Task.VECTOR_REGRESSION),
        ("mutual_information", Task.MULTICLASS_CLASSIFICATION),
        ("select_from_model", Task.BINARY_CLASSIFICATION),
        ("permutation_importance", Task.MULTILABEL_CLASSIFICATION),
        ("permutation_importance", Task.SCALAR_REGRESSION),
    ],
)
def test_what_says_something_is_kept_and_what_says_nothing_is_not(method, task, tmp_path):
    assert select(task, tmp_path, method=method).kept == {"level", "bent", "colour"}


def test_the_same_rows_and_seed_choose_the_same(tmp_path):
    one, other = (
        select(Task.BINARY_CLASSIFICATION, tmp_path / name, method="permutation_importance")
        for name in ("one", "other")
    )
    assert one == other


@pytest.mark.parametrize("method", ["mutual_information", "permutation_importance"])
def test_as_many_are_kept_as_are_asked_for(method, tmp_path):
    selected = select(Task.BINARY_CLASSIFICATION, tmp_path, method=method, columns=1)

    [kept] = selected.kept
    assert max(selected.features, key=lambda feature: feature.importance).name == kept


def test_one_feature_is_kept_where_none_says_anything():
    rows = draw_rows(Task.SCALAR_REGRESSION)
    shuffled = np.random.default_rng(0).permutation(rows.target)
    rows = TrainingRows(rows.features.select(["noise"]), shuffled, 0)
    specification = type(SPECIFICATION)(SPECIFICATION.columns[:1])
    training = Training(family="linear", selection={"method": "mutual_information"})
    transform = fit_transform(specification, rows.tensors)

    selected = select_features(training, None, transform, make_head(Task.SCALAR_REGRESSION, 1, rows), rows)

    assert selected.kept == {"noise"}


def rare_rows():
    """Of 30,000, of which `level` alone tells the twelve that are yes."""
    target = np.arange(30_000) % 2_500 == 0
    random = np.random.default_rng(0)
    noise, level = random.normal(size=(2, len(target)))
    features = pa.table({"noise": noise, "level": level + 8 * target})
    return TrainingRows(features, target, left_out=0)


@pytest.mark.parametrize("method", ["mutual_information", "permutation_importance"])
def test_a_rare_class_is_among_the_rows_that_are_looked_at(method, tmp_path):
    rows = rare_rows()
    training = Training(family="linear", selection={"method": method})
    transform = fit_transform(type(SPECIFICATION)(SPECIFICATION.columns[:2]), rows.tensors)
    head = make_head(Task.BINARY_CLASSIFICATION, 1, rows)

    selected = select_features(training, Estimators(Family.LINEAR, training), transform, head, rows)

    assert selected.rows == 5_000
    noise, level = selected.features
    assert level.is_kept
    # Whether so little noise is kept is up to chance, in one of twenty draws.
    assert level.importance > 5 * noise.importance


def test_a_class_of_which_there_is_no_row_is_told():
    head = Head(Task.MULTICLASS_CLASSIFICATION, 3)
    examples = Examples(np.zeros((9, 1), np.float32), np.array([0, 0, 0, 0, 0, 2, 2, 2, 2]))

    with pytest.raises(InputError, match="too few rows of a class"):
        _divide(examples, head, 0)


class NotingNetwork(NeuralNetwork):
    """It notes which of its first column's values it would fit on, and stop by; one epoch is enough here."""

    def look(self, head, train, validation):
        LOOKS.append([set(part.numbers[:, 0].tolist()) for part in (train, validation)])
        return Curve((1.0,), (1.0,))


LOOKS = []


def test_no_entity_is_fitted_on_and_stops_the_fit_or_is_held_out(tmp_path):
    LOOKS.clear()
    entities = np.repeat(np.arange(10), 6)
    noise = np.random.default_rng(0).normal(size=60)
    # The first column tells whose row it is.
    features = pa.table({"noise": entities.astype(np.float64), "level": noise})
    rows = TrainingRows(features, noise, left_out=0, entities=entities)
    training = Training(
        hidden_units=(2,), max_epochs=2, selection={"method": "permutation_importance", "columns": 2}
    )
    network = NotingNetwork(
        NetworkBuilder(training, None, tmp_path), Checkpoints(LocalProgress(tmp_path / "checkpoints"))
    )
    specification = type(SPECIFICATION)(SPECIFICATION.columns[:2])

    fit_part(network, make_head(Task.SCALAR_REGRESSION, 1, rows), specification, rows, training)

    assert len(LOOKS) == 4, "three folds of the choice, and the fit"
    for fitted, left in LOOKS:
        assert left
        assert not fitted & left


def test_too_few_entities_to_choose_or_to_stop_by_are_told(tmp_path):
    rows = TrainingRows(pa.table({"noise": np.arange(8.0)}), np.arange(8.0), 0, entities=np.zeros(8))
    head = make_head(Task.SCALAR_REGRESSION, 1, rows)
    specification = type(SPECIFICATION)(SPECIFICATION.columns[:1])

    for settings, words in (
        ({"selection": {"method": "permutation_importance"}}, "hold some"),
        ({}, "stop a fit"),
    ):
        training = Training(**settings)
        network = NeuralNetwork(
            NetworkBuilder(training, None, tmp_path), Checkpoints(LocalProgress(tmp_path))
        )
        with pytest.raises(InputError, match=f"too few entities to {words}"):
            fit_part(network, head, specification, rows, training)


def test_forests_are_grown_by_the_greatest_seed_too():
    rows = draw_rows(Task.SCALAR_REGRESSION, 60)
    training = Training(family="linear", selection={"method": "select_from_model"}, seed=SEEDS - 1)
    transform = fit_transform(SPECIFICATION, rows.tensors)

    selected = select_features(training, None, transform, make_head(Task.SCALAR_REGRESSION, 1, rows), rows)

    assert "level" in selected.kept


@pytest.fixture(scope="module", params=[Family.LINEAR, Family.NEURAL_NETWORK])
def trained(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("selected")
    training = {
        "family": request.param,
        "selection": {"method": "mutual_information", "columns": 6},
        **({"hidden_units": [4], "max_epochs": 3} if request.param is Family.NEURAL_NETWORK else {}),
    }
    project = write_project(root, training=training, gates={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULGIL_HOME", str(root / "home"))
        history = train_project(project, root)
    return project, root / "bundle", history


def test_the_bundle_and_the_history_tell_of_the_choice(trained):
    _, bundle, history = trained

    assert FeatureSelection.read(bundle / "selection.json") == history.selection
    assert len(history.selection.kept) == 6
    assert history.selection.rows == history.rows["train"], "and of no other rows"
    transform = FittedTransform.read(bundle / "transform.json")
    assert {column.name for column in transform.columns if column.width} == history.selection.kept


def columns_of(project):
    rows = read_rows(project.rows_path, "test", project.folder.dictionary)
    instances = [rows.instance(place) for place in range(len(rows))]
    return rows, {name: [row[name] for row in instances] for name in instances[0]}


def test_what_was_left_out_changes_no_answer_and_what_was_kept_does(trained):
    project, bundle, history = trained
    served = ServedModel(bundle)
    rows, columns = columns_of(project)
    before = served.predict(columns, len(rows))
    kept = history.selection.kept
    read = kept | {
        name
        for column in project.folder.dictionary.features
        if column.name in kept and column.derived
        for name in parse_expression(column.derived).columns
    }

    for name, values in columns.items():
        after = served.predict({**columns, name: values[::-1]}, len(rows))
        assert (after != before) == (name in read), name


def test_the_saved_model_takes_all_and_answers_as_the_server_does(trained):
    project, bundle, history = trained
    if history.family != Family.NEURAL_NETWORK:
        assert not (bundle / "saved_model").exists()
        return
    rows, columns = columns_of(project)
    serve = tf.saved_model.load(str(bundle / "saved_model")).signatures["serving_default"]
    inputs = {column.name for column in project.folder.dictionary.inputs}

    assert serve.structured_input_signature[1].keys() == inputs
    answer = serve(**{name: tf.constant(rows.tensors[name]) for name in inputs})["probability"]
    served = ServedModel(bundle).predict(columns, len(rows))
    np.testing.assert_allclose(answer, served, atol=TOLERANCE)


def test_the_contract_holds_for_what_was_left_out(trained):
    project, bundle, history = trained
    served = ServedModel(bundle)
    rows, columns = columns_of(project)
    left_out = [c for c in project.folder.dictionary.inputs if c.name not in history.selection.kept]
    required = [column.name for column in left_out if column.missing.is_value_required]
    coded = [column.name for column in left_out if column.categories]
    assert required
    assert coded

    for name, value in [*((name, None) for name in required), *((name, "unheard of") for name in coded)]:
        for count in (1, len(rows)):
            wrong = {one: [*values[: count - 1], values[-1]] for one, values in columns.items()}
            wrong[name][-1] = value
            with pytest.raises(ContractViolationError, match=name):
                served.predict(wrong, count)


def test_more_columns_than_there_are_are_refused_with_file_and_line(tmp_path):
    project = write_project(tmp_path)
    content = json.loads((project.path / "project.yaml").read_text())
    content["training"] = {"selection": {"method": "mutual_information", "columns": 99}}
    (project.path / "project.yaml").write_text(json.dumps(content, indent=1))

    with pytest.raises(ContractError, match=r"project.yaml:\d+: training: selection: .*columns=99"):
        load_project(project.path)
