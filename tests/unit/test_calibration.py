import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.special import expit, log_softmax, softmax

from components.evaluate_model.calibration_error import check_calibration, measure_calibration_error
from components.train_model.calibration import calibrate, fit_calibration
from components.train_model.heads import Head
from components.train_model.learners import measure_loss
from components.train_model.onnx_calibration import CALIBRATION_OPSET, map_probabilities
from mulgil.contract import Task
from mulgil.serving.model import TOLERANCE

KINDS = ["isotonic", "platt", "temperature"]
TASKS = [task for task in Task if task.is_classification]
ROWS = 20_000
HEADS = {
    Task.BINARY_CLASSIFICATION: Head(Task.BINARY_CLASSIFICATION, 1),
    Task.MULTICLASS_CLASSIFICATION: Head(Task.MULTICLASS_CLASSIFICATION, 3),
    Task.MULTILABEL_CLASSIFICATION: Head(Task.MULTILABEL_CLASSIFICATION, 2),
}


def simulate(task, too_sure=3.0, rows=ROWS, seed=0):
    """Return the truth, and probabilities whose log odds are so many times too great."""
    chance = np.random.default_rng(seed)
    if task is Task.MULTICLASS_CLASSIFICATION:
        scores = chance.normal(0, 1.5, (rows, 3))
        true = softmax(scores, axis=1)
        target = (chance.random((rows, 1)) > np.cumsum(true, axis=1)).sum(axis=1).astype(np.int32)
        return target, np.exp(log_softmax(too_sure * scores, axis=1)).astype(np.float32)
    scores = chance.normal(0, 1.5, rows if task is Task.BINARY_CLASSIFICATION else (rows, 2))
    target = (chance.random(scores.shape) < expit(scores)).astype(np.float32)
    return target, expit(too_sure * scores).astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_too_sure_says_what_comes_true_on_rows_that_nobody_saw(kind, task):
    head = HEADS[task]
    calibration = fit_calibration(kind, head, *simulate(task))
    target, given = simulate(task, seed=1)
    mapped = calibrate(calibration, given, np)

    truth = target if task is Task.MULTICLASS_CLASSIFICATION else target.astype(bool)
    assert measure_calibration_error(task, truth, given) > 0.1
    assert measure_calibration_error(task, truth, mapped) < 0.03
    assert measure_loss(head, target, mapped) < measure_loss(head, target, given) - 0.1
    if task is Task.MULTICLASS_CLASSIFICATION:
        np.testing.assert_allclose(mapped.sum(axis=1), 1, atol=1e-5)
    elif kind != "isotonic":
        np.testing.assert_allclose(calibration.slopes, 1 / 3, atol=0.02)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_graph_and_onnx_map_alike_however_sure_the_model_is(kind, task):
    # Fifty rows leave an isotonic map steep, and the probabilities reach both ends of float32.
    calibration = fit_calibration(kind, HEADS[task], *simulate(task, rows=50))
    _, given = simulate(task, too_sure=30.0)
    expected = calibrate(calibration, given.astype(np.float64), np)

    in_graph = np.asarray(calibrate(calibration, keras.ops.array(given)))

    nodes, constants = map_probabilities(calibration, "given", "mapped")
    shape = ["rows", *given.shape[1:]]
    graph = helper.make_graph(
        nodes,
        "map",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("mapped", TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", CALIBRATION_OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [in_onnx] = session.run(None, {"given": given})

    np.testing.assert_allclose(in_graph, expected, atol=TOLERANCE)
    np.testing.assert_allclose(in_onnx, expected, atol=TOLERANCE)
    assert in_graph.shape == given.shape


@pytest.mark.parametrize("kind", KINDS)
def test_one_unit_of_the_last_place_moves_no_answer_beyond_what_server_and_graph_may_differ_by(kind):
    calibration = fit_calibration(kind, HEADS[Task.BINARY_CLASSIFICATION], *simulate(TASKS[0], rows=50))
    _, given = simulate(TASKS[0], too_sure=30.0)
    nearly = np.nextafter(given, np.float32(0))

    moved = calibrate(calibration, given.astype(float), np) - calibrate(calibration, nearly.astype(float), np)

    assert np.abs(moved).max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_never_turns_the_order_of_two_answers(kind):
    calibration = fit_calibration(kind, HEADS[Task.BINARY_CLASSIFICATION], *simulate(TASKS[0], rows=200))

    mapped = calibrate(calibration, np.linspace(0, 1, 2001), np)

    assert (np.diff(mapped) >= -1e-7).all()
    assert mapped[0] >= 0
    assert mapped[-1] <= 1
    assert mapped[-1] > mapped[0]


def test_an_isotonic_map_of_rows_that_a_model_tells_apart_is_no_surer_than_they_can_show():
    target = np.repeat([0.0, 1.0], 20)
    calibration = fit_calibration("isotonic", HEADS[Task.BINARY_CLASSIFICATION], target, target * 0.8 + 0.1)

    assert calibration.levels == ((1 / 42, 41 / 42),)


def test_few_rows_tell_a_calibrated_model_from_one_that_is_too_sure():
    errors = {
        too_sure: [
            measure_calibration_error(Task.BINARY_CLASSIFICATION, target > 0, given)
            for seed in range(200)
            for target, given in [simulate(Task.BINARY_CLASSIFICATION, too_sure, rows=100, seed=seed)]
        ]
        for too_sure in (1.0, 3.0)
    }

    assert np.median(errors[1.0]) < 0.03
    assert np.median(errors[3.0]) > 0.12


def test_the_error_is_the_distance_between_what_is_said_and_what_comes_true():
    target = np.arange(10_000) % 2 == 0

    assert measure_calibration_error(
        Task.BINARY_CLASSIFICATION, target, np.full(10_000, 0.8)
    ) == pytest.approx(0.3, abs=0.001)
    assert measure_calibration_error(Task.SCALAR_REGRESSION, target, np.zeros(10_000)) is None


@pytest.mark.parametrize(("error", "is_passed"), [(0.05, True), (0.051, False), (None, False)])
def test_the_gate_wants_an_error_within_the_limit_and_rows_that_can_tell(error, is_passed):
    assert check_calibration(error, 0.05).is_passed is is_passed
