"""KServe's V2 (Open Inference Protocol) over REST: from tensors to columns, and from a prediction to tensors.

Source:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec

from mulgil.contract.dictionary import Column, ColumnType
from mulgil.serving.contract_check import refuse_unknown
from mulgil.serving.messages import RequestError, try_body
from mulgil.serving.typed_values import row_types, tensor_type

RawColumns = dict[str, list[object]]

# What metadata announces. FP64 and not FP32 for floats: a value must reach the contract check as the client
# has it, or a bound of 0.1 refuses 0.1.
_DATATYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.CATEGORY: "BYTES",
}
OUTPUT_DATATYPE = "FP32"

_NUMERIC = ("FP64", "FP32", "INT64", "INT32")
_ACCEPTED = {
    ColumnType.FLOAT: _NUMERIC,
    # A nullable integer, boolean or code reaches a client's data frame as a float.
    ColumnType.INTEGER: _NUMERIC,
    ColumnType.BOOLEAN: ("BOOL", *_NUMERIC),
    ColumnType.CATEGORY: ("BYTES", "BOOL", *_NUMERIC),
}
_ELEMENTS: dict[str, frozenset[type]] = {
    "BYTES": frozenset({str, type(None)}),
    "BOOL": frozenset({bool, type(None)}),
    "INT32": frozenset({int, type(None)}),
    "INT64": frozenset({int, type(None)}),
    "FP32": frozenset({int, float, type(None)}),
    "FP64": frozenset({int, float, type(None)}),
}


class InputTensor(msgspec.Struct):
    """One tensor of a request: one column.

    Attributes:
        name: The column.
        shape: `[n]` or `[n, 1]`.
        datatype: One that the column's type takes.
        data: Flat or nested; `null` is a missing value.
        parameters: `binary_data_size` announces the binary extension.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class RequestedOutput(msgspec.Struct):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The body of `infer`."""

    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


DECODER = msgspec.json.Decoder(InferRequest)


@dataclass(frozen=True, slots=True)
class TypedRequest:
    """A request whose values were checked by type.

    Attributes:
        instances: With an attribute a column.
        id: The client's.
    """

    instances: Sequence[object]
    id: str | None


class TypedReader:
    """Reads and checks the common form of a request, one flat tensor a column, in one go.

    Args:
        columns: The model's, in order.
        output: Name of the model's output.
    """

    def __init__(self, columns: Sequence[Column], output: str) -> None:
        tensors: Any = _tensor_types(columns)
        self._decoder = msgspec.json.Decoder(
            msgspec.defstruct(
                "TypedInferRequest",
                [
                    ("inputs", Annotated[list[tensors], msgspec.Meta(min_length=1)]),
                    ("outputs", list[RequestedOutput] | None, None),
                    ("id", str | None, None),
                    ("parameters", dict[str, Any] | None, None),
                ],
            )
        )
        self._instance = row_types(columns)[1]
        self._names = tuple(column.name for column in columns)
        self._required = frozenset(column.name for column in columns if column.missing.is_value_required)
        self._output = output

    def read(self, body: bytes) -> TypedRequest | None:
        """Return the instances; `None` where the slower way is to judge.

        Raises:
            RequestError: 400; the client asks for an output or an extension that there is not.
        """
        request: Any = try_body(self._decoder, body)
        if request is None:
            return None
        if request.outputs or request.parameters:
            _check_outputs(request, self._output)
        tensors = request.inputs
        rows = len(tensors[0].data)
        values = {tensor.column: tensor.data for tensor in tensors}
        shapes = [tensor.shape for tensor in tensors]
        is_whole = (
            rows > 0
            and len(values) == len(tensors)
            and shapes.count([rows]) + shapes.count([rows, 1]) == len(tensors)
            and set(map(len, values.values())) == {rows}
            and (len(values) == len(self._names) or self._required <= values.keys())
        )
        if not is_whole:
            return None
        absent = [None] * rows
        ordered = [values.get(name, absent) for name in self._names]
        return TypedRequest(list(map(self._instance, *ordered)), request.id)


def read_columns(request: InferRequest, columns: Mapping[str, Column], output: str) -> tuple[RawColumns, int]:
    """Turn a request's tensors into columns.

    Args:
        request: The parsed body.
        columns: The model's columns by name.
        output: Name of the model's output.

    Returns:
        Raw values by column, and the number of instances.

    Raises:
        RequestError: 400; a tensor's name, shape, datatype or data do not go together, or the client asks
            for an output or an extension that there is not.
        ContractViolationError: A tensor is of no column of the model.
    """
    _check_outputs(request, output)
    names = [tensor.name for tensor in request.inputs]
    if not names:
        raise RequestError(400, "`inputs` is empty: expected one tensor a column.")
    refuse_unknown(names, tuple(columns), instance=0)
    rows = request.inputs[0].shape[0] if request.inputs[0].shape else 0
    result = {tensor.name: _read_tensor(tensor, columns[tensor.name], rows) for tensor in request.inputs}
    if len(result) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise RequestError(400, f"`inputs` has more than one tensor of the column {', '.join(twice)}.")
    return result, rows


def answer(
    predictions: list[float], *, name: str, version: str, output: str, identifier: str
) -> dict[str, object]:
    """Write the answer of `infer`."""
    return {
        "model_name": name,
        "model_version": version,
        "id": identifier,
        "outputs": [
            {"name": output, "shape": [len(predictions)], "datatype": OUTPUT_DATATYPE, "data": predictions}
        ],
    }


def describe_model(*, name: str, version: str, columns: Sequence[Column], output: str) -> dict[str, object]:
    """Write a model's metadata, with the dictionary's names and types."""
    return {
        "name": name,
        "versions": [version],
        "platform": "mulgil",
        "inputs": [
            {"name": column.name, "datatype": _DATATYPES[column.type], "shape": [-1]} for column in columns
        ],
        "outputs": [{"name": output, "datatype": OUTPUT_DATATYPE, "shape": [-1]}],
    }


def _tensor_types(columns: Sequence[Column]) -> Any:
    """Return the union of the columns' tensors, told apart by their name."""
    types = []
    for column in columns:
        datatypes, element = tensor_type(column)
        fields: list[Any] = [
            ("shape", list[int]),
            ("datatype", Literal[datatypes]),
            ("data", list[element]),  # type: ignore[valid-type]
            ("parameters", dict[str, Any] | None, None),
        ]
        # The decoder asks for a tag only where there are several types.
        tag: dict[str, Any] = {"tag_field": "name", "tag": column.name}
        if len(columns) == 1:
            fields.append(("name", Literal[column.name]))
            tag = {}
        namespace = {"column": column.name}
        types.append(msgspec.defstruct("TypedInputTensor", fields, namespace=namespace, kw_only=True, **tag))
    return reduce(or_, types)


def _check_outputs(request: InferRequest, output: str) -> None:
    wanted = request.outputs or []
    unknown = [tensor.name[:80] for tensor in wanted if tensor.name != output]
    if unknown:
        raise RequestError(400, f"`outputs`: expected only {output}; received {', '.join(unknown[:10])}.")
    parameters = [request.parameters, *(tensor.parameters for tensor in wanted)]
    if any((p or {}).get("binary_data_output") or (p or {}).get("binary_data") for p in parameters):
        raise RequestError(400, "Binary outputs are not offered by this server: leave the parameter out.")


def _read_tensor(tensor: InputTensor, column: Column, rows: int) -> list[object]:
    """Check one tensor's shape and datatype, and flatten its data."""
    name = tensor.name
    if tensor.shape not in ([rows], [rows, 1]) or rows < 1:
        raise RequestError(
            400,
            f"input {name}: expected the shape [n] or [n, 1], n alike in all; received {tensor.shape[:8]}.",
        )
    accepted = _ACCEPTED[column.type]
    if tensor.datatype not in accepted:
        raise RequestError(
            400,
            f"input {name}: expected the datatype {' or '.join(accepted)}; received {tensor.datatype[:20]}.",
        )
    if tensor.data is None:
        raise RequestError(
            400, f"input {name}: expected `data`, for binary tensors are not offered by this server."
        )
    data = tensor.data
    if len(tensor.shape) == 2 and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != rows:
        raise RequestError(400, f"input {name}: expected {rows} values; received {len(data)}.")
    if not _ELEMENTS[tensor.datatype].issuperset(map(type, data)):
        raise RequestError(400, f"input {name}: expected every value to be {tensor.datatype} or null.")
    return data
