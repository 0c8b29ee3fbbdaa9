"""An online store for Feast that keeps one value an entity: what SQLite and Redis have in common.

Feast's own stores keep one value a feature, and so write and read as many as there are. The form of a row is
`mulgil.online_rows`, which the model server reads without Feast.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from mulgil.online_rows import (
    MOMENT_TYPE,
    PLAIN_TYPES,
    RowForm,
    key_writer,
    plain,
    read_moment,
    table_name,
    write_moment,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What pandas' missing time is to Feast.
_NO_MOMENT = -(1 << 63)
_MICROSECOND = timedelta(microseconds=1)
_ARMS = {"Float64": "double_val", "Int64": "int64_val", "Bool": "bool_val", "String": "string_val"}
_ARROW_TYPES = {"Float64": pa.float64(), "Int64": pa.int64(), "Bool": pa.bool_(), "String": pa.string()}

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class RowOnlineStore(OnlineStore):
    """What does not depend on where the rows are.

    A write is idempotent, and of two rows of one entity the newer one stays, whichever comes last.
    """

    @abstractmethod
    def write_rows(self, config: RepoConfig, table: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put rows by key, each unless a newer one is there."""

    @abstractmethod
    def read_rows(self, config: RepoConfig, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read rows by key; `None` for one that there is not."""

    @abstractmethod
    def make_table(self, config: RepoConfig, table: str) -> None:
        """See to it that there is a table."""

    @abstractmethod
    def drop_table(self, config: RepoConfig, table: str) -> None:
        """See to it that there is none."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows that come as Feast's messages, as `FeatureStore.push` has them."""
        fields = view_fields(table)
        form = row_form(fields)
        version = config.entity_key_serialization_version
        rows = [
            (
                serialize_entity_key(key, entity_key_serialization_version=version),
                form.pack(
                    _microseconds(event),
                    None if created is None else _microseconds(created),
                    [_from_message(values.get(name), kind) for name, kind in fields],
                ),
            )
            for key, values, event, created in data
        ]
        self.write_rows(config, view_table(config, table), rows)
        if progress is not None:
            progress(len(rows))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read rows as Feast's messages."""
        fields = view_fields(table)
        form = row_form(fields)
        version = config.entity_key_serialization_version
        keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key in entity_keys]
        wanted = set(requested_features or (name for name, _ in fields))
        answers: list[tuple[datetime | None, dict[str, Value] | None]] = []
        for row in self.read_rows(config, view_table(config, table), keys):
            if row is None:
                answers.append((None, None))
                continue
            event, values = form.unpack(row)
            messages = {
                name: _to_message(value, kind)
                for (name, kind), value in zip(fields, values, strict=True)
                if name in wanted
            }
            answers.append((_EPOCH + event * _MICROSECOND, messages))
        return answers

    def can_write_tables(self, view: FeatureView) -> bool:
        """Whether `write_tables` takes a view: one join key, and types that a row has as they are."""
        kinds = [kind for _, kind in view_fields(view)]
        keys = [str(column.dtype) for column in view.entity_columns]
        return set(kinds) <= {*PLAIN_TYPES, MOMENT_TYPE} and len(keys) == 1 and keys[0] in ("Int64", "String")

    def write_tables(self, config: RepoConfig, view: FeatureView, tables: Iterable[pa.Table]) -> None:
        """Write tables of each entity's latest features, without a message of Feast's for each value."""
        self.load_rows(config, view_table(config, view), _pack_tables(view, tables))

    def load_rows(self, config: RepoConfig, table: str, rows: Iterable[list[tuple[bytes, bytes]]]) -> None:
        """Put many rows by key, some at a time, each unless a newer one is there."""
        for some in rows:
            self.write_rows(config, table, some)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Make the tables of what is applied."""
        for view in tables_to_keep:
            self.make_table(config, view_table(config, view))
        for view in tables_to_delete:
            self.drop_table(config, view_table(config, view))

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Remove the tables."""
        for view in tables:
            self.drop_table(config, view_table(config, view))


# What is turned into Python's objects at a time: it bounds their memory. Chosen by eye.
_CHUNK_ROWS = 50_000


def view_fields(view: FeatureView) -> tuple[tuple[str, str], ...]:
    """Return the features' names and types, as a row has them."""
    return tuple((field.name, str(field.dtype)) for field in view.features)


def view_table(config: RepoConfig, view: FeatureView) -> str:
    """Return the name of a view's table."""
    is_versioned = config.registry.enable_online_feature_view_versioning
    return table_name(config.project, compute_versioned_name(view, is_versioned))


@lru_cache(maxsize=64)
def row_form(fields: tuple[tuple[str, str], ...]) -> RowForm:
    """Return the form of a view's rows."""
    return RowForm(fields)


def _pack_tables(view: FeatureView, tables: Iterable[pa.Table]) -> Iterator[list[tuple[bytes, bytes]]]:
    fields = view_fields(view)
    form = row_form(fields)
    (key,) = view.entity_columns
    write_key = key_writer(key.name, is_integer=str(key.dtype) == "Int64")
    created = view.batch_source.created_timestamp_column
    for table in tables:
        for batch in table.to_batches(max_chunksize=_CHUNK_ROWS):
            keys = batch.column(key.name).cast(_ARROW_TYPES[str(key.dtype)]).to_pylist()
            rows = form.pack_all(
                _times(batch.column(view.batch_source.timestamp_field)),
                _times(batch.column(created)) if created else None,
                [_column(batch.column(name), kind) for name, kind in fields],
            )
            yield list(zip(map(write_key, keys), rows, strict=True))


def _microseconds(time: datetime) -> int:
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _from_message(message: Value | None, kind: str) -> object:
    if message is None or message.WhichOneof("val") in (None, "null_val"):
        return None
    if kind in PLAIN_TYPES:
        return plain(getattr(message, _ARMS[kind]))
    if kind == MOMENT_TYPE:
        seconds = message.unix_timestamp_val
        return None if seconds == _NO_MOMENT else write_moment(seconds)
    return message.SerializeToString()


def _to_message(value: Any, kind: str) -> Value:
    if value is None:
        return Value()
    if kind in PLAIN_TYPES:
        return Value(**{_ARMS[kind]: value})
    if kind == MOMENT_TYPE:
        return Value(unix_timestamp_val=read_moment(value))
    message = Value()
    message.ParseFromString(value)
    return message


def _times(column: pa.Array) -> list[int]:
    micros = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    times: list[int] = micros.to_numpy(zero_copy_only=False).tolist()
    return times


def _column(column: pa.Array, kind: str) -> list[object]:
    """Return a column's values, missing ones and what is no number as `None`."""
    if kind == MOMENT_TYPE:
        seconds = pc.floor_temporal(column, unit="second").cast(pa.timestamp("s", column.type.tz))
        return [
            None if value is None else write_moment(value) for value in seconds.cast(pa.int64()).to_pylist()
        ]
    if kind == "Int64" and pa.types.is_floating(column.type):
        # A data frame's integers with missing ones among them.
        column = pc.if_else(pc.is_nan(column), None, column)
    column = column.cast(_ARROW_TYPES[kind])
    if kind == "Int64" and column.null_count:
        # numpy would make floats of them.
        whole: list[object] = column.to_pylist()
        return whole
    # numpy's objects are ready several times sooner than Arrow's.
    values: list[object] = column.to_numpy(zero_copy_only=False).tolist()
    if kind == "Float64":
        return [None if value != value else value for value in values]
    return values
