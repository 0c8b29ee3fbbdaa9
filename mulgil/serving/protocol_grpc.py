"""V2 over gRPC: the same tensors, answers and refusals as over REST, in the same process and loop.

Source:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

import itertools
import math
import os
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

import mulgil
from mulgil.errors import TemporaryError, describe
from mulgil.serving import protocol_v2
from mulgil.serving.access import Access
from mulgil.serving.application import Application, read_unread
from mulgil.serving.binary_tensors import ELEMENT_TYPES, write_elements
from mulgil.serving.contract_check import ContractViolationError
from mulgil.serving.grpc_messages import SERVICE, make_messages
from mulgil.serving.limits import Limits
from mulgil.serving.logs import write_failure
from mulgil.serving.messages import Request, RequestError, Response
from mulgil.serving.model import NoPredictionError
from mulgil.serving.online_store import UnreadRowsError
from mulgil.serving.tls import CertificateFiles

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
# Where a carried request keeps the id that REST's has there.
_IDENTIFIER = b"x-request-id"
# From here on numpy's calls cost less than Python's. Chosen by eye.
_MANY = 32
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
    "UINT8": "uint_contents",
}


class GrpcService:
    """Answers gRPC calls out of the application.

    Args:
        application: What predicts.
        access: Who may ask; anybody without it.
    """

    def __init__(self, application: Application, access: Access | None = None) -> None:
        self._application = application
        self._access = access
        self._messages = make_messages()
        self._process, self._counter = os.urandom(8).hex(), itertools.count()

    async def start(
        self,
        host: str,
        port: int,
        *,
        limits: Limits,
        is_port_shared: bool = False,
        certificate: CertificateFiles | None = None,
    ) -> grpc.aio.Server:
        """Listen.

        Args:
            host: Address.
            port: Its port.
            limits: What clients may take.
            is_port_shared: Whether other workers listen there too.
            certificate: For TLS; `None` for none.

        Raises:
            TemporaryError: The port is taken.
        """
        server = grpc.aio.server(
            # More are told RESOURCE_EXHAUSTED.
            maximum_concurrent_rpcs=limits.connections,
            options=[
                ("grpc.max_receive_message_length", limits.body_bytes),
                # Two servers on one port would each get a part of the calls, unseen.
                ("grpc.so_reuseport", int(is_port_shared)),
            ],
        )
        calls: dict[str, Callable[[Any, Request], Any]] = {
            "ServerLive": lambda _, __: self._reply("ServerLiveResponse", live=True),
            "ServerReady": lambda _, __: self._reply(
                "ServerReadyResponse", ready=not self._application.is_draining
            ),
            "ServerMetadata": lambda _, __: self._reply(
                "ServerMetadataResponse", name="mulgil", version=mulgil.__version__
            ),
            "ModelReady": self._report_ready,
            "ModelMetadata": self._describe_model,
            "ModelInfer": self._infer,
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._answer_by(name, call))
            for name, call in calls.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        try:
            if certificate is None:
                server.add_insecure_port(f"{host}:{port}")
            else:
                server.add_secure_port(f"{host}:{port}", _read_credentials(certificate))
        except RuntimeError as exc:
            raise TemporaryError(
                describe(
                    f"Cannot listen on {host}:{port}", received=str(exc), next_step="choose another port"
                )
            ) from exc
        await server.start()
        return server

    def _answer_by(
        self, name: str, call: Callable[[Any, Request], Any]
    ) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]:
        """Wrap a call: bytes in and out, and the client's mistakes as gRPC's codes."""
        parse = self._messages[f"{name}Request"].FromString

        async def answer(content: bytes, context: grpc.aio.ServicerContext) -> bytes:
            identifier = f"{self._process}-{next(self._counter):x}"
            metadata = (("x-model-version", self._application.version), ("x-request-id", identifier))
            context.set_trailing_metadata(metadata)
            begun = time.perf_counter()
            status, encoded, message = 200, b"", ""
            carrier = Request("POST", name, {_IDENTIFIER: identifier.encode()}, content)
            try:
                self._check_access(name, context)
                received = parse(content)
                try:
                    reply = call(received, carrier)
                except UnreadRowsError as exc:
                    carrier.rows = await read_unread(exc)
                    reply = call(received, carrier)
                encoded = reply.SerializeToString()
            except RequestError as exc:
                status, message = exc.status, exc.message
            except ContractViolationError as exc:
                self._application.count_violations(exc.violations)
                status, message = 400, f"{exc}."
            except NoPredictionError as exc:
                status, message = 400, f"{exc}."
            except DecodeError:
                status, message = 400, "The message is not one of this call's."
            except Exception as exc:  # noqa: BLE001 - the edge: a defect costs one answer, not the server
                write_failure(f"the gRPC call {name} failed", exc, request_id=identifier)
                status, message = 500, "The server failed; its log says why."
            if carrier.warning:
                context.set_trailing_metadata((*metadata, ("x-contract-warning", carrier.warning)))
            if name == "ModelInfer":
                self._record(carrier, Response(status, encoded or message.encode()), begun)
            if status != 200:
                await context.abort(_CODES.get(status, grpc.StatusCode.INVALID_ARGUMENT), message)
            return encoded

        return answer

    def _check_access(self, name: str, context: grpc.aio.ServicerContext) -> None:
        if self._access is None:
            return
        authorization = dict(context.invocation_metadata() or ()).get("authorization", "")
        if refusal := self._access.check_call(name, authorization.encode()):
            raise refusal

    def _record(self, request: Request, response: Response, begun: float) -> None:
        """Count and record a prediction's call."""
        application, ended = self._application, time.perf_counter()
        identifier = request.headers[_IDENTIFIER]
        application.report(identifier, "grpc", response.status, ended - begun)
        if application.log is not None:
            application.log.append(b"grpc", identifier, request, response, begun, ended)

    def _reply(self, message: str, /, **fields: object) -> Any:
        return self._messages[message](**fields)

    def _report_ready(self, request: Any, _: Request) -> Any:
        self._check_model(request.name, request.version)
        return self._reply("ModelReadyResponse", ready=not self._application.is_draining)

    def _describe_model(self, request: Any, _: Request) -> Any:
        self._check_model(request.name, request.version)
        # Of the form that REST's has, but for the outputs' labels, which this message has no place for.
        metadata: dict[str, Any] = dict(self._application.metadata)
        metadata["outputs"] = [
            {key: value for key, value in output.items() if key != "parameters"}
            for output in metadata["outputs"]
        ]
        return self._reply("ModelMetadataResponse", **metadata)

    def _infer(self, message: Any, carrier: Request) -> Any:
        self._check_model(message.model_name, message.model_version)
        application = self._application
        request, content = read_request(message, application.image)
        predictions = application.infer(request, content, carrier)
        application.metrics.predictions.observe(predictions)
        answers = application.answers
        wanted = protocol_v2.read_outputs(request, application.outputs)
        columns = answers.columns(predictions)
        outputs: list[dict[str, Any]] = []
        raw = []
        for output in answers.tensors:
            if output.name not in wanted:
                continue
            tensor: dict[str, Any] = protocol_v2.describe_output(output, len(predictions), answers)
            if labels := tensor.pop("parameters", None):
                tensor["parameters"] = [
                    {"key": key, "value": {"string_param": text}} for key, text in labels.items()
                ]
            values = columns[output.name]
            # As the client speaks, so it is answered.
            if message.raw_input_contents:
                raw.append(write_elements(values))
            elif output.datatype == "BYTES":
                tensor["contents"] = {"bytes_contents": [str(text).encode() for text in values]}
            else:
                tensor["contents"] = {"fp32_contents": values}
            outputs.append(tensor)
        return self._reply(
            "ModelInferResponse",
            model_name=application.name,
            model_version=application.version,
            id=message.id or carrier.headers[_IDENTIFIER].decode(),
            outputs=outputs,
            raw_output_contents=raw,
        )

    def _check_model(self, name: str, version: str) -> None:
        if name != self._application.name or version not in ("", self._application.version):
            at = f" and version {version[:80]}" if version else ""
            raise RequestError(404, f"Model with name {name[:80]}{at} does not exist.")


def _read_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Return the certificate, read again whenever its files change."""
    times = files.read_times()

    def read() -> grpc.ServerCertificateConfiguration:
        pair = (files.key.read_bytes(), files.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair])

    def read_if_renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal times
        if (found := files.read_times()) in ((), times):
            return None
        times = found
        return read()

    return grpc.dynamic_ssl_server_credentials(read(), read_if_renewed)


def read_request(message: Any, image: str | None = None) -> tuple[protocol_v2.InferRequest, memoryview]:
    """Turn a message into the form that REST's requests have.

    Args:
        message: As it came.
        image: The column whose bytes are files and no text, if there is one.

    Raises:
        RequestError: 400; raw contents are not one a tensor, or text is not UTF-8.
    """
    raw = message.raw_input_contents
    if raw and (len(raw) != len(message.inputs) or any(t.HasField("contents") for t in message.inputs)):
        raise RequestError(
            400,
            f"`raw_input_contents`: expected one a tensor, {len(message.inputs)}, and no `contents` beside; "
            f"received {len(raw)}.",
        )
    tensors, parts = [], []
    for place, tensor in enumerate(message.inputs):
        content = raw[place] if raw else _pack_contents(tensor)
        if content is not None:
            parts.append(content)
        tensors.append(
            protocol_v2.InputTensor(
                name=tensor.name,
                shape=list(tensor.shape),
                datatype=tensor.datatype,
                data=_read_contents(tensor, image) if content is None else None,
                parameters=None if content is None else {"binary_data_size": len(content)},
            )
        )
    outputs = [protocol_v2.RequestedOutput(output.name) for output in message.outputs]
    return protocol_v2.InferRequest(tensors, outputs=outputs), memoryview(b"".join(parts))


def _pack_contents(tensor: Any) -> bytes | None:
    """Return many numbers as the bytes that they would be in `raw_input_contents`, which numpy reads at once.

    `None` for few numbers, for texts, and for what is refused in words of its own.
    """
    field = _CONTENTS.get(tensor.datatype)
    if field is None or tensor.datatype == "BYTES":
        return None
    numbers = getattr(tensor.contents, field)
    if len(numbers) < _MANY or len(numbers) != math.prod(tensor.shape):
        return None
    return np.fromiter(numbers, ELEMENT_TYPES[tensor.datatype], len(numbers)).tobytes()


def _read_contents(tensor: Any, image: str | None) -> list[Any]:
    """Return a tensor's elements; protobuf has no null, so that empty text is a missing value."""
    field = _CONTENTS.get(tensor.datatype)
    # A datatype that there is not is refused by name with the others, where its column is known.
    elements = list(getattr(tensor.contents, field)) if field else []
    if field != "bytes_contents":
        return elements
    if tensor.name == image:
        return [b64encode(file).decode() for file in elements]
    try:
        texts = [*map(bytes.decode, elements)]
    except UnicodeDecodeError as exc:
        raise RequestError(400, f"input {tensor.name[:80]}: expected texts in UTF-8.") from exc
    return [text or None for text in texts] if "" in texts else texts
