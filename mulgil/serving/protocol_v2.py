"""KServe's V2 (Open Inference Protocol) over REST: from tensors to columns, and from a prediction to tensors.

Source:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from mulgil.contract.answers import AnswerForm, Numbers, OutputTensor
from mulgil.contract.dictionary import Column, ColumnType
from mulgil.serving.binary_tensors import Elements, read_elements, read_files, write_elements
from mulgil.serving.contract_check import refuse_unknown
from mulgil.serving.messages import RequestError, Response, encode_json, try_body
from mulgil.serving.typed_values import row_types, tensor_type

RawColumns = dict[str, Sequence[object] | Elements]
NO_CONTENT = memoryview(b"")

# What metadata announces. FP64 and not FP32 for floats: a value must reach the contract check as the client
# has it, or a bound of 0.1 refuses 0.1.
_DATATYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.CATEGORY: "BYTES",
    ColumnType.IMAGE: "BYTES",
    ColumnType.TIMESTAMP: "BYTES",
}

_NUMERIC = ("FP64", "FP32", "INT64", "INT32")
_WHOLE = ("INT64", "INT32")
_ACCEPTED = {
    ColumnType.FLOAT: _NUMERIC,
    # A nullable integer, boolean or code reaches a client's data frame as a float.
    ColumnType.INTEGER: _NUMERIC,
    ColumnType.BOOLEAN: ("BOOL", *_NUMERIC),
    ColumnType.CATEGORY: ("BYTES", "BOOL", *_NUMERIC),
    # A file, or its pixels.
    ColumnType.IMAGE: ("BYTES", "UINT8", *_NUMERIC),
    # An entity may be of this type.
    ColumnType.TEXT: ("BYTES",),
    ColumnType.TIMESTAMP: ("BYTES",),
}
_ELEMENTS: dict[str, frozenset[type]] = {
    "BYTES": frozenset({str, type(None)}),
    "BOOL": frozenset({bool, type(None)}),
    "UINT8": frozenset({int}),
    "INT32": frozenset({int, type(None)}),
    "INT64": frozenset({int, type(None)}),
    "FP32": frozenset({int, float, type(None)}),
    "FP64": frozenset({int, float, type(None)}),
}


class InputTensor(msgspec.Struct):
    """One tensor of a request: one column, or all of them in dictionary order.

    Attributes:
        name: The column; any other name where the one tensor holds all columns.
        shape: `[n]` or `[n, 1]`; of all columns `[n, columns]`; of images' pixels `[n, …]` as they lie.
        datatype: One that the column's type takes.
        data: Flat or nested; `null` is a missing value.
        parameters: `binary_data_size` says how many bytes behind the JSON are the tensor's, which then has
            no `data`.
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


class _NoParameters(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters that say nothing."""


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
        wanted: By output that is wanted, whether as bytes; all as JSON where there are none.
    """

    instances: Sequence[object]
    id: str | None
    wanted: Mapping[str, bool]


class TypedReader:
    """Reads and checks the common form of a request, one flat tensor a column, in one go.

    Args:
        columns: The model's, in order.
        outputs: Names of the outputs that may be asked for.
    """

    def __init__(self, columns: Sequence[Column], outputs: Sequence[str]) -> None:
        tensors: Any = _tensor_types(columns)
        # An image is read where all its forms are.
        self._reads_images = any(column.image for column in columns)
        self._decoder = _request_decoder(Annotated[list[tensors], msgspec.Meta(min_length=1)])
        self._decoder_of_one = _request_decoder(tuple[_tensor_types_of_one(columns)])  # type: ignore[misc]
        self._instance = row_types(columns)[1]
        self._join = _write_join(self._instance, len(columns))
        self._names = tuple(column.name for column in columns)
        self._required = frozenset(column.name for column in columns if column.is_always_sent)
        self._outputs = outputs

    def read(self, body: bytes) -> TypedRequest | None:
        """Return the instances; `None` where the slower way is to judge.

        Raises:
            RequestError: 400; the client asks for an output that there is not.
        """
        if self._reads_images:
            return None
        request: Any = try_body(self._decoder_of_one, body)
        if request is not None:
            # The commonest: one row of all columns, in their order. Its type leaves nothing to look at.
            wanted = read_outputs(request, self._outputs) if request.outputs or request.parameters else {}
            return TypedRequest([self._join(request.inputs)], request.id, wanted)
        request = try_body(self._decoder, body)
        if request is None:
            return None
        wanted = read_outputs(request, self._outputs) if request.outputs or request.parameters else {}
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
        return TypedRequest(list(map(self._instance, *ordered)), request.id, wanted)


def read_columns(
    request: InferRequest,
    columns: Mapping[str, Column],
    content: memoryview = NO_CONTENT,
    entity: Column | None = None,
) -> tuple[RawColumns, int]:
    """Turn a request's tensors into columns.

    Args:
        request: The parsed body.
        columns: The model's columns by name.
        content: The bytes behind the JSON.
        entity: The column that a request may have instead of all others.

    Returns:
        Raw values by column, numpy's where the request has bytes or a matrix, and the number of instances.

    Raises:
        RequestError: 400; a tensor's name, shape, datatype or data do not go together.
        ContractViolationError: A tensor is of no column of the model.
    """
    tensors = request.inputs
    if not tensors:
        raise RequestError(400, "`inputs` is empty: expected one tensor a column.")
    contents = _part(tensors, content)
    if entity is not None and [tensor.name for tensor in tensors] == [entity.name]:
        columns = {entity.name: entity}
    if len(tensors) == 1 and tensors[0].name not in columns and len(tensors[0].shape) == 2:
        return _read_matrix(tensors[0], columns, contents[0]), tensors[0].shape[0]
    names = [tensor.name for tensor in tensors]
    refuse_unknown(names, tuple(columns), instance=0)
    rows = tensors[0].shape[0] if tensors[0].shape else 0
    result = {
        tensor.name: _read_column(tensor, columns[tensor.name], rows, its_content)
        for tensor, its_content in zip(tensors, contents, strict=True)
    }
    if len(result) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise RequestError(400, f"`inputs` has more than one tensor of the column {', '.join(twice)}.")
    return result, rows


def read_outputs(request: InferRequest, outputs: Sequence[str]) -> dict[str, bool]:
    """Check what a request asks for; return each wanted output, and whether as bytes.

    Raises:
        RequestError: 400; an output that there is not, or a flag that is neither true nor false.
    """
    named = request.outputs or []
    unknown = [tensor.name[:80] for tensor in named if tensor.name not in outputs]
    if unknown:
        raise RequestError(
            400, f"`outputs`: expected only {', '.join(outputs)}; received {', '.join(unknown[:10])}."
        )
    of_all = _read_flag(request.parameters, "binary_data_output", False)
    if not named:
        return dict.fromkeys(outputs, of_all)
    return {tensor.name: _read_flag(tensor.parameters, "binary_data", of_all) for tensor in named}


def _read_flag(parameters: Mapping[str, Any] | None, name: str, default: bool) -> bool:
    flag = (parameters or {}).get(name, default)
    if not isinstance(flag, bool):
        raise RequestError(400, f"`{name}`: expected true or false.")
    return flag


class AnswerWriter:
    """Writes the answers of `infer`.

    Args:
        name: The model's.
        version: The model's.
        answers: What it answers.
    """

    def __init__(self, name: str, version: str, answers: AnswerForm) -> None:
        self._answers = answers
        self._tensors = answers.tensors
        self._head = encode_json({"model_name": name, "model_version": version})[:-1] + b',"id":'
        self._only = encode_json(answers.output)

    def write(self, predictions: Sequence[Numbers], identifier: str, wanted: Mapping[str, bool]) -> Response:
        """Write an answer, each tensor as JSON or as bytes behind the JSON.

        Args:
            predictions: Of each instance.
            identifier: Of the request.
            wanted: By output that is wanted, whether as bytes; all as JSON where there are none.
        """
        if not (wanted or self._answers.names):
            # The common answer, a number a row, around which nothing changes but the rows.
            return Response(
                200,
                b'%b%b,"outputs":[{"name":%b,"shape":[%d],"datatype":"FP32","data":%b}]}'
                % (
                    *(self._head, encode_json(identifier), self._only),
                    *(len(predictions), encode_json(predictions)),
                ),
            )
        columns = self._answers.columns(predictions)
        tensors: list[dict[str, object]] = []
        parts = []
        for output in self._tensors:
            if wanted and output.name not in wanted:
                continue
            tensor = describe_output(output, len(predictions), self._answers)
            if wanted.get(output.name):
                parts.append(write_elements(columns[output.name]))
                size = {"binary_data_size": len(parts[-1])}
                tensor["parameters"] = {**labels_of(output, self._answers), **size}
            else:
                tensor["data"] = columns[output.name]
            tensors.append(tensor)
        head = b'%b%b,"outputs":%b}' % (self._head, encode_json(identifier), encode_json(tensors))
        if not parts:
            return Response(200, head)
        return Response(
            200,
            head + b"".join(parts),
            b"application/octet-stream",
            b"Inference-Header-Content-Length: %d\r\n" % len(head),
        )


def describe_output(output: OutputTensor, rows: int, answers: AnswerForm) -> dict[str, object]:
    """Write an output's name, datatype and shape, with the classes whose probabilities it holds.

    Args:
        output: Which.
        rows: The first dimension, -1 where it is open.
        answers: What the model answers.
    """
    shape = [rows] if output.width is None else [rows, output.width]
    tensor: dict[str, object] = {"name": output.name, "shape": shape, "datatype": output.datatype}
    if labels := labels_of(output, answers):
        tensor["parameters"] = labels
    return tensor


def labels_of(output: OutputTensor, answers: AnswerForm) -> dict[str, object]:
    """Return the classes of a tensor's second dimension, as a parameter; a parameter takes no list."""
    return {} if output.width is None else {"labels": json.dumps(answers.names, ensure_ascii=False)}


def describe_model(
    *, name: str, version: str, columns: Sequence[Column], answers: AnswerForm
) -> dict[str, object]:
    """Write a model's metadata, with the dictionary's names and types."""
    return {
        "name": name,
        "versions": [version],
        "platform": "mulgil",
        "inputs": [
            {"name": column.name, "datatype": _DATATYPES[column.type], "shape": [-1]} for column in columns
        ],
        "outputs": [describe_output(output, -1, answers) for output in answers.tensors],
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
            ("parameters", _NoParameters | None, None),
        ]
        # The decoder asks for a tag only where there are several types.
        tag: dict[str, Any] = {"tag_field": "name", "tag": column.name}
        if len(columns) == 1:
            fields.append(("name", Literal[column.name]))
            tag = {}
        namespace = {"column": column.name}
        types.append(msgspec.defstruct("TypedInputTensor", fields, namespace=namespace, kw_only=True, **tag))
    return reduce(or_, types)


def _tensor_types_of_one(columns: Sequence[Column]) -> tuple[Any, ...]:
    """Return the columns' tensors of one row, each the only one that may stand in its place."""
    # `[1]` or `[1, 1]`.
    shape = Annotated[list[Literal[1]], msgspec.Meta(min_length=1, max_length=2)]
    types = []
    for column in columns:
        datatypes, element = tensor_type(column)
        fields: list[Any] = [
            ("name", Literal[column.name]),
            ("shape", shape),
            ("datatype", Literal[datatypes]),
            ("data", tuple[element]),  # type: ignore[valid-type]
            ("parameters", _NoParameters | None, None),
        ]
        types.append(msgspec.defstruct("TypedTensorOfOne", fields, kw_only=True, gc=False))
    return tuple(types)


def _request_decoder(inputs: Any) -> msgspec.json.Decoder[Any]:
    """Return what decodes a request with such inputs."""
    return msgspec.json.Decoder(
        msgspec.defstruct(
            "TypedInferRequest",
            [
                ("inputs", inputs),
                ("outputs", list[RequestedOutput] | None, None),
                ("id", str | None, None),
                ("parameters", dict[str, Any] | None, None),
            ],
        )
    )


def _write_join(instance: type[msgspec.Struct], columns: int) -> Callable[[Any], object]:
    """Write the function that makes an instance of one row's tensors: a loop takes three times as long."""
    values = ", ".join(f"tensors[{place}].data[0]" for place in range(columns))
    names: dict[str, Any] = {"instance": instance}
    exec(compile(f"def join(tensors):\n    return instance({values})\n", "<row of tensors>", "exec"), names)
    return names["join"]  # type: ignore[no-any-return]


def _part(tensors: Sequence[InputTensor], content: memoryview) -> list[memoryview | None]:
    """Part the bytes behind the JSON into each tensor's; `None` where its data are in the JSON."""
    parts: list[memoryview | None] = []
    place = 0
    for tensor in tensors:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            parts.append(None)
            continue
        if type(size) is not int or not 0 <= size <= len(content) - place or tensor.data is not None:
            raise RequestError(
                400,
                f"input {tensor.name[:80]}: expected `binary_data_size` to be of bytes behind the JSON, "
                "and no `data` beside it.",
            )
        parts.append(content[place : place + size])
        place += size
    if place != len(content):
        raise RequestError(400, f"{len(content) - place} bytes behind the JSON belong to no tensor.")
    return parts


def _read_column(
    tensor: InputTensor, column: Column, rows: int, content: memoryview | None
) -> Sequence[object] | Elements:
    """Check one column's shape and datatype, and flatten its data."""
    if column.type is ColumnType.IMAGE and tensor.datatype != "BYTES":
        return _read_pixels(tensor, column, rows, content)
    if tensor.shape not in ([rows], [rows, 1]) or rows < 1:
        raise RequestError(
            400,
            f"input {tensor.name}: expected the shape [n] or [n, 1], n alike in all; "
            f"received {tensor.shape[:8]}.",
        )
    _check_datatype(tensor, column)
    if content is not None and column.type is ColumnType.IMAGE:
        return read_files(tensor.name, rows, content)
    if content is not None:
        return read_elements(tensor.name, tensor.datatype, rows, content)
    return _flatten(tensor, rows)


def _read_pixels(
    tensor: InputTensor, column: Column, rows: int, content: memoryview | None
) -> npt.NDArray[Any]:
    """Read images of numbers, of whatever shape; whether it is theirs is for the encoder to say."""
    _check_datatype(tensor, column)
    if rows < 1 or tensor.shape[:1] != [rows] or any(side < 0 for side in tensor.shape):
        raise RequestError(
            400, f"input {tensor.name}: expected the shape [n, …] of n images; received {tensor.shape[:8]}."
        )
    count = math.prod(tensor.shape)
    if content is not None:
        elements = read_elements(tensor.name, tensor.datatype, count, content)
    else:
        try:
            elements = np.array(tensor.data)
        except (ValueError, OverflowError):
            elements = np.empty(0)
    if not isinstance(elements, np.ndarray) or elements.size != count or elements.dtype.kind not in "iuf":
        raise RequestError(
            400,
            f"input {tensor.name}: expected {count} numbers, as many as the shape {tensor.shape[:8]} says.",
        )
    return elements.reshape(tensor.shape)


def _read_matrix(
    tensor: InputTensor, columns: Mapping[str, Column], content: memoryview | None
) -> RawColumns:
    """Read all columns from one tensor of rows."""
    rows, width = tensor.shape
    if width != len(columns) or rows < 1:
        raise RequestError(
            400,
            f"input {tensor.name[:80]}: expected the shape [n, {len(columns)}] of the columns "
            f"{', '.join(columns)}, or one tensor a column by its name; received {tensor.shape}.",
        )
    for column in columns.values():
        _check_datatype(tensor, column)
    count = rows * width
    elements: Any
    if content is not None:
        elements = read_elements(tensor.name[:80], tensor.datatype, count, content)
    else:
        elements = _flatten(tensor, count)
        if tensor.datatype in _NUMERIC:
            # Where a number is beyond float64, the contract check is to name its column.
            with suppress(OverflowError):
                elements = np.array(elements, np.float64)
    return {name: elements[place::width] for place, name in enumerate(columns)}


def _check_datatype(tensor: InputTensor, column: Column) -> None:
    accepted = _ACCEPTED[column.type]
    if tensor.datatype not in accepted:
        raise RequestError(
            400,
            f"input {tensor.name[:80]}: expected the datatype {' or '.join(accepted)} for {column.name}; "
            f"received {tensor.datatype[:20]}.",
        )


def _flatten(tensor: InputTensor, count: int) -> list[object]:
    """Return the JSON's values, which may stand in one list or in lists of rows."""
    name = tensor.name[:80]
    if tensor.data is None:
        raise RequestError(
            400, f"input {name}: expected `data`, or `binary_data_size` and bytes behind the JSON."
        )
    data = tensor.data
    if len(tensor.shape) == 2 and all(isinstance(row, list) and len(row) == tensor.shape[1] for row in data):
        data = [value for row in data for value in row]
    if len(data) != count:
        raise RequestError(400, f"input {name}: expected {count} values; received {len(data)}.")
    others = set(map(type, data)) - _ELEMENTS[tensor.datatype]
    if others == {float} and tensor.datatype in _WHOLE:
        # JSON has one kind of number: 63.0 is 63.
        others = {float for value in data if type(value) is float and not value.is_integer()}
    if others:
        raise RequestError(400, f"input {name}: expected every value to be {tensor.datatype} or null.")
    return data
