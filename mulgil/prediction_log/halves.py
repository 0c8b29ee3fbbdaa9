"""From an event to what is kept of it: the half of a record, with nothing sensitive in it.

Requests are read by the very readers of the model server, so that a column here is the column that it
predicted from.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from mulgil.contract.dictionary import Column, ColumnType, DataDictionary
from mulgil.contract.values import Value, read_json
from mulgil.online_rows import RowForm, event_time
from mulgil.prediction_log.events import Event
from mulgil.serving import protocol_v1, protocol_v2
from mulgil.serving.binary_tensors import read_elements, split_body
from mulgil.serving.contract_check import ContractViolationError
from mulgil.serving.entities import find_keys, find_keys_of_instances
from mulgil.serving.event_writer import REQUEST_TYPE, RESPONSE_TYPE
from mulgil.serving.messages import RequestError, parse_body
from mulgil.serving.online_store import FEAST_TYPES

# Enough that two values do not meet, and short enough for a column. Chosen by eye.
_HASH_DIGITS = 16


class Half(msgspec.Struct, omit_defaults=True, gc=False):
    """One half of a record, or both.

    Attributes:
        id: The same in both halves.
        source: Who recorded it.
        model: The service.
        namespace: Its namespace.
        version: The model's; empty where it is not known.
        description: Fingerprint of what its columns mean; empty where nobody said.
        received: When the collector got it, in seconds since 1970.
        time: When the request came, likewise; of a response alone, its own.
        has_request: Whether this half says what was asked.
        has_response: Whether this half says what was answered.
        columns: Values by column, the entity's too; empty where the request was refused.
        by_entity: Whether the features came from the online store.
        payload: The request as text, where nobody said what its columns mean.
        prediction_id: What the client was told.
        protocol: `v1`, `v2` or `grpc`.
        status: Of the response.
        latency: In seconds.
        predictions: One an instance.
        error: What a refused client was told.
        answer: The response as text, where it has no predictions that can be read.
    """

    id: str
    source: str
    model: str
    namespace: str = ""
    version: str = ""
    description: str = ""
    received: float = 0.0
    time: float = 0.0
    has_request: bool = False
    has_response: bool = False
    columns: dict[str, list[Any]] = {}
    by_entity: bool = False
    payload: str = ""
    prediction_id: str = ""
    protocol: str = ""
    status: int = 0
    latency: float | None = None
    predictions: list[Any] = []
    error: str = ""
    answer: str = ""

    def joined(self, other: Half) -> Half:
        """Return both halves as one; of what both say, this one's, but the request's time."""
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        if other.has_request and not self.has_request:
            mine["time"] = other.time
        return Half(**{name: mine[name] or theirs[name] for name in mine})


class ModelColumns:
    """What the columns of one model's requests mean.

    Args:
        description: As the model server says it.
        key: Sensitive values are replaced by their hash under this key; `None` leaves them out.

    Attributes:
        fingerprint: Of the description.
        columns: The entity's, then the features.
    """

    def __init__(self, description: dict[str, Any], key: bytes | None) -> None:
        dictionary = DataDictionary.model_validate(description["dictionary"])
        self.fingerprint = dictionary.fingerprint[:16]
        self.columns = (dictionary.entity, *dictionary.inputs)
        self._entity = dictionary.entity
        self._features = {column.name: column for column in dictionary.inputs}
        self._image = next((column for column in dictionary.inputs if column.image), None)
        self._form = RowForm([(c.name, FEAST_TYPES[c.type]) for c in dictionary.stored])
        self._stored = tuple(column.name for column in dictionary.stored)
        self._time = next((c.name for c in dictionary.inputs if c is dictionary.event_timestamp), None)
        self._key = key

    def read_request(
        self, body: bytes, protocol: str, json_length: int | None
    ) -> tuple[dict[str, Any], bool]:
        """Return a right request's columns, hidden where they are sensitive, and whether it has keys alone.

        Raises:
            RequestError: It is no right request.
            ContractViolationError: Likewise.
        """
        raw: Any
        if protocol == "grpc":
            from mulgil.serving.grpc_messages import make_messages
            from mulgil.serving.protocol_grpc import read_request

            message = make_messages()["ModelInferRequest"].FromString(body)
            request, content = read_request(message, self._image.name if self._image else None)
            raw, _ = protocol_v2.read_columns(request, self._features, content, self._entity)
        elif protocol == "v2":
            header = {} if json_length is None else {b"inference-header-content-length": b"%d" % json_length}
            text, content = split_body(header, body)
            parsed = parse_body(protocol_v2.DECODER, text)
            raw, _ = protocol_v2.read_columns(parsed, self._features, content, self._entity)
        else:
            instances = parse_body(protocol_v1.DECODER, body)
            keys = find_keys_of_instances(instances.instances, self._entity)
            if keys is not None:
                raw = {self._entity.name: keys}
            else:
                raw, _ = protocol_v1.read_columns(instances, tuple(self._features), self._image)
        return self.hide(raw), find_keys(raw, self._entity) is not None

    def read_rows(self, text: str) -> dict[str, list[Any]]:
        """Return the columns of rows of the online store."""
        rows = [
            None if row is None else b64decode(row)
            for row in msgspec.json.decode(text, type=list[str | None])
        ]
        found = [[None] * len(self._stored) if row is None else self._form.unpack(row)[1] for row in rows]
        columns = dict(zip(self._stored, map(list, zip(*found, strict=True)), strict=True))
        if self._time is not None:
            columns[self._time] = [None if row is None else event_time(row) for row in rows]
        return self.hide(columns)

    def hide(self, raw: dict[str, Any]) -> dict[str, list[Any]]:
        """Return columns of the dictionary's types, with what is sensitive hashed or left out."""
        result = {}
        for column in self.columns:
            if column.name not in raw:
                continue
            values = raw[column.name]
            values = values.tolist() if isinstance(values, np.ndarray) else values
            if column.type is ColumnType.IMAGE:
                typed: list[Any] = [_digest(value) for value in values]
            else:
                typed = [_plain(read_json(column, value)) for value in values]
            result[column.name] = [self._hash(v) for v in typed] if column.sensitive else typed
        return result

    def _hash(self, value: object) -> str | None:
        if value is None or self._key is None:
            return None
        return hmac.new(self._key, repr(value).encode(), hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def _plain(value: Value) -> Value:
    """Return a value as a log keeps it: a date and time as text, which a request has again."""
    return value.isoformat() if isinstance(value, datetime) else value


def make_half(event: Event, columns: ModelColumns | None, received: float) -> Half:
    """Keep what an event says.

    Args:
        event: A request or a response.
        columns: What its columns mean, where that is known.
        received: When it came, in seconds since 1970.

    Raises:
        RequestError: 400; its data are not base64, or it is of another type.
    """
    half = Half(
        id=event.id,
        source=event.source,
        model=event.inferenceservicename,
        namespace=event.namespace,
        version=event.modelversion,
        description="" if columns is None else columns.fingerprint,
        received=received,
        time=_seconds(event.time) or received,
        prediction_id=event.predictionid,
        protocol=event.protocol,
    )
    body = event.body
    if event.type == REQUEST_TYPE:
        half.has_request = True
        # Ours always says what its columns mean: where that got lost, nobody knows which are sensitive.
        if columns is None and not event.modelversion:
            half.payload = body.decode(errors="replace")
    elif event.type == RESPONSE_TYPE:
        half.has_response = True
        # What HTTP has; anything else is nobody's status.
        half.status = event.statuscode if 100 <= event.statuscode <= 999 else 0
        if event.latencymicroseconds is not None:
            half.latency = event.latencymicroseconds / 1e6
        try:
            _read_answer(half, body, event)
        except Exception:  # noqa: BLE001 - one odd answer of somebody's server must not cost the batch
            half.answer = body.decode(errors="replace")
    else:
        raise RequestError(400, f"event {event.id[:80]}: a type that this collector does not keep.")
    if event.omittedbytes:
        half.error = half.error or f"a body of {event.omittedbytes} bytes was not recorded"
    return half


def add_columns(record: Half, request: Event, response: Event, columns: ModelColumns) -> None:
    """Add what a request of our own server asked, by what its response says of it.

    A refused request has none: what is wrong in it may be anything, and may be sensitive.
    """
    if record.status != 200 or request.omittedbytes:
        return
    try:
        record.columns, record.by_entity = columns.read_request(
            request.body, response.protocol, response.jsonlength
        )
        if response.featurerows:
            record.columns |= columns.read_rows(response.featurerows)
    except Exception as exc:  # noqa: BLE001 - one odd record must not cost the batch
        record.error = f"the columns were not recorded: {type(exc).__name__}"


def columns_of_payload(half: Half, body: bytes, columns: ModelColumns) -> None:
    """Add what a request asked that another than our server recorded, in either protocol."""
    for protocol in ("v1", "v2"):
        try:
            half.columns, half.by_entity = columns.read_request(body, protocol, None)
        except (RequestError, ContractViolationError, ValueError, KeyError):
            continue
        half.protocol = protocol
        return


def _read_answer(half: Half, body: bytes, event: Event) -> None:
    if event.protocol == "grpc":
        _read_grpc_answer(half, body)
        return
    length = len(body) if event.answerjsonlength is None else event.answerjsonlength
    answer = msgspec.json.decode(body[:length])
    if "predictions" in answer:
        half.predictions = list(answer["predictions"])
    elif "outputs" in answer:
        tensors = []
        content, place = memoryview(body)[length:], 0
        for tensor in answer["outputs"]:
            size = (tensor.get("parameters") or {}).get("binary_data_size", 0)
            values = tensor.get("data")
            if values is None:
                part = content[place : place + size]
                values = read_elements(tensor["name"], tensor["datatype"], math.prod(tensor["shape"]), part)
            place += size
            tensors.append((tensor["name"], tensor["shape"], values))
        half.predictions = _rows(tensors)
    elif half.status != 200:
        half.error = str(answer["error"])[:2000]
    else:
        half.answer = body.decode()


def _read_grpc_answer(half: Half, body: bytes) -> None:
    if half.status != 200:
        half.error = body.decode(errors="replace")[:2000]
        return
    from mulgil.serving.grpc_messages import make_messages

    message = make_messages()["ModelInferResponse"].FromString(body)
    tensors = []
    for place, tensor in enumerate(message.outputs):
        shape = list(tensor.shape)
        values: Any
        if message.raw_output_contents:
            part = memoryview(message.raw_output_contents[place])
            values = read_elements(tensor.name, tensor.datatype, math.prod(shape), part)
        elif tensor.datatype == "BYTES":
            values = [text.decode() for text in tensor.contents.bytes_contents]
        else:
            values = list(tensor.contents.fp32_contents)
        tensors.append((tensor.name, shape, values))
    half.predictions = _rows(tensors)


def _rows(tensors: Sequence[tuple[str, list[int], Any]]) -> list[Any]:
    """Return one answer a row: the number alone where that is all, else each output by its name."""
    columns: dict[str, list[Any]] = {}
    for name, shape, values in tensors:
        flat = values.tolist() if isinstance(values, np.ndarray) else values
        width = shape[1] if len(shape) > 1 else 1
        if len(flat) != shape[0]:
            flat = [flat[place : place + width] for place in range(0, len(flat), width)]
        columns[name] = flat
    if len(columns) == 1:
        return next(iter(columns.values()), [])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _digest(image: object) -> str:
    """Return what tells images apart: they are too large to be kept with each prediction."""
    content = image if isinstance(image, bytes) else repr(image).encode()
    return hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]


def _seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        # In UTC, where the first of years may have no date any more.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def kinds(columns: Sequence[Column]) -> dict[str, str]:
    """Return each column's type in Parquet, by name: a hash is text."""
    names = {
        ColumnType.FLOAT: "double",
        ColumnType.INTEGER: "int64",
        ColumnType.BOOLEAN: "bool",
    }
    return {c.name: "string" if c.sensitive else names.get(c.type, "string") for c in columns}
