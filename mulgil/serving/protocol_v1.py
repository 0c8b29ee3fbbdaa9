"""KServe's V1 protocol: from the body of `:predict` to columns, and from a prediction to its answer.

Source:
    https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol (KServe 0.21).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from mulgil.contract.answers import AnswerForm, Numbers
from mulgil.contract.dictionary import Column
from mulgil.serving.contract_check import refuse_forgotten, refuse_unknown
from mulgil.serving.explanation import Explanation
from mulgil.serving.messages import RequestError, Response, encode_json, try_body
from mulgil.serving.typed_values import row_types

Instance = dict[str, Any] | list[Any]
RawColumns = dict[str, list[object]]


class PredictRequest(msgspec.Struct):
    """The body of `:predict`.

    Attributes:
        instances: Each an object by column, or each a list in dictionary order.
    """

    instances: list[Instance]


DECODER = msgspec.json.Decoder(PredictRequest)


class TypedReader:
    """Reads and checks the common forms of a request in one go.

    Args:
        columns: The model's, in order.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        # An image is read where all its forms are.
        forms = () if any(column.image for column in columns) else row_types(columns)
        self._decoders = [msgspec.json.Decoder(_request_type(row)) for row in forms]

    def read(self, body: bytes) -> Sequence[object] | None:
        """Return the instances, with an attribute a column; `None` where the slower way is to judge."""
        for decoder in self._decoders:
            if request := try_body(decoder, body):
                return request.instances  # type: ignore[no-any-return]
        return None


def read_columns(
    request: PredictRequest,
    names: Sequence[str],
    image: Column | None = None,
    always: Collection[str] = (),
) -> tuple[RawColumns, int]:
    """Turn instances into columns.

    Args:
        request: The parsed body.
        names: The model's columns, in order.
        image: The model's one column, where that is an image: an instance may then be the image alone.
        always: Columns that each instance must have, if only as null.

    Returns:
        Raw values by column, and the number of instances. A column that an instance lacks is `None` there.

    Raises:
        RequestError: 400; there is no instance, or they are not all of one form.
        ContractViolationError: An instance has a column that the model does not read, or lacks one that it
            must have.
    """
    rows = len(request.instances)
    if rows == 0:
        raise RequestError(400, "`instances` is empty: expected at least one instance.")
    if image is not None:
        return {image.name: [_read_image(instance, image.name) for instance in request.instances]}, rows
    objects = [instance for instance in request.instances if isinstance(instance, dict)]
    lists = [instance for instance in request.instances if isinstance(instance, list)]
    if objects and lists:
        raise RequestError(400, "`instances` mixes objects and lists: expected one form in a request.")
    for place, instance in enumerate(objects if always else ()):
        refuse_forgotten(instance, always, place)
    return (_read_lists(lists, names) if lists else _read_objects(objects, names)), rows


def answer(predictions: Sequence[Numbers], answers: AnswerForm) -> Response:
    """Write the answer of `:predict`."""
    told = [*map(answers.tell, predictions)] if answers.names else predictions
    return Response(200, b'{"predictions":%b}' % encode_json(told))


def answer_explained(
    explanations: Sequence[Explanation], columns: Mapping[str, Column], answers: AnswerForm
) -> dict[str, object]:
    """Write the answer of `:explain`: each column's share in each prediction, and what the columns are.

    A share is a number, or by name where the model gives several. No value of the instance stands in it.
    """

    def tell(numbers: Any) -> float | dict[str, float]:
        values = numbers.tolist()
        return dict(zip(answers.names, values, strict=True)) if answers.names else float(values[0])

    return {
        "explanations": [
            {
                "prediction": tell(one.prediction),
                "expectation": tell(one.expectation),
                "attributions": {name: tell(share) for name, share in zip(columns, one.shares, strict=True)},
                "standard_errors": None
                if one.errors is None
                else {name: tell(error) for name, error in zip(columns, one.errors, strict=True)},
            }
            for one in explanations
        ],
        "columns": {
            column.name: {"description": column.description, "unit": column.unit}
            for column in columns.values()
        },
    }


def _request_type(row: type[msgspec.Struct]) -> Any:
    instances = Annotated[list[row], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]
    return msgspec.defstruct("TypedPredictRequest", [("instances", instances)])


def _read_image(instance: Instance, name: str) -> object:
    """Return an instance's image: by its name, in a list of one, or the instance itself."""
    if isinstance(instance, dict):
        # TensorFlow Serving's way to write the bytes of a model's only input.
        if instance.keys() == {"b64"}:
            return instance
        refuse_unknown(instance, (name,), instance=0)
        return instance.get(name)
    is_wrapped = len(instance) == 1 and isinstance(instance[0], dict | str)
    return instance[0] if is_wrapped else instance


def _read_objects(instances: list[dict[str, Any]], names: Sequence[str]) -> RawColumns:
    known = frozenset(names)
    for place, instance in enumerate(instances):
        if not known.issuperset(instance):
            refuse_unknown(instance, names, place)
    return {name: [instance.get(name) for instance in instances] for name in names}


def _read_lists(instances: list[list[Any]], names: Sequence[str]) -> RawColumns:
    for place, instance in enumerate(instances):
        if len(instance) != len(names):
            raise RequestError(
                400,
                f"instance {place}: expected {len(names)} values in the order {', '.join(names)}; "
                f"received {len(instance)}.",
            )
    return {name: list(values) for name, values in zip(names, zip(*instances, strict=True), strict=True)}
