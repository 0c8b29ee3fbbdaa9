"""The application: requests in, responses out, over one model. It knows nothing of sockets."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Sequence

import mulgil
from mulgil.serving import metrics, protocol_v1, protocol_v2
from mulgil.serving.binary_tensors import split_body
from mulgil.serving.contract_check import ContractViolationError, Violation
from mulgil.serving.entities import find_keys, find_keys_of_instances, join_columns, read_keys
from mulgil.serving.logs import RequestLog, write_failure
from mulgil.serving.messages import (
    Request,
    RequestError,
    Response,
    error_response,
    json_response,
    parse_body,
)
from mulgil.serving.model import NoPredictionError, ServedModel
from mulgil.serving.routes import Routes
from mulgil.serving.shared_numbers import SharedNumbers

# An identifier that may be echoed into a header and a log. The length is chosen by eye.
_IDENTIFIER = re.compile(rb"[\x21-\x7e]{1,128}")


class Application:
    """Everything that the server answers.

    Args:
        model: What predicts.
        name: Its name in paths.
        version: Its version, which every response carries.
        numbers: Where counts are kept; memory of this process alone if left out.
        request_log: Where requests get a line.

    Attributes:
        name: The model's.
        version: The model's.
        output: Name of the model's output.
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
        self._model = model
        self.name = name
        self.version = version
        self.output = model.output
        self.metrics = metrics.Metrics(name, version, model.names, numbers)
        self.request_log = request_log or RequestLog()
        columns = tuple(model.columns.values())
        self._v1 = protocol_v1.TypedReader(columns)
        self._v2 = protocol_v2.TypedReader(columns, model.output)
        self._version_line = b"X-Model-Version: %b\r\n" % version.encode()
        self.metadata = protocol_v2.describe_model(
            name=name, version=version, columns=columns, output=model.output
        )
        # A random part tells processes apart, a counter requests: uuid4 costs ten times as much.
        self._process, self._counter = os.urandom(8).hex().encode(), itertools.count()
        self._routes = self._lay_routes()

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        identifier = self._identify(request)
        try:
            response = self._routes.find(request.method, request.path)(request, identifier)
        except RequestError as exc:
            response = error_response(exc)
        except Exception as exc:  # noqa: BLE001 - the edge: a defect costs one answer, not the server
            write_failure("a request failed", exc, request_id=identifier.decode())
            response = error_response(RequestError(500, "The server failed; its log says why."))
        response.head += b"%bX-Request-Id: %b\r\n" % (self._version_line, identifier)
        return response

    def infer(self, request: protocol_v2.InferRequest, content: memoryview) -> list[float]:
        """Predict from tensors of any form.

        Args:
            request: The tensors.
            content: The bytes of those that are not in the request itself.

        Raises:
            RequestError: 400; the tensors do not go together. 404; an entity is not known. 503; nor can it be
                read.
            ContractViolationError: Values break the contract.
            NoPredictionError: The model's output is not a finite number.
        """
        protocol_v2.read_outputs(request, self.output)
        entity = self._model.store.entity
        columns, rows = protocol_v2.read_columns(request, self._model.columns, content, entity)
        keys = find_keys(columns, entity)
        return self._model.predict(columns, rows) if keys is None else self._predict_entities(keys)

    def _lay_routes(self) -> Routes:
        routes = Routes(self.name)
        routes.add("GET", "/", lambda _, __: json_response({"status": "alive"}))
        routes.add("GET", "/metrics", self._render_metrics)
        routes.add("GET", "/v1/models", self._list_models)
        routes.add("GET", f"/v1/models/{self.name}", self._report_ready)
        routes.add("POST", f"/v1/models/{self.name}:predict", self._timed("v1", self._predict_v1))
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
        """Count a prediction's requests, the client's mistakes included."""

        def timed(request: Request, identifier: bytes) -> Response:
            begun = time.perf_counter()
            try:
                response = respond(request, identifier)
            except ContractViolationError as exc:
                self.count_violations(exc.violations, metrics.REFUSED)
                response = error_response(RequestError(400, f"{exc}."))
            except NoPredictionError as exc:
                response = error_response(RequestError(400, f"{exc}."))
            except RequestError as exc:
                response = error_response(exc)
            self.report(identifier, protocol, response.status, time.perf_counter() - begun)
            return response

        return timed

    def report(self, identifier: bytes, protocol: str, status: int, seconds: float) -> None:
        """Count a prediction request, and write its line where there is to be one."""
        self.metrics.observe(protocol, status, seconds)
        if status != 200 or self.request_log.writes_all:
            self.request_log.write(identifier, protocol, status, seconds)

    def count_violations(self, violations: Sequence[Violation], outcome: str) -> None:
        """Count values that the dictionary does not allow; a column that it does not know is none of them."""
        for violation in violations:
            if violation.column in self._model.columns:
                self.metrics.violations.add(violation.column, outcome)

    def _predict_v1(self, request: Request, _: bytes) -> Response:
        instances = self._v1.read(request.body)
        predictions = self._model.predict_instances(instances) if instances else None
        if predictions is None:
            body = parse_body(protocol_v1.DECODER, request.body)
            keys = find_keys_of_instances(body.instances, self._model.store.entity)
            if keys is not None:
                predictions = self._predict_entities(keys)
            else:
                predictions = self._model.predict(*protocol_v1.read_columns(body, self._model.names))
        self.metrics.predictions.observe_all(predictions)
        return json_response(protocol_v1.answer(predictions))

    def _infer_v2(self, request: Request, identifier: bytes) -> Response:
        text, content = split_body(request.headers, request.body)
        typed = self._v2.read(text)
        predictions = self._model.predict_instances(typed.instances) if typed and not content else None
        if typed and predictions is not None:
            identifier_given, is_binary = typed.id, typed.wants_binary
        else:
            body = parse_body(protocol_v2.DECODER, text)
            predictions = self.infer(body, content)
            identifier_given, is_binary = body.id, protocol_v2.read_outputs(body, self.output)
        self.metrics.predictions.observe_all(predictions)
        return protocol_v2.answer(
            predictions,
            name=self.name,
            version=self.version,
            output=self.output,
            identifier=identifier_given or identifier.decode(),
            is_binary=is_binary,
        )

    def _predict_entities(self, raw: Sequence[object]) -> list[float]:
        """Predict from keys alone, by what the online store has of them."""
        store = self._model.store
        keys = read_keys(raw, store.entity)
        begun = time.perf_counter()
        found = store.read(keys)
        self.metrics.lookups.observe(time.perf_counter() - begun)
        # An entity that is not known is no instance, and is left to what follows.
        instances = self._v1.convert(found)
        predictions = self._model.predict_instances(instances) if instances else None
        if predictions is not None:
            return predictions
        return self._model.predict(join_columns(found, keys, self._model.names, store.entity), len(keys))

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
        return Response(200, self.metrics.render(), metrics.CONTENT_TYPE)
