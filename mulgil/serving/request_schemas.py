"""The dictionary as JSON Schema: what a request may carry, column by column, in each of its forms.

What these schemas let through the contract check lets through, and the reverse, but for two things: codes as
spreadsheets write them (`"3.0"` for 3) are read too, and a tensor must hold as many values as its shape says.

Source:
    JSON Schema, draft 2020-12: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mulgil.contract.dictionary import Column, ColumnType, OutOfRangePolicy
from mulgil.contract.expressions import GREATEST_FLOAT32
from mulgil.contract.values import GREATEST_WHOLE, describe_range
from mulgil.serving.typed_values import number_of_code

Schema = dict[str, Any]

_FLOATS = ("FP64", "FP32")
_INTEGERS = ("INT64", "INT32")
_JSON_TRUTHS = {"true": True, "false": False}
_BINARY_DATA = "Whether the tensor is answered as bytes behind the JSON."
# One grey pixel as a PNG file, which becomes an image of any form.
_EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
)
# In JSON a tensor has its data with it; what is sent as bytes is another media type.
_PARAMETERS: Schema = {"type": ["object", "null"], "properties": {"binary_data_size": {"type": "null"}}}


def describe_column(column: Column) -> str:
    """Write what a column is, and what becomes of a value that lies outside or is missing."""
    words = [f"{column.description.rstrip('.')}."]
    if column.image:
        words.append(
            "A PNG or JPEG file in base64, or its pixels from 0 to 255: "
            f"{column.image.height} rows of {column.image.width}, {column.image.colors}."
        )
    if column.unit:
        words.append(f"Unit: {column.unit}.")
    if column.out_of_range is not OutOfRangePolicy.REFUSE:
        end = "taken as the nearer end" if column.out_of_range is OutOfRangePolicy.CLIP else "taken as it is"
        words.append(f"Expected {describe_range(column)}; a number beyond is {end}, with a warning.")
    meanings = [f"{code}: {meaning}" for code, meaning in (column.categories or {}).items() if meaning]
    if meanings:
        words.append("; ".join(meanings) + ".")
    if not column.missing.is_value_required:
        words.append(f"May be missing ({column.missing}).")
    return " ".join(words)


def value_schema(column: Column) -> Schema:
    """Return the schema of a column's value where JSON says what it is, null where it may be missing."""
    match column.type:
        case ColumnType.FLOAT:
            schema = _number(column, "number")
        case ColumnType.INTEGER:
            schema = _number(column, "integer")
        case ColumnType.BOOLEAN:
            schema = {"type": ["boolean", "integer"], "minimum": 0, "maximum": 1}
        case ColumnType.CATEGORY:
            codes = tuple(column.categories or ())
            schema = {"enum": [*codes, *_numbers_of(codes), *_truths_of(codes)]}
        case ColumnType.IMAGE:
            return {"anyOf": _image_schemas()}
        case ColumnType.TIMESTAMP:
            schema = {"type": "string", "format": "date-time"}
        case _:
            # An entity may be a text.
            schema = {"type": "string"}
    return _or_missing(column, schema)


def example_value(column: Column) -> object:
    """Return a value that the dictionary allows, made of the dictionary alone."""
    if column.type is ColumnType.CATEGORY:
        return next(iter(column.categories or ()))
    if column.type is ColumnType.BOOLEAN:
        return True
    if column.type is ColumnType.TEXT:
        return "a"
    if column.type is ColumnType.TIMESTAMP:
        return "2024-01-31T12:00:00Z"
    if column.type is ColumnType.IMAGE:
        return _EXAMPLE_IMAGE
    low, high = column.range or (None, None)
    if low is not None and high is not None:
        number = (low + high) / 2
    else:
        number = next((bound for bound in (low, high) if bound is not None), 1.0)
    if column.type is ColumnType.FLOAT:
        return number
    # A bound may lie between two whole numbers.
    return math.floor(number) if low is None or math.floor(number) >= low else math.ceil(number)


def instance_schemas(columns: Sequence[Column], entity: Column) -> dict[str, Schema]:
    """Return the schemas of V1's instances by name: by column, in order, and by entity."""
    values = {
        column.name: {"description": describe_column(column), **value_schema(column)} for column in columns
    }
    images = _image_schemas()[1:] if any(column.image for column in columns) else []
    ordered = [{"title": name, **schema} for name, schema in values.items()]
    return {
        "InstanceByColumn": {
            "type": "object",
            "properties": values,
            "required": [column.name for column in columns if column.is_always_sent],
            "additionalProperties": False,
        },
        "InstanceInOrder": {
            "description": f"Values of {', '.join(values)}.",
            # An instance that is an image may be the image alone, its pixels too.
            **({"anyOf": images} if images else {"type": "array", **_in_order(ordered)}),
        },
        "InstanceByEntity": {
            "type": "object",
            "description": "Its features come from the online store.",
            "properties": {entity.name: {"description": entity.description, **value_schema(entity)}},
            "required": [entity.name],
            "additionalProperties": False,
        },
    }


def predict_request_schema() -> Schema:
    """Return the schema of the body of V1's `:predict` and `:explain`."""
    forms = [
        {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}, "minItems": 1}
        for name in ("InstanceByColumn", "InstanceInOrder", "InstanceByEntity")
    ]
    return {"type": "object", "properties": {"instances": {"anyOf": forms}}, "required": ["instances"]}


def tensor_schemas(columns: Sequence[Column], entity: Column) -> dict[str, Schema]:
    """Return the schemas of V2's input tensors by name: each column's, the matrix's and the entity's."""
    schemas = {f"Tensor_{column.name}": _tensor_schema(column) for column in columns}
    matrix = _matrix_schema(columns, entity)
    if matrix is not None:
        schemas["TensorOfAllColumns"] = matrix
    schemas["TensorOfEntities"] = _tensor_schema(entity)
    return schemas


def infer_request_schema(
    columns: Sequence[Column], outputs: Sequence[str], tensors: Mapping[str, Schema]
) -> Schema:
    """Return the schema of the body of V2's `infer`.

    Args:
        columns: The model's.
        outputs: Names of its outputs.
        tensors: What `tensor_schemas` returned.
    """
    of_columns = [{"$ref": f"#/components/schemas/Tensor_{column.name}"} for column in columns]
    alone = [name for name in ("TensorOfAllColumns", "TensorOfEntities") if name in tensors]
    flags = {
        "type": ["object", "null"],
        "properties": {"binary_data": {"type": "boolean", "description": _BINARY_DATA}},
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"], "description": "Comes back in the answer."},
            "inputs": {
                "anyOf": [
                    {
                        "type": "array",
                        "description": "One tensor a column, all of one length.",
                        "items": {"anyOf": of_columns},
                        "minItems": 1,
                        "allOf": [_once(column) for column in columns],
                    },
                    *(
                        {
                            "type": "array",
                            "items": {"$ref": f"#/components/schemas/{name}"},
                            "minItems": 1,
                            "maxItems": 1,
                        }
                        for name in alone
                    ),
                ]
            },
            "outputs": {
                "type": ["array", "null"],
                "description": "What is wanted; everything where it is left out or empty.",
                "items": {
                    "type": "object",
                    "properties": {"name": {"enum": list(outputs)}, "parameters": flags},
                    "required": ["name"],
                },
            },
            "parameters": {
                "type": ["object", "null"],
                "properties": {
                    "binary_data_output": {"type": "boolean", "description": "The same, for every output."}
                },
            },
        },
        "required": ["inputs"],
    }


def _number(column: Column, kind: str) -> Schema:
    """Return the schema of a number, as wide as its range and policy are."""
    greatest = GREATEST_FLOAT32 if column.type is ColumnType.FLOAT else GREATEST_WHOLE
    low, high = column.range or (None, None)
    if column.out_of_range is not OutOfRangePolicy.REFUSE:
        low = high = None
    least = -greatest if low is None else max(low, -greatest)
    most = greatest if high is None else min(high, greatest)
    return {"type": kind, "minimum": _shorten(least), "maximum": _shorten(most)}


def _shorten(number: float) -> float:
    """Write 18 for 18.0, and 3.4e38 as it is."""
    return int(number) if abs(number) <= GREATEST_WHOLE and number == math.floor(number) else number


def _numbers_of(codes: Sequence[str]) -> list[int | float]:
    return [number for code in codes if (number := number_of_code(code)) is not None]


def _truths_of(codes: Sequence[str]) -> list[bool]:
    return [_JSON_TRUTHS[code] for code in codes if code in _JSON_TRUTHS]


def _or_missing(column: Column, schema: Schema) -> Schema:
    if column.missing.is_value_required:
        return schema
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    types = schema["type"]
    return {**schema, "type": [*([types] if isinstance(types, str) else types), "null"]}


def _in_order(items: Sequence[Schema]) -> Schema:
    """Return what makes an array one of exactly these items."""
    return {"prefixItems": list(items), "items": False, "minItems": len(items)}


def _once(column: Column) -> Schema:
    """Return the schema of an array that has a column's tensor once, or not where it may be missing."""
    least = 1 if column.is_always_sent else 0
    tensor = {"properties": {"name": {"const": column.name}}, "required": ["name"]}
    return {"contains": tensor, "minContains": least, "maxContains": 1}


def _elements(column: Column) -> list[tuple[tuple[str, ...], Schema]]:
    """Return the datatypes under which a column is sent, and what an element is then."""
    codes = tuple(column.categories or ())
    forms: list[tuple[tuple[str, ...], Schema]]
    match column.type:
        case ColumnType.FLOAT:
            forms = [(_FLOATS, _number(column, "number")), (_INTEGERS, _number(column, "integer"))]
        case ColumnType.INTEGER:
            forms = [((*_INTEGERS, *_FLOATS), _number(column, "integer"))]
        case ColumnType.BOOLEAN:
            forms = [
                (("BOOL",), {"type": "boolean"}),
                ((*_INTEGERS, *_FLOATS), {"type": "integer", "minimum": 0, "maximum": 1}),
            ]
        case ColumnType.CATEGORY:
            numbers = _numbers_of(codes)
            whole = [number for number in numbers if number == math.floor(number)]
            forms = [
                (("BYTES",), {"enum": list(codes)}),
                (_FLOATS, {"enum": numbers}),
                (_INTEGERS, {"enum": whole}),
                (("BOOL",), {"enum": _truths_of(codes)}),
            ]
        case _:
            forms = [(("BYTES",), {"type": "string"})]
    allowed = [(datatypes, _or_missing(column, element)) for datatypes, element in forms]
    return [(datatypes, element) for datatypes, element in allowed if element.get("enum") != []]


def _image_schemas() -> list[Schema]:
    """Return the forms of an image: a file's text, TensorFlow Serving's way to write bytes, and pixels."""
    file = {"type": "string", "contentEncoding": "base64"}
    wrapped = {
        "type": "object",
        "properties": {"b64": file},
        "required": ["b64"],
        "additionalProperties": False,
    }
    return [file, wrapped, {"type": "array"}]


def _image_tensor_schema(column: Column) -> Schema:
    """Return the schema of a tensor of images: files, or their pixels, of which no schema tells the form."""
    forms: list[tuple[Schema, list[str], Schema]] = [
        ({"minItems": 1, "maxItems": 2}, ["BYTES"], _image_schemas()[0]),
        ({"minItems": 2}, ["UINT8", *_INTEGERS, *_FLOATS], {"type": ["number", "array"]}),
    ]
    return {
        "description": f"{describe_column(column)} Pixels have the shape of the images behind their number.",
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": column.name},
                    "datatype": {"enum": datatypes},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, **dimensions},
                    "data": {"type": "array", "items": element, "minItems": 1},
                    "parameters": _PARAMETERS,
                },
                "required": ["name", "shape", "datatype", "data"],
            }
            for dimensions, datatypes, element in forms
        ],
    }


def _tensor_schema(column: Column) -> Schema:
    """Return the schema of one column's tensor, `[n]` or `[n, 1]`."""
    if column.image:
        return _image_tensor_schema(column)
    forms = [
        {
            "type": "object",
            "properties": {
                "name": {"const": column.name},
                "datatype": {"enum": list(datatypes)},
                "shape": {
                    "type": "array",
                    "prefixItems": [{"type": "integer", "minimum": 1}, {"const": 1}],
                    "items": False,
                    "minItems": 1,
                },
                "data": {"type": "array", "items": element, "minItems": 1},
                "parameters": _PARAMETERS,
            },
            "required": ["name", "shape", "datatype", "data"],
        }
        for datatypes, element in _elements(column)
    ]
    words = "As many data as the first of the shape; of the shape [n, 1] they may be lists of one, too."
    return {"description": f"{describe_column(column)} {words}", "anyOf": forms}


def _matrix_schema(columns: Sequence[Column], entity: Column) -> Schema | None:
    """Return the schema of all columns in one tensor; `None` where there is no datatype for all of them."""
    forms = []
    if any(column.image for column in columns):
        # An image is a model's only column, and its pixels have a tensor of its name.
        return None
    for datatypes in (_FLOATS, _INTEGERS, ("BOOL",), ("BYTES",)):
        row = [_element_under(column, datatypes[0]) for column in columns]
        if None in row:
            continue
        forms.append(
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "not": {"enum": [entity.name, *(c.name for c in columns)]}},
                    "datatype": {"enum": list(datatypes)},
                    "shape": {
                        "type": "array",
                        **_in_order([{"type": "integer", "minimum": 1}, {"const": len(columns)}]),
                    },
                    "data": {
                        "type": "array",
                        "items": {
                            "type": "array",
                            **_in_order([item for item in row if item is not None]),
                        },
                        "minItems": 1,
                    },
                    "parameters": _PARAMETERS,
                },
                "required": ["name", "shape", "datatype", "data"],
            }
        )
    names = ", ".join(column.name for column in columns)
    words = f"Rows of {names}, as many as the first of the shape; they may stand in one list, too."
    return {"description": words, "anyOf": forms} if forms else None


def _element_under(column: Column, datatype: str) -> Schema | None:
    return next((element for datatypes, element in _elements(column) if datatype in datatypes), None)
