"""The same rows as every protocol has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mulgil.contract import Column, ColumnType

Rows = Sequence[dict[str, Any]]

_DATATYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.CATEGORY: "BYTES",
    ColumnType.IMAGE: "UINT8",
}
_DTYPES = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?", "UINT8": "u1"}
_CONTENTS = {
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
}


@dataclass(frozen=True)
class Payload:
    """A body over HTTP.

    Attributes:
        body: Its bytes.
        headers: Its content type, and what it needs besides.
    """

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def write_v1(rows: Rows) -> Payload:
    """Write V1: one object an instance."""
    return Payload(_json({"instances": list(rows)}))


def write_v2(rows: Rows, columns: Sequence[Column]) -> Payload:
    """Write V2: one tensor a column."""
    tensors = [{**_head(column, rows), "data": [row[column.name] for row in rows]} for column in columns]
    return Payload(_json({"inputs": tensors}))


def write_binary(rows: Rows, columns: Sequence[Column]) -> Payload:
    """Write V2 with all but columns with missing numbers as bytes behind the JSON.

    Of two dimensions, as Triton wants them.
    """
    tensors, parts = [], []
    for column in columns:
        head, values = _head(column, rows, 1), [row[column.name] for row in rows]
        if head["datatype"] == "BYTES":
            parts.append(b"".join(len(text).to_bytes(4, "little") + text for text in _texts(values)))
        elif None in values:
            tensors.append({**head, "data": values})
            continue
        else:
            parts.append(np.array(values, _DTYPES[head["datatype"]]).tobytes())
        tensors.append({**head, "parameters": {"binary_data_size": len(parts[-1])}})
    text = _json({"inputs": tensors})
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    return Payload(text + b"".join(parts), headers)


def write_call(rows: Rows, columns: Sequence[Column]) -> bytes:
    """Write `ModelInfer` of V2 over gRPC; a missing number is NaN, a missing text empty."""
    from mulgil.serving.grpc_messages import make_messages

    inputs = []
    for column in columns:
        head, values = _head(column, rows, 1), [row[column.name] for row in rows]
        if head["datatype"] == "BYTES":
            contents: dict[str, Any] = {"bytes_contents": _texts(values)}
        elif None in values:
            head["datatype"] = "FP64"
            contents = {"fp64_contents": [float("nan") if value is None else value for value in values]}
        else:
            contents = {_CONTENTS[head["datatype"]]: np.ravel(values).tolist()}
        inputs.append({**head, "contents": contents})
    message: bytes = make_messages()["ModelInferRequest"](
        model_name="bench", inputs=inputs
    ).SerializeToString()
    return message


def _head(column: Column, rows: Rows, *width: int) -> dict[str, Any]:
    if (form := column.image) is not None:
        width = (form.height, form.width)
    return {"name": column.name, "shape": [len(rows), *width], "datatype": _DATATYPES[column.type]}


def _texts(values: Sequence[Any]) -> list[bytes]:
    """Return texts as bytes; a missing one is empty."""
    return [(value or "").encode() for value in values]


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
