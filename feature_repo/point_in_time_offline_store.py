"""The offline store on files: Feast's own, with a point-in-time join that answers every row it is asked for.

Feast 0.67's join of files drops a row that repeats another's entity and time, and one of which only later or
too old values are known, and says nothing; it joins each row with its whole history before it chooses. And
it holds all rows with all their columns in memory, to join as to materialize; here those are read some at a
time, and only keys and times are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_format import DeltaFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig, DaskRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import (
    _get_requested_feature_views_to_features_dict,
    _get_requested_on_demand_feature_views,
    make_tzaware,
)

from feature_repo.point_in_time import NONE, Integers, find_known, find_latest
from feature_repo.stored_history import StoredHistory, count_batch_rows

_LEAST, _GREATEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
# Of one table, where nobody wants more.
_ALL_ROWS = 1 << 62
_MICROSECOND, _EPOCH = timedelta(microseconds=1), datetime(1970, 1, 1, tzinfo=UTC)


class PointInTimeOfflineStoreConfig(DaskOfflineStoreConfig):
    """The section `offline_store` of feature_store.yaml.

    Attributes:
        type: The class.
    """

    type: Literal["feature_repo.point_in_time_offline_store.PointInTimeOfflineStore"]  # type: ignore[assignment]


class PointInTimeOfflineStore(DaskOfflineStore):
    """Feast's store on files, with a join of its own; what that does not know, Feast's does."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        """Answer each row of a data frame of entities and times, in its order, with what was known then.

        Of a feature that was not known yet, or is older than the view's `ttl`, the value is missing. An
        entity whose key is missing is not known. Without a data frame, or held against the created timestamp,
        Feast's own join answers.
        """
        if (
            not isinstance(entity_df, pd.DataFrame)
            or filter_by_created_timestamp
            or not _is_parquet(feature_views)
        ):
            return DaskOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
                **kwargs,
            )
        asked_at = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        times = pd.to_datetime(entity_df[asked_at], utc=True)
        # Feast's own grouping by view, so that names are refused as Feast refuses them.
        wanted, _ = _get_requested_feature_views_to_features_dict(
            feature_refs,
            feature_views,
            _get_requested_on_demand_feature_views(feature_refs, config.project, registry),
        )

        def answer(batch_rows: int | None) -> Iterator[pa.Table]:
            # Not of a frame with other times, which would be one more copy of all.
            asked = pa.Table.from_pandas(entity_df, preserve_index=False)
            place = asked.schema.get_field_index(asked_at)
            moments = pa.Table.from_pandas(times.to_frame(), preserve_index=False).column(0)
            asked = asked.set_column(place, asked_at, moments)
            yield from _answer(
                asked.replace_schema_metadata(None),
                asked_at,
                wanted,
                config,
                full_feature_names,
                batch_rows or count_batch_rows(len(entity_df.columns) + len(feature_refs)),
            )

        return PointInTimeRetrievalJob(
            answer,
            full_feature_names=full_feature_names,
            repo_path=str(config.repo_path),
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=list(set(entity_df.columns) - {asked_at}),
                min_event_timestamp=times.min().to_pydatetime(),
                max_event_timestamp=times.max().to_pydatetime(),
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Read each entity's latest row of an interval, both ends included, for materialization.

        A row without a key is of no entity. What Feast would have to convert first, its own store reads.
        """
        times = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        history = StoredHistory(data_source, config) if _is_parquet_source(data_source) else None
        if (
            history is None
            or not join_key_columns
            or not all(pa.types.is_timestamp(history.type_of(t)) for t in times)
        ):
            return DaskOfflineStore.pull_latest_from_table_or_query(
                config,
                data_source,
                join_key_columns,
                feature_name_columns,
                timestamp_field,
                created_timestamp_column,
                start_date,
                end_date,
            )

        names = list(dict.fromkeys([*join_key_columns, *feature_name_columns, *times]))

        def answer(batch_rows: int | None) -> Iterator[pa.Table]:
            places = _find_latest_places(history, join_key_columns, times, start_date, end_date)
            yield from history.take(places, names, batch_rows or count_batch_rows(len(names)))

        return PointInTimeRetrievalJob(answer, full_feature_names=False, repo_path=str(config.repo_path))


class PointInTimeRetrievalJob(DaskRetrievalJob):
    """An answer that has not been computed yet; it gives Arrow tables, all rows in one or some in each.

    Args:
        answer: Computes it, in tables of as many rows as it is told, or as many as are sensible, and at
            least one.
        described: What Feast's jobs are told otherwise.
    """

    def __init__(self, answer: Callable[[int | None], Iterator[pa.Table]], **described: Any) -> None:
        super().__init__(evaluation_function=answer, **described)

    def to_tables(self) -> Iterator[pa.Table]:
        """Compute it some rows at a time, in their order; columns derived on demand are left out."""
        yield from self.evaluation_function(None)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        [table] = self.evaluation_function(_ALL_ROWS)
        return table


def _is_parquet(views: list[FeatureView]) -> bool:
    return all(_is_parquet_source(view.batch_source) for view in views)


def _is_parquet_source(source: DataSource) -> bool:
    return isinstance(source, FileSource) and not isinstance(source.file_format, DeltaFormat)


def _answer(
    asked: pa.Table,
    asked_at: str,
    wanted: Mapping[FeatureView, list[str]],
    config: RepoConfig,
    full_feature_names: bool,
    batch_rows: int,
) -> Iterator[pa.Table]:
    parts, taken = [], set(asked.column_names)
    for view, features in wanted.items():
        prefix = f"{view.projection.name_to_use()}__" if full_feature_names else ""
        # As with Feast's join, what the caller brought by that name stays.
        found = {f"{prefix}{one}": one for one in features if f"{prefix}{one}" not in taken}
        taken |= found.keys()
        history = StoredHistory(view.batch_source, config)
        places = _find_known_places(history, asked, asked_at, view)
        parts.append((list(found), history.take(places, list(found.values()), batch_rows)))
    # Without a row there still is a table.
    for start in range(0, max(1, asked.num_rows), batch_rows):
        rows = asked.slice(start, batch_rows)
        columns = dict(zip(rows.column_names, rows.columns, strict=True))
        for names, tables in parts:
            columns |= zip(names, next(tables).columns, strict=True)
        yield pa.table(columns)


def _find_known_places(history: StoredHistory, asked: pa.Table, asked_at: str, view: FeatureView) -> Integers:
    source, keys = view.batch_source, [column.name for column in view.entity_columns]
    created = source.created_timestamp_column
    rows, here = _read_keys(history, keys, [source.timestamp_field, *([created] if created else [])])
    names = [view.projection.join_key_map.get(key, key) for key in keys]
    known_at = _microseconds(rows[source.timestamp_field])
    created_at = _microseconds(rows[created]) if created else None
    rows = rows.select(keys)
    places = find_known(
        [asked[name].cast(history.type_of(key)) for name, key in zip(names, keys, strict=True)],
        _microseconds(asked[asked_at]),
        rows.columns,
        known_at,
        created_at=created_at,
        greatest_age=view.ttl // _MICROSECOND if view.ttl else None,
    )
    return places if here is None else np.where(places == NONE, NONE, here[places])


def _find_latest_places(
    history: StoredHistory,
    keys: list[str],
    times: list[str],
    start: datetime | None,
    end: datetime | None,
) -> Integers:
    rows, here = _read_keys(history, keys, times)
    known_at = _microseconds(rows[times[0]])
    low, high = (
        extreme if bound is None else (make_tzaware(bound) - _EPOCH) // _MICROSECOND
        for bound, extreme in ((start, _LEAST), (end, _GREATEST))
    )
    inside = np.flatnonzero((known_at >= low) & (known_at <= high))
    if len(inside) < len(known_at):
        rows, known_at = rows.take(pa.array(inside)), known_at[inside]
        here = inside if here is None else here[inside]
    created_at = _microseconds(rows[times[1]]) if len(times) > 1 else None
    places = find_latest([rows[key] for key in keys], known_at, created_at=created_at)
    return places if here is None else here[places]


def _read_keys(
    history: StoredHistory, keys: Sequence[str], times: Sequence[str]
) -> tuple[pa.Table, Integers | None]:
    """Read what rows are found by, and where they stand unless that is all of them: those with a time."""
    rows = history.read(list(dict.fromkeys([*keys, *times])))
    if not rows[times[0]].null_count:
        return rows, None
    there = pc.is_valid(rows[times[0]])
    return rows.filter(there), np.flatnonzero(there.to_numpy())


def _microseconds(times: pa.ChunkedArray) -> Integers:
    """Return times as integers, the first one where missing.

    Microseconds, as Feast's own times are: nanoseconds reach only from 1677 to 2262.
    """
    if times.type.unit == "ns":
        # A cast refuses to lose what is finer.
        whole: Integers = times.cast(pa.int64()).fill_null(_LEAST).to_numpy() // 1000
        return whole
    micros = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
    found: Integers = micros.fill_null(_LEAST).to_numpy()
    return found
