"""CloudEvents as they come over HTTP: one in headers, one in JSON, or a batch of them.

Source:
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
    https://github.com/kserve/kserve/blob/v0.21.0/pkg/logger/worker.go: the attributes of KServe's agent,
    which sends one event a message, its attributes in headers.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from urllib.parse import unquote

import msgspec

from mulgil.serving.messages import Request, RequestError

_PREFIX = b"ce-"


class Event(msgspec.Struct, gc=False):
    """One event: a request, a response, or what a model's columns mean.

    Attributes:
        id: The same for a request and its response.
        source: Who recorded it.
        type: Which of the three.
        time: When, by RFC 3339.
        data: JSON as it came.
        data_base64: Anything else.
        datacontenttype: Of `data`.
        inferenceservicename: The model.
        namespace: Its namespace.
        modelversion: Its version; KServe's own agent does not say it.
        predictionid: What the client was told; KServe's agent has it as `id`.
        protocol: `v1`, `v2` or `grpc`.
        statuscode: Of the response; KServe's agent records none but 200.
        latencymicroseconds: From the request's last byte to its answer.
        jsonlength: Where a V2 request's JSON ends and tensors begin.
        answerjsonlength: Where a V2 answer's JSON ends and tensors begin.
        featurerows: The rows of the online store that were used, as JSON in text.
        omittedbytes: Length of a body that was too long to be recorded.
    """

    id: str
    source: str
    type: str
    time: str = ""
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str = ""
    datacontenttype: str = ""
    inferenceservicename: str = ""
    namespace: str = ""
    modelversion: str = ""
    predictionid: str = ""
    protocol: str = ""
    statuscode: int = 200
    latencymicroseconds: int | None = None
    jsonlength: int | None = None
    answerjsonlength: int | None = None
    featurerows: str = ""
    omittedbytes: int = 0

    @property
    def body(self) -> bytes:
        """What the event carries.

        Raises:
            RequestError: 400; it is not base64.
        """
        if not self.data_base64:
            return bytes(self.data)
        try:
            return b64decode(self.data_base64, validate=True)
        except Base64Error as exc:
            raise RequestError(400, f"event {self.id[:80]}: `data_base64` is not base64.") from exc


_EVENT = msgspec.json.Decoder(Event)
_EVENTS = msgspec.json.Decoder(list[Event])


def read_events(request: Request) -> list[Event]:
    """Read what came.

    Raises:
        RequestError: 400; it is no event. 415; it is of no form that CloudEvents has.
    """
    content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    try:
        if content_type == b"application/cloudevents-batch+json":
            return _EVENTS.decode(request.body)
        if content_type == b"application/cloudevents+json":
            return [_EVENT.decode(request.body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RequestError(400, f"The body is not what its content type says: {exc}.") from exc
    if b"ce-id" not in request.headers:
        raise RequestError(415, "Expected a CloudEvent: in headers `ce-…`, in JSON, or a batch in JSON.")
    attributes: dict[str, object] = {
        name.removeprefix(_PREFIX).decode("latin-1"): unquote(value.decode("latin-1"))
        for name, value in request.headers.items()
        if name.startswith(_PREFIX)
    }
    for name in ("data", "data_base64"):
        attributes.pop(name, None)
    try:
        event = msgspec.convert(attributes, Event, strict=False)
    except msgspec.ValidationError as exc:
        raise RequestError(400, f"The headers are not those of a CloudEvent: {exc}.") from exc
    event.data = msgspec.Raw(request.body)
    event.datacontenttype = content_type.decode("latin-1")
    return [event]
