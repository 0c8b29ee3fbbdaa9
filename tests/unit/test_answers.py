"""What a model's numbers become for those who ask."""

import pytest
from served_bundles import dictionary_of

from mulgil.contract import Task
from mulgil.contract.answers import AnswerForm, OutputTensor, differ

ROWS = {
    Task.BINARY_CLASSIFICATION: [0.25, 0.75],
    Task.MULTICLASS_CLASSIFICATION: [[0.1, 0.7, 0.2], [0.4, 0.4, 0.2]],
    Task.MULTILABEL_CLASSIFICATION: [[0.1, 0.7], [0.9, 0.2]],
    Task.SCALAR_REGRESSION: [250.0, -3.5],
    Task.VECTOR_REGRESSION: [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
}


def form(task):
    return AnswerForm.of(task, dictionary_of(task))


@pytest.mark.parametrize(
    ("task", "first"),
    [
        (Task.BINARY_CLASSIFICATION, 0.25),
        (
            Task.MULTICLASS_CLASSIFICATION,
            {"label": "물길", "probabilities": {"none": 0.1, "물길": 0.7, "3": 0.2}},
        ),
        (Task.MULTILABEL_CLASSIFICATION, {"left": 0.1, "right": 0.7}),
        (Task.SCALAR_REGRESSION, 250.0),
        (Task.VECTOR_REGRESSION, {"days": 1.0, "cost": 2.0, "visits": 3.0}),
    ],
)
def test_v1_answers_in_the_dictionarys_words(task, first):
    assert form(task).tell(ROWS[task][0]) == first


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        (Task.BINARY_CLASSIFICATION, {"probability": [0.25, 0.75]}),
        (
            Task.MULTICLASS_CLASSIFICATION,
            {"label": ["물길", "none"], "probabilities": [0.1, 0.7, 0.2, 0.4, 0.4, 0.2]},
        ),
        (Task.MULTILABEL_CLASSIFICATION, {"left": [0.1, 0.9], "right": [0.7, 0.2]}),
        (Task.SCALAR_REGRESSION, {"prediction": [250.0, -3.5]}),
        (Task.VECTOR_REGRESSION, {"days": [1.0, 4.0], "cost": [2.0, 5.0], "visits": [3.0, 6.0]}),
    ],
)
def test_v2_has_the_same_numbers_in_the_tensors_that_it_announces(task, columns):
    answers = form(task)

    assert answers.columns(ROWS[task]) == columns
    assert {tensor.name for tensor in answers.tensors} == columns.keys()


def test_of_classes_v2_announces_label_and_probabilities():
    assert form(Task.MULTICLASS_CLASSIFICATION).tensors == (
        OutputTensor("label", "BYTES"),
        OutputTensor("probabilities", "FP32", 3),
    )


@pytest.mark.parametrize(
    ("one", "other", "is_other"),
    [
        (0.5, 0.500001, False),
        (0.5, 0.5001, True),
        # float32 has seven digits, so that the bound grows with the number.
        (123456.0, 123456.5, False),
        (123456.0, 123459.0, True),
        ([0.1, 0.9], [0.1, 0.9], False),
        ([0.1, 0.9], [0.1], True),
        (0.5, [0.5], True),
        ({"a": 1.0}, {"b": 1.0}, True),
        ({"label": "a", "probabilities": {"a": 0.5}}, {"label": "b", "probabilities": {"a": 0.5}}, False),
        (float("nan"), float("nan"), True),
    ],
)
def test_answers_agree_within_the_tolerance(one, other, is_other):
    assert differ(one, other, 1e-5) is is_other
