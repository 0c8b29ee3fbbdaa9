"""Predictions as CloudEvents in KServe's logger form, as text.

A request and its response are two events under one id. What KServe's do not say (status, latency, features by
entity) stands in extension attributes. This runs once for every request, and is written for that: the common
record is joined of bytes that are there already.

Source:
    https://github.com/kserve/kserve/blob/v0.21.0/pkg/logger/worker.go (types and attributes).
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md (batch, section 4).
"""

from __future__ import annotations

import itertools
import os
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from mulgil.serving.binary_tensors import LENGTH_HEADER
from mulgil.serving.messages import JSON, Request, Response

REQUEST_TYPE = "org.kubeflow.serving.inference.request"
RESPONSE_TYPE = "org.kubeflow.serving.inference.response"
# Ours: what the columns of a model's requests mean, before the first of them.
MODEL_TYPE = "org.mulgil.serving.model"

# Protocol, the id that the client was told, what came and what went, and when by `time.perf_counter`.
Record = tuple[bytes, bytes, Request, Response, float, float]

# A longer body is recorded without its content: the collector's limit is the server's own.
_LONGEST_BODY = 4 * 1024 * 1024
_LENGTH_LINE = b"Inference-Header-Content-Length: "
# The parts of a time's fraction, which take longer to write than to look up.
_THOUSANDTHS = tuple(b"%03d" % number for number in range(1000))
# What stands between the values of the common record.
_TIME, _DATA, _ANSWER, _END = b'","time":"', b'Z","data":', b',"data":', b"},"
_STATUS = {
    protocol: b'Z","protocol":"%b","statuscode":200,"latencymicroseconds":' % protocol
    for protocol in (b"v1", b"v2")
}


class EventWriter:
    """Writes the records of one server.

    Args:
        service: The `InferenceService`.
        namespace: Its namespace.
        version: The model's.
        description: What the columns mean: the bundle's dictionary, and the output's name.

    Attributes:
        hello: The event that says what the columns mean.
    """

    def __init__(self, service: str, namespace: str, version: str, description: dict[str, Any]) -> None:
        self._process, self._counter = os.urandom(8).hex().encode(), itertools.count()
        self._times = _Times()
        common: dict[str, Any] = {
            "specversion": "1.0",
            "source": f"/{namespace}/{service}",
            "inferenceservicename": service,
            "namespace": namespace,
            "component": "predictor",
            "endpoint": "default",
            "metadata": "{}",
            "modelversion": version,
        }
        # Without the closing brace.
        self._request = msgspec.json.encode(common | {"type": REQUEST_TYPE})[:-1]
        self._response = msgspec.json.encode(common | {"type": RESPONSE_TYPE})[:-1]
        # What stands before the parts of the common record that differ.
        json_follows = b',"datacontenttype":"application/json","id":"'
        self._to_request = self._request + json_follows
        self._to_response = b"}," + self._response + json_follows
        self.hello = msgspec.json.encode(
            common
            | {
                "type": MODEL_TYPE,
                "id": f"{self._process.decode()}-model",
                "datacontenttype": "application/json",
                "data": description,
            }
        )

    def write(self, records: Sequence[Record]) -> bytes:
        """Write the events of records, a comma behind each."""
        parts: list[bytes] = []
        to_request, to_response, tell_time = self._to_request, self._to_response, self._times.tell
        for record in records:
            protocol, identifier, request, response, begun, ended = record
            headers = request.headers
            if (
                response.status == 200
                and response.content_type is JSON
                and request.rows is None
                # An id that a client gave may be another event's, or has to be escaped; gRPC's is here too.
                and b"x-request-id" not in headers
                and LENGTH_HEADER not in headers
                and len(request.body) + len(response.body) <= _LONGEST_BODY
            ):
                # The request's own id is in both events, and needs no `predictionid` beside.
                came, came_micros = tell_time(begun)
                went, went_micros = tell_time(ended)
                latency = b"%d" % ((ended - begun) * 1e6)
                parts += (
                    to_request,
                    identifier,
                    came,
                    came_micros,
                    _DATA,
                    request.body,
                    to_response,
                    identifier,
                )
                parts += (went, went_micros, _STATUS[protocol], latency, _ANSWER, response.body, _END)
            else:
                parts.append(self._write_uncommon(record))
        return b"".join(parts)

    def _write_uncommon(self, record: Record) -> bytes:
        """Write the events of any record."""
        protocol, identifier, request, response, begun, ended = record
        event = b"%b-%x" % (self._process, next(self._counter))
        first, last = b"".join(self._times.tell(begun)), b"".join(self._times.tell(ended))
        is_plain = response.status == 200 and protocol != b"grpc"
        length = request.headers.get(LENGTH_HEADER)
        more = b""
        if length is not None and length.isdigit():
            more = b',"jsonlength":%d' % int(length[:18])
        if response.content_type is not JSON:
            answered = response.head.partition(_LENGTH_LINE)[2].partition(b"\r\n")[0]
            if answered:
                more += b',"answerjsonlength":%b' % answered
        if isinstance(request.rows, list):
            rows = [None if row is None else b64encode(row).decode() for row in request.rows]
            more += b',"featurerows":%b' % msgspec.json.encode(msgspec.json.encode(rows).decode())
        return b'%b,"id":"%b%bZ"%b},%b,"id":"%b%bZ","predictionid":%b,%b%b%b},' % (
            self._request,
            event,
            first,
            _data(request.body, is_json=is_plain and length is None),
            self._response,
            event,
            last,
            msgspec.json.encode(identifier.decode()),
            b'"protocol":"%b","statuscode":%d,"latencymicroseconds":%d'
            % (protocol, response.status, (ended - begun) * 1e6),
            more,
            _data(response.body, is_json=response.content_type is JSON and protocol != b"grpc"),
        )


class _Times:
    """Writes times by RFC 3339 for events, of which many in a row share all but their end."""

    def __init__(self) -> None:
        # perf_counter to the time of day.
        self._offset = time.time() - time.perf_counter()
        self._second, self._to_the_second = -1, b""
        # In microseconds since 1970.
        self._millisecond, self._to_the_millisecond = -1000, b""

    def tell(self, moment: float) -> tuple[bytes, bytes]:
        """Return a moment of `time.perf_counter` as an attribute to the millisecond, and what follows."""
        micros = int((moment + self._offset) * 1e6)
        rest = micros - self._millisecond
        if not 0 <= rest < 1000:
            rest = micros % 1000
            self._millisecond = micros - rest
            second, milliseconds = divmod(micros // 1000, 1000)
            if second != self._second:
                # The calendar takes longer than all else of a record.
                self._second = second
                self._to_the_second = (
                    _TIME + time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
                )
            self._to_the_millisecond = self._to_the_second + _THOUSANDTHS[milliseconds]
        return self._to_the_millisecond, _THOUSANDTHS[rest]


def _data(body: bytes, *, is_json: bool) -> bytes:
    """Write an event's data: JSON as it is, anything else in base64, and nothing of what is too long."""
    if len(body) > _LONGEST_BODY:
        return b',"omittedbytes":%d' % len(body)
    if is_json:
        return b',"datacontenttype":"application/json","data":%b' % body
    return b',"data_base64":"%b"' % b64encode(body)
