"""What the server answers, as OpenAPI: its paths, requests by the dictionary, answers and refusals.

Source:
    https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mulgil.contract.answers import AnswerForm, OutputTensor
from mulgil.contract.dictionary import Column
from mulgil.serving import request_schemas
from mulgil.serving.request_schemas import Schema

_JSON = "application/json"
_BYTES = "application/octet-stream"
_NUMBER: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string"}

_DESCRIPTION = (
    "KServe's V1 protocol and V2, the Open Inference Protocol. A body is read as what it is, whatever its "
    "content type says. Where there is GET there is HEAD; another method is a 405, and another path a 404."
)

# What a client may be told instead of an answer.
REFUSALS = {
    400: "What was sent is not this path's request, or breaks the contract: then the message names instance, "
    "column, what was expected and what was received. Or the model gives no finite number for it.",
    401: "The server asks for a token, and the request has none that it knows.",
    404: "The online store does not know an entity; or the model has nothing to explain against; or there is "
    "nothing at the path.",
    405: "The path takes another method.",
    408: "The request did not arrive in time.",
    413: "The body is longer than the server takes.",
    431: "The head is longer than the server takes.",
    500: "The server failed; its log says why.",
    503: "Not now: there are too many requests, the online store does not answer, or the server shuts down.",
}
_ANYWHERE = (400, 408, 413, 431, 500, 503)

_HEADERS: Schema = {
    "X-Model-Version": {"schema": _TEXT},
    "X-Request-Id": {
        "description": "The request's, or one that was made for it; the log has the same.",
        "schema": _TEXT,
    },
    "X-Decision-Threshold": {
        "description": "From which probability on a yes is called, where the project says so.",
        "schema": _NUMBER,
    },
    "X-Contract-Warning": {
        "description": "Values beyond a range that were taken nonetheless, and what became of each.",
        "schema": _TEXT,
    },
    "Inference-Header-Content-Length": {
        "description": "The length of the JSON, where bytes follow it.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"required": True, "schema": _TEXT},
    "Allow": {"required": True, "schema": _TEXT},
    "Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}},
}
_HEADERS_OF_REFUSALS = {401: ("WWW-Authenticate",), 405: ("Allow",), 503: ("Retry-After",)}
# Who is refused before the request has arrived whole gets none.
_HEADERS_OF_ANSWERS = ("X-Model-Version", "X-Request-Id", "X-Decision-Threshold")
_PARAMETERS: Schema = {
    name: {"name": name, "in": "header", "description": words, "schema": _HEADERS[name]["schema"]}
    for name, words in {
        "X-Request-Id": "Comes back, and stands in the log: up to 128 letters, digits and signs of ASCII.",
        "Inference-Header-Content-Length": "The length of the JSON, where bytes follow it; else left out.",
    }.items()
}


def describe_api(
    metadata: Mapping[str, Any],
    *,
    columns: Sequence[Column],
    features: Sequence[Column],
    entity: Column,
    answers: AnswerForm,
    most_explained: int,
) -> dict[str, Any]:
    """Describe a server of one model.

    Args:
        metadata: What V2 says of the model.
        columns: What a request carries, in order.
        features: What the model reads: these, and what is derived of them.
        entity: The column of its keys.
        answers: What it answers.
        most_explained: How many instances `:explain` takes.
    """
    name, (version,) = metadata["name"], metadata["versions"]
    tensors = request_schemas.tensor_schemas(columns, entity)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version,
            "description": _DESCRIPTION,
        },
        # Beside the page itself: the server may stand behind a prefix.
        "servers": [{"url": "."}],
        "paths": {
            **_paths_of_predictions(name, version, metadata["inputs"], columns, most_explained),
            **_paths_of_descriptions(name, version, metadata),
            **_paths_of_health(name, version),
        },
        "components": {
            "schemas": {
                "Error": _object(error=_TEXT),
                "Metadata": _metadata_schema(),
                **request_schemas.instance_schemas(columns, entity),
                "PredictRequest": request_schemas.predict_request_schema(),
                "PredictResponse": _object(predictions=_list(_prediction_schema(answers))),
                "ExplainResponse": _explain_response_schema(features, answers),
                **tensors,
                "InferRequest": request_schemas.infer_request_schema(
                    columns, [output.name for output in answers.tensors], tensors
                ),
                "InferResponse": _infer_response_schema(name, version, answers),
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "responses": {str(status): _refusal(status) for status in REFUSALS},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed where the server was started with `--token-path`.",
                }
            },
        },
    }


def _paths_of_health(name: str, version: str) -> Schema:
    is_model_ready = _object(name={"const": name}, ready={"const": True})
    of_model = (
        f"/v1/models/{name}",
        f"/v2/models/{name}/ready",
        f"/v2/models/{name}/versions/{version}/ready",
    )
    schemas = {
        "/": ("Whether the server lives", _object(status={"const": "alive"})),
        "/v2/health/live": ("Whether the server lives", _object(live={"const": True})),
        "/v2/health/ready": ("Whether the server is ready", _object(ready={"const": True})),
        **dict.fromkeys(of_model, ("Whether the model is ready", is_model_ready)),
    }
    return {path: _get(summary, _json(schema), is_open=True) for path, (summary, schema) in schemas.items()}


def _paths_of_descriptions(name: str, version: str, metadata: Mapping[str, Any]) -> Schema:
    models = _json(_object(models={"const": [name]}))
    of_model = {_JSON: {"schema": _schema("Metadata"), "example": metadata}}
    return {
        "/v1/models": _get("The model's name", models),
        "/v2/models": _get("The model's name", models),
        "/v2": _get("The server", _json(_object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)))),
        f"/v2/models/{name}": _get("The model's tensors", of_model),
        f"/v2/models/{name}/versions/{version}": _get("The model's tensors", of_model),
        "/metrics": _get(
            "Metrics for Prometheus; open with `--open-metrics`", {"text/plain": {"schema": _TEXT}}
        ),
        "/openapi.json": _get("This description", _json({"type": "object"})),
        "/docs": _get("This description as a page", {"text/html": {"schema": _TEXT}}),
    }


def _paths_of_predictions(
    name: str,
    version: str,
    inputs: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    most_explained: int,
) -> Schema:
    values = {column.name: request_schemas.example_value(column) for column in columns}
    body = {_JSON: {"schema": _schema("PredictRequest"), "example": {"instances": [values]}}}
    tensors = [{**tensor, "shape": [1], "data": [values[tensor["name"]]]} for tensor in inputs]
    infer = _post(
        "Predict from tensors",
        {_JSON: {"schema": _schema("InferRequest"), "example": {"inputs": tensors}}, _BYTES: {}},
        {**_json(_schema("InferResponse")), _BYTES: {}},
        headers=("Inference-Header-Content-Length",),
    )
    return {
        f"/v1/models/{name}:predict": _post("Predict", body, _json(_schema("PredictResponse"))),
        f"/v1/models/{name}:explain": _post(
            f"Each column's share in a prediction, of up to {most_explained} instances",
            body,
            _json(_schema("ExplainResponse")),
        ),
        f"/v2/models/{name}/infer": infer,
        f"/v2/models/{name}/versions/{version}/infer": infer,
    }


def _get(summary: str, content: Schema, *, is_open: bool = False) -> Schema:
    """Describe a path that is read."""
    return {
        "get": _operation(summary, content, is_open=is_open),
        "head": _operation(f"{summary}: the head alone", {}, is_open=is_open),
    }


def _post(summary: str, body: Schema, content: Schema, headers: Sequence[str] = ()) -> Schema:
    """Describe a path that predictions are asked of; the headers are of request and answer alike."""
    operation = _operation(summary, content, statuses=(404,), headers=("X-Contract-Warning", *headers))
    operation["parameters"] += [_ref("parameters", name) for name in headers]
    operation["requestBody"] = {"required": True, "content": body}
    return {"post": operation}


def _operation(
    summary: str,
    content: Schema,
    *,
    is_open: bool = False,
    statuses: Sequence[int] = (),
    headers: Sequence[str] = (),
) -> dict[str, Any]:
    """Describe what a method on a path answers.

    Args:
        summary: What it is for.
        content: Of a right answer, by media type.
        is_open: Whether it needs no token where the server asks for one.
        statuses: Of refusals that not every path has.
        headers: Of a right answer, beside those that every one has.
    """
    answer = {
        "description": summary,
        "headers": {name: _ref("headers", name) for name in (*_HEADERS_OF_ANSWERS, *headers)},
    }
    if content:
        answer["content"] = content
    refusals = sorted({*_ANYWHERE, *statuses, *(() if is_open else (401,))})
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [_ref("parameters", "X-Request-Id")],
        "responses": {"200": answer, **{str(one): _ref("responses", str(one)) for one in refusals}},
    }
    if not is_open:
        operation["security"] = [{}, {"token": []}]
    return operation


def _refusal(status: int) -> Schema:
    headers = (*_HEADERS_OF_ANSWERS, *_HEADERS_OF_REFUSALS.get(status, ()))
    return {
        "description": REFUSALS[status],
        "headers": {name: _ref("headers", name) for name in headers},
        "content": _json(_schema("Error")),
    }


def _metadata_schema() -> Schema:
    tensor = _object(name=_TEXT, datatype=_TEXT, shape=_list({"type": "integer"}))
    tensor["properties"]["parameters"] = {"type": "object"}
    tensors = _list(tensor)
    return _object(name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=tensors, outputs=tensors)


def _prediction_schema(answers: AnswerForm) -> Schema:
    """Return the schema of one answer, as `AnswerForm.tell` writes it."""
    if not answers.names:
        return _NUMBER
    by_name = _object(**dict.fromkeys(answers.names, _NUMBER))
    if any(output.name == "label" for output in answers.tensors):
        return _object(label={"enum": list(answers.names)}, probabilities=by_name)
    return by_name


def _explain_response_schema(columns: Sequence[Column], answers: AnswerForm) -> Schema:
    numbers = _object(**dict.fromkeys(answers.names, _NUMBER)) if answers.names else _NUMBER
    names = [column.name for column in columns]
    by_column = _object(**dict.fromkeys(names, numbers))
    explanation = _object(
        prediction=numbers,
        expectation=numbers,
        attributions=by_column,
        standard_errors={"anyOf": [by_column, {"type": "null"}]},
    )
    column = _object(description=_TEXT, unit={"type": ["string", "null"]})
    return _object(explanations=_list(explanation), columns=_object(**dict.fromkeys(names, column)))


def _infer_response_schema(name: str, version: str, answers: AnswerForm) -> Schema:
    outputs = [_output_schema(output, answers) for output in answers.tensors]
    return _object(
        model_name={"const": name},
        model_version={"const": version},
        id=_TEXT,
        outputs=_list({"anyOf": outputs}),
    )


def _output_schema(output: OutputTensor, answers: AnswerForm) -> Schema:
    dimensions = 1 if output.width is None else 2
    element = {"enum": list(answers.names)} if output.datatype == "BYTES" else _NUMBER
    tensor = _object(
        name={"const": output.name},
        datatype={"const": output.datatype},
        shape={**_list({"type": "integer", "minimum": 1}), "minItems": dimensions, "maxItems": dimensions},
        data=_list(element),
    )
    if output.width is not None:
        # The classes, in the order of the second dimension.
        labels = {"type": "string", "contentMediaType": _JSON}
        tensor["properties"]["parameters"] = _object(labels=labels)
    return tensor


def _object(**properties: Schema) -> Schema:
    """Return the schema of an object that has just these."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _schema(name: str) -> Schema:
    return _ref("schemas", name)


def _json(schema: Schema) -> Schema:
    return {_JSON: {"schema": schema}}
