"""Features by entity, as Feast's `online_store` class of this project wrote them, read without Feast.

Importing Feast costs seconds and 200 MB, and its own read half a millisecond. A test with the real Feast
holds that the same entities give the same values.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mulgil.artifacts import FeatureServiceReference
from mulgil.contract.dictionary import ColumnType, DataDictionary
from mulgil.errors import InputError, describe
from mulgil.online_rows import (
    FORM,
    VALUES_START,
    OtherFormError,
    RowForm,
    event_time,
    key_writer,
    table_name,
)
from mulgil.online_stores import URL_VARIABLE, find_redis
from mulgil.serving.logs import write_event
from mulgil.serving.messages import RequestError
from mulgil.serving.redis_rows import RedisRows
from mulgil.serving.typed_values import row_types

Stored = float | int | bool | str | None
Features = dict[str, Stored]
# How long a file that was swapped may go unnoticed: looking costs as much as reading. Chosen by eye.
_LOOK_SECONDS = 0.01
Rows = list[bytes | None]

# Feast's name of the type that a column has in a feature view: `feature_repo.translation` gives it.
FEAST_TYPES = {
    ColumnType.FLOAT: "Float64",
    ColumnType.INTEGER: "Int64",
    ColumnType.BOOLEAN: "Bool",
    ColumnType.CATEGORY: "String",
    ColumnType.TIMESTAMP: "UnixTimestamp",
}


class UnreadRowsError(Exception):
    """A request needs rows that are on their way.

    Attributes:
        rows: What they will be. It fails with nothing but a `RequestError`.
    """

    def __init__(self, rows: asyncio.Future[Rows]) -> None:
        super().__init__("the rows are on their way")
        self.rows = rows


class Backend(Protocol):
    """What keeps rows by key."""

    def read(self, keys: Sequence[bytes]) -> Rows | asyncio.Future[Rows]:
        """Read them, or begin to.

        Raises:
            RequestError: 503; they cannot be read.
        """


class OnlineStore:
    """One version of the online store.

    Args:
        reference: What the bundle reads by entity.
        dictionary: The bundle's.

    Attributes:
        entity: The dictionary's entity column.
        fills_unknown: Whether an entity that is not known has every feature missing, and is not refused.
        observe: Told the seconds of each read.
    """

    def __init__(self, reference: FeatureServiceReference, dictionary: DataDictionary) -> None:
        self.entity = dictionary.entity
        self.fills_unknown = reference.unknown_entity == "fill"
        self.observe: Callable[[float], None] = lambda _: None
        columns = dictionary.stored
        self._names = tuple(column.name for column in columns)
        # The time of the row itself, where derived columns read it.
        self._time = next((c.name for c in dictionary.inputs if c is dictionary.event_timestamp), None)
        self._form = RowForm([(column.name, FEAST_TYPES[column.type]) for column in columns])
        own = [] if self._time is None else [self._time]
        self._decode = msgspec.msgpack.Decoder(row_types(columns, own)[1]).decode
        self._write_key = key_writer(self.entity.name, is_integer=self.entity.type is ColumnType.INTEGER)
        self._backend = _connect(reference)

    def read(self, keys: Sequence[int | str]) -> Rows:
        """Read the rows of entities; `None` for one that the store does not know.

        Raises:
            UnreadRowsError: They come later.
            RequestError: 503; the store is not there or broken.
        """
        begun = time.perf_counter()
        rows = self._backend.read(list(map(self._write_key, keys)))
        if isinstance(rows, asyncio.Future):
            rows.add_done_callback(lambda _: self.observe(time.perf_counter() - begun))
            raise UnreadRowsError(rows)
        self.observe(time.perf_counter() - begun)
        return rows

    def decode(self, rows: Rows) -> list[Any] | None:
        """Return rows as instances with an attribute a column, checked by type.

        Returns:
            `None` where the contract check is to judge: an entity is not known, or a value is not allowed.
        """
        head, decode = self._form.head, self._decode
        instances = []
        for row in rows:
            if row is None or not row.startswith(head):
                return None
            try:
                instance = decode(row[VALUES_START:])
            except msgspec.DecodeError:
                return None
            if self._time is not None:
                setattr(instance, self._time, event_time(row))
            instances.append(instance)
        return instances

    def unpack(self, rows: Rows) -> list[Features | None]:
        """Return rows as raw values by column; `None` for an entity that is not known.

        Raises:
            RequestError: 503; a row is not of the bundle's features.
        """
        try:
            return [None if row is None else self._unpack(row) for row in rows]
        except OtherFormError as exc:
            raise _unreadable(str(exc)) from exc

    def _unpack(self, row: bytes) -> Features:
        _, values = self._form.unpack(row)
        features = dict(zip(self._names, values, strict=True))
        return features if self._time is None else {**features, self._time: event_time(row)}


class SqliteRows:
    """Rows in a file, as it is at the time of the request.

    Args:
        path: The file.
        table: Its table.
    """

    def __init__(self, path: Path, table: str) -> None:
        self._path = path
        quoted = table.replace('"', '""')
        self._query = f'SELECT row FROM "{quoted}" WHERE entity_key = ?'
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._opened: tuple[int, int, int] | None = None
        self._look_at = 0.0

    def read(self, keys: Sequence[bytes]) -> Rows:
        """Read rows by key.

        Raises:
            RequestError: 503; the file is not there or broken.
        """
        try:
            execute = self._find_cursor().execute
            found = [execute(self._query, (key,)).fetchone() for key in keys]
        except (OSError, sqlite3.Error) as exc:
            raise _unreadable(f"{self._path}: {exc}") from exc
        return [None if row is None else row[0] for row in found]

    def _find_cursor(self) -> sqlite3.Cursor:
        """Return the one cursor: to make one a read takes a fifth of the read."""
        now = time.monotonic()
        if self._cursor is not None and now < self._look_at:
            return self._cursor
        # A materialization swaps the file: whoever has the old one open would read old values for ever.
        status = self._path.stat()
        self._look_at = now + _LOOK_SECONDS
        found = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if self._connection is None or self._cursor is None or found != self._opened:
            if self._connection is not None:
                self._connection.close()
            # The file is never written to where it stands, so that nobody need be kept out by locks, which
            # cost more than the read.
            address = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(address, uri=True)
            self._cursor = self._connection.cursor()
            self._opened = found
        return self._cursor


class UnreadableRows:
    """Rows of a form that this server does not read.

    Args:
        form: The one that the bundle names.
    """

    def __init__(self, form: int | None) -> None:
        self._message = (
            f"The bundle names rows of the form {form or 'that Feast itself writes'}, and this server reads "
            f"the form {FORM}: predict by features, or train and deploy again"
        )
        write_event(self._message, level="error")

    def read(self, keys: Sequence[bytes]) -> Rows:
        """Refuse.

        Raises:
            RequestError: 503, always.
        """
        raise RequestError(503, f"{self._message}.")


class NoRows:
    """No store at all: a model of images.

    Args:
        entity: The dictionary's entity.
    """

    def __init__(self, entity: str) -> None:
        self._message = f"This model reads an image, which no store keeps by {entity}: send the image itself."

    def read(self, keys: Sequence[bytes]) -> Rows:
        """Refuse.

        Raises:
            RequestError: 400, always.
        """
        raise RequestError(400, self._message)


def _connect(reference: FeatureServiceReference) -> Backend:
    """Choose what the bundle names.

    Raises:
        InputError: It names Redis, and nothing says where that is.
    """
    if not reference.features:
        return NoRows(reference.entity)
    if reference.row_form != FORM:
        return UnreadableRows(reference.row_form)
    if reference.store_kind == "sqlite":
        return SqliteRows(Path(reference.online_store), table_name(reference.project, reference.name))
    url = find_redis()
    if not url:
        raise InputError(
            describe(
                "The bundle's features by entity are in Redis, and nothing says where that is",
                expected=f"{URL_VARIABLE}=redis://HOST:PORT in the server's environment",
                received="nothing",
            )
        )
    return RedisRows(url, reference.online_store, _unreadable)


def _unreadable(reason: str) -> RequestError:
    # The client can do nothing about a path or an address; the server's log has it.
    write_event("the online store cannot be read", level="error", reason=reason)
    return RequestError(503, "The online store cannot be read; the server's log says why.")
