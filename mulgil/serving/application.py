"""The application: requests in, responses out, over one model. It knows nothing of sockets."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec

import mulgil
from mulgil.contract.answers import Numbers
from mulgil.serving import metrics, protocol_v1, protocol_v2
from mulgil.serving.binary_tensors import split_body
from mulgil.serving.contract_check import ContractViolationError, Violation, write_warnings
from mulgil.serving.entities import (
    TypedKeyReader,
    find_keys,
    find_keys_of_instances,
    join_columns,
    read_keys,
)
from mulgil.serving.logs import RequestLog, write_failure
from mulgil.serving.messages import (
    Request,
    RequestError,
    Response,
    error_response,
    json_response,
    parse_body,
)
from mulgil.serving.model import NoPredictionError, RawColumns, ServedModel
from mulgil.serving.online_store import Rows, UnreadRowsError
from mulgil.serving.openapi import describe_api
from mulgil.serving.openapi_page import HTML, write_page
from mulgil.serving.prediction_log import PredictionLog
from mulgil.serving.routes import Routes
from mulgil.serving.shared_numbers import SharedNumbers

# An identifier that may be echoed into a header and a log. The length is chosen by eye.
_IDENTIFIER = re.compile(rb"[\x21-\x7e]{1,128}")

# What an explanation's request takes of its worker, which answers nothing else meanwhile. Chosen by eye.
_EXPLAIN_SECONDS = 0.25
# And what it takes at most, where the model is slow. Chosen by eye.
_MOST_EXPLAIN_SECONDS = 1.0
_MOST_EXPLAINED = 64


class Application:
    """Everything that the server answers.

    Args:
        model: What predicts.
        name: Its name in paths.
        version: Its version, which every response carries.
        numbers: Where counts are kept; memory of this process alone if left out.
        request_log: Where requests get a line.

    Attributes:
        log: Where predictions are recorded, if anywhere.
        name: The model's.
        version: The model's.
        image: The column that is an image, if there is one.
        answers: What the model answers, in the dictionary's names.
        outputs: Names of its outputs under V2.
        metadata: What V2 says of the model.
        metrics: What is counted.
        is_draining: Whether readiness is denied because the process is about to end.
    """

    def __init__(
        self,
        model: ServedModel,
        *,
        name: str,
        version: str,
        numbers: SharedNumbers | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        self.is_draining = False
        self.log: PredictionLog | None = None
        self._model = model
        self.name = name
        self.version = version
        self.answers = model.answers
        self.image = None if model.image is None else model.image.name
        self.outputs = tuple(output.name for output in model.answers.tensors)
        self.metrics = metrics.Metrics(name, version, model.judged, model.answers, numbers)
        self.request_log = request_log or RequestLog()
        self._judged = frozenset(model.judged)
        columns = tuple(model.columns.values())
        model.store.observe = self.metrics.lookups.observe
        self._keys = TypedKeyReader(model.store.entity)
        self._v1 = protocol_v1.TypedReader(columns)
        self._v2 = protocol_v2.TypedReader(columns, self.outputs)
        self._write_v2 = protocol_v2.AnswerWriter(name, version, model.answers).write
        self._version_line = b"X-Model-Version: %b\r\n" % version.encode()
        if model.decision is not None:
            self._version_line += b"X-Decision-Threshold: %g\r\n" % model.decision.threshold
        self.metadata = protocol_v2.describe_model(
            name=name, version=version, columns=columns, answers=model.answers
        )
        api = describe_api(
            self.metadata,
            columns=columns,
            features=tuple(model.features.values()),
            entity=model.store.entity,
            answers=model.answers,
            most_explained=_MOST_EXPLAINED,
        )
        self._api = msgspec.json.encode(api)
        # A random part tells processes apart, a counter requests: uuid4 costs ten times as much.
        self._process, self._counter = os.urandom(8).hex().encode(), itertools.count()
        self._routes = self._lay_routes()

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer a request: at once, but where the online store is elsewhere and has to be waited for."""
        identifier = self._identify(request)
        try:
            response = self._routes.find(request.method, request.path)(request, identifier)
        except UnreadRowsError as exc:
            request.headers[b"x-request-id"] = identifier
            return self._handle_later(request, exc)
        except RequestError as exc:
            response = error_response(exc)
        except Exception as exc:  # noqa: BLE001 - the edge: a defect costs one answer, not the server
            response = _fail(exc, identifier)
        response.head += b"%bX-Request-Id: %b\r\n" % (self._version_line, identifier)
        return response

    @cached_property
    def _api_page(self) -> bytes:
        """The description for a reader, who is rare: it takes some ten milliseconds to write."""
        return write_page(msgspec.json.decode(self._api))

    @property
    def description(self) -> dict[str, Any]:
        """What the columns of requests and the answers mean: for who records them."""
        dictionary = self._model.dictionary.model_dump(mode="json")
        return {"model": self.name, "version": self.version, "dictionary": dictionary}

    async def _handle_later(self, request: Request, unread: UnreadRowsError) -> Response:
        """Answer a request again, once the rows that it needs are there."""
        request.rows = await read_unread(unread)
        response = self.handle(request)
        assert isinstance(response, Response)
        return response

    def infer(
        self,
        request: protocol_v2.InferRequest,
        content: memoryview,
        carrier: Request,
    ) -> list[Numbers]:
        """Predict from tensors of any form.

        Args:
            request: The tensors.
            content: The bytes of those that are not in the request itself.
            carrier: What it came in; it has, or gets, the rows of the entities that are named.

        Raises:
            UnreadRowsError: It needs rows that come later.
            RequestError: 400; the tensors do not go together. 404; an entity is not known. 503; nor can it be
                read.
            ContractViolationError: Values break the contract.
            NoPredictionError: The model's output is not a finite number.
        """
        protocol_v2.read_outputs(request, self.outputs)
        entity = self._model.store.entity
        columns, count = protocol_v2.read_columns(request, self._model.columns, content, entity)
        keys = find_keys(columns, entity)
        if keys is None:
            return self._predict_columns(columns, count, carrier)
        return self._predict_entities(read_keys(keys, entity), carrier)

    def _lay_routes(self) -> Routes:
        routes = Routes(self.name)
        routes.add("GET", "/", lambda _, __: json_response({"status": "alive"}))
        routes.add("GET", "/metrics", self._render_metrics)
        routes.add("GET", "/openapi.json", lambda _, __: Response(200, self._api))
        routes.add("GET", "/docs", lambda _, __: Response(200, self._api_page, HTML))
        routes.add("GET", "/v1/models", self._list_models)
        routes.add("GET", f"/v1/models/{self.name}", self._report_ready)
        routes.add("POST", f"/v1/models/{self.name}:predict", self._timed("v1", self._predict_v1))
        routes.add("POST", f"/v1/models/{self.name}:explain", self._timed("explain", self._explain_v1))
        routes.add("GET", "/v2", self._describe_server)
        routes.add("GET", "/v2/health/live", lambda _, __: json_response({"live": True}))
        routes.add("GET", "/v2/health/ready", self._report_server_ready)
        routes.add("GET", "/v2/models", self._list_models)
        for path in (f"/v2/models/{self.name}", f"/v2/models/{self.name}/versions/{self.version}"):
            routes.add("GET", path, lambda _, __: json_response(self.metadata))
            routes.add("GET", f"{path}/ready", self._report_ready)
            routes.add("POST", f"{path}/infer", self._timed("v2", self._infer_v2))
        return routes

    def _identify(self, request: Request) -> bytes:
        given = request.headers.get(b"x-request-id")
        if given is not None and _IDENTIFIER.fullmatch(given):
            return given
        return b"%b-%x" % (self._process, next(self._counter))

    def _timed(
        self, protocol: str, respond: Callable[[Request, bytes], Response]
    ) -> Callable[[Request, bytes], Response]:
        """Count and record a prediction's requests, the client's mistakes included."""
        name = protocol.encode()

        def timed(request: Request, identifier: bytes) -> Response:
            # One that waited for the online store is handled again, and has waited.
            begun = request.begun = request.begun or time.perf_counter()
            try:
                response = respond(request, identifier)
            except ContractViolationError as exc:
                self.count_violations(exc.violations)
                response = error_response(RequestError(400, f"{exc}."))
            except NoPredictionError as exc:
                response = error_response(RequestError(400, f"{exc}."))
            except RequestError as exc:
                response = error_response(exc)
            except UnreadRowsError:
                raise
            except Exception as exc:  # noqa: BLE001 - a defect is counted and recorded like any answer
                response = _fail(exc, identifier)
            if request.warning:
                response.head += b"X-Contract-Warning: %b\r\n" % request.warning.encode()
            ended = time.perf_counter()
            self.report(identifier, protocol, response.status, ended - begun)
            if self.log is not None and protocol != "explain":
                self.log.append(name, identifier, request, response, begun, ended)
            return response

        return timed

    def report(self, identifier: bytes, protocol: str, status: int, seconds: float) -> None:
        """Count a prediction request, and write its line where there is to be one."""
        self.metrics.observe(protocol, status, seconds)
        if status != 200 or self.request_log.writes_all:
            self.request_log.write(identifier, protocol, status, seconds)

    def count_violations(self, violations: Sequence[Violation]) -> None:
        """Count values that the dictionary does not allow; a column that it does not know is none of them."""
        for violation in violations:
            if violation.column in self._judged:
                self.metrics.violations.add(violation.column, violation.outcome)

    def _predict_v1(self, request: Request, _: bytes) -> Response:
        keys = self._keys.read(request.body)
        if keys is not None:
            found = self._predict_entities(keys, request)
            self.metrics.predictions.observe(found)
            return protocol_v1.answer(found, self.answers)
        instances = self._v1.read(request.body)
        predictions = self._model.predict_instances(instances) if instances else None
        if predictions is None:
            body = parse_body(protocol_v1.DECODER, request.body)
            entity = self._model.store.entity
            raw = find_keys_of_instances(body.instances, entity)
            if raw is not None:
                predictions = self._predict_entities(read_keys(raw, entity), request)
            else:
                columns, rows = self._read_v1(body)
                predictions = self._predict_columns(columns, rows, request)
        self.metrics.predictions.observe(predictions)
        return protocol_v1.answer(predictions, self.answers)

    def _read_v1(self, body: protocol_v1.PredictRequest) -> tuple[RawColumns, int]:
        model = self._model
        return protocol_v1.read_columns(body, model.names, model.image, model.always_sent)

    def _infer_v2(self, request: Request, identifier: bytes) -> Response:
        text, content = split_body(request.headers, request.body)
        typed = self._v2.read(text)
        predictions = self._model.predict_instances(typed.instances) if typed and not content else None
        if typed and predictions is not None:
            identifier_given, wanted = typed.id, typed.wanted
        else:
            body = parse_body(protocol_v2.DECODER, text)
            predictions = self.infer(body, content, request)
            identifier_given, wanted = body.id, protocol_v2.read_outputs(body, self.outputs)
        self.metrics.predictions.observe(predictions)
        return self._write_v2(predictions, identifier_given or identifier.decode(), wanted)

    def _predict_entities(self, keys: Sequence[int | str], request: Request) -> list[Numbers]:
        """Predict from keys alone, by what the online store has of them."""
        store = self._model.store
        rows = self._read_rows(keys, request)
        # An entity that is not known is no instance, and is left to what follows.
        instances = store.decode(rows)
        predictions = self._model.predict_instances(instances) if instances else None
        if predictions is not None:
            return predictions
        return self._predict_columns(self._join(rows, keys), len(keys), request)

    def _join(self, rows: Rows, keys: Sequence[int | str]) -> dict[str, list[object]]:
        store = self._model.store
        return join_columns(
            store.unpack(rows), keys, self._model.names, store.entity, fills_unknown=store.fills_unknown
        )

    def _predict_columns(self, columns: RawColumns, rows: int, request: Request) -> list[Numbers]:
        """Predict in the slower way, which takes all forms and finds the words."""
        warnings: list[Violation] = []
        predictions = self._model.predict(columns, rows, warnings)
        if warnings:
            self.count_violations(warnings)
            request.warning = write_warnings(warnings)
        return predictions

    def _explain_v1(self, request: Request, _: bytes) -> Response:
        body = parse_body(protocol_v1.DECODER, request.body)
        if len(body.instances) > _MOST_EXPLAINED:
            raise RequestError(
                400, f"`instances`: expected {_MOST_EXPLAINED} at most; each is explained alone."
            )
        store = self._model.store
        raw = find_keys_of_instances(body.instances, store.entity)
        columns: RawColumns
        if raw is None:
            columns, rows = self._read_v1(body)
        else:
            keys = read_keys(raw, store.entity)
            columns, rows = self._join(self._read_rows(keys, request), keys), len(keys)
        warnings: list[Violation] = []
        encoded = self._model.encode(columns, rows, warnings)
        explanations = self._model.explain(encoded, _EXPLAIN_SECONDS, _MOST_EXPLAIN_SECONDS)
        if explanations is None:
            raise RequestError(404, _explain_why_not(self._model))
        if len(explanations) < rows:
            raise RequestError(
                503,
                f"{len(explanations)} of {rows} instances were explained within {_MOST_EXPLAIN_SECONDS:g} s, "
                "which is all that a request may take: ask for fewer at once.",
            )
        request.warning = write_warnings(warnings)
        return json_response(protocol_v1.answer_explained(explanations, self._model.features, self.answers))

    def _read_rows(self, keys: Sequence[int | str], request: Request) -> Rows:
        """Return the rows of entities, which the request keeps."""
        if isinstance(request.rows, RequestError):
            raise request.rows
        if request.rows is None:
            request.rows = self._model.store.read(keys)
        return request.rows

    def _list_models(self, _: Request, __: bytes) -> Response:
        return json_response({"models": [self.name]})

    def _describe_server(self, _: Request, __: bytes) -> Response:
        content = {"name": "mulgil", "version": mulgil.__version__, "extensions": ["binary_tensor_data"]}
        return json_response(content)

    def _report_server_ready(self, _: Request, __: bytes) -> Response:
        self._refuse_while_draining()
        return json_response({"ready": True})

    def _report_ready(self, _: Request, __: bytes) -> Response:
        self._refuse_while_draining()
        return json_response({"name": self.name, "ready": True})

    def _refuse_while_draining(self) -> None:
        if self.is_draining:
            raise RequestError(503, f"Model with name {self.name} is not ready: the server is shutting down.")

    def _render_metrics(self, _: Request, __: bytes) -> Response:
        if self.log is not None:
            self.metrics.log_buffered.set(self.log.buffered)
        return Response(200, self.metrics.render(), metrics.CONTENT_TYPE)


def _explain_why_not(model: ServedModel) -> str:
    if model.image is not None:
        return f"A model of images is not explained by its columns: {model.image.name} is all that it reads."
    return "This model has no background to explain against: train and deploy it again."


def _fail(exc: Exception, identifier: bytes) -> Response:
    """Write a defect to the log, and return what the client is told of it."""
    write_failure("a request failed", exc, request_id=identifier.decode())
    return error_response(RequestError(500, "The server failed; its log says why."))


async def read_unread(unread: UnreadRowsError) -> Rows | RequestError:
    """Wait for rows; return them, or why there are none."""
    try:
        return await unread.rows
    except RequestError as exc:
        return exc
