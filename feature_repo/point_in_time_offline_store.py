"""The offline store on files: Feast's own, with a point-in-time join that answers every row it is asked for.

Feast 0.67's join of files drops a row that repeats another's entity and time, and one of which only later or
too old values are known, and says nothing; it joins each row with its whole history before it chooses.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_format import DeltaFormat
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig, DaskRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import _get_requested_feature_views_to_features_dict, _get_requested_on_demand_feature_views

from feature_repo.point_in_time import NONE, Integers, find_known

_MICROSECONDS_AT_MOST = (2**63 - 1) // 1000


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

        def answer() -> pa.Table:
            found = pa.Table.from_pandas(entity_df.assign(**{asked_at: times}), preserve_index=False)
            for view, features in wanted.items():
                found = _append_features(found, asked_at, view, features, config, full_feature_names)
            return found.replace_schema_metadata(None)

        return PointInTimeRetrievalJob(
            evaluation_function=answer,
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


class PointInTimeRetrievalJob(DaskRetrievalJob):
    """A join that has not been made yet; it gives an Arrow table."""

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        table: pa.Table = self.evaluation_function()
        return table


def _is_parquet(views: list[FeatureView]) -> bool:
    sources = [view.batch_source for view in views]
    return all(isinstance(s, FileSource) and not isinstance(s.file_format, DeltaFormat) for s in sources)


def _append_features(
    asked: pa.Table,
    asked_at: str,
    view: FeatureView,
    features: list[str],
    config: RepoConfig,
    full_feature_names: bool,
) -> pa.Table:
    source, projection = view.batch_source, view.projection
    keys = [column.name for column in view.entity_columns]
    created = source.created_timestamp_column
    names = [*keys, source.timestamp_field, *([created] if created else []), *features]
    history = _read(source, config, list(dict.fromkeys(names)))
    history = history.filter(pc.is_valid(history[source.timestamp_field]))
    places = find_known(
        [asked[projection.join_key_map.get(key, key)].cast(history.schema.field(key).type) for key in keys],
        _nanoseconds(asked[asked_at]),
        [history[key] for key in keys],
        _nanoseconds(history[source.timestamp_field]),
        created_at=_nanoseconds(history[created]) if created else None,
        greatest_age=int(view.ttl.total_seconds() * 1e6) * 1000 if view.ttl else None,
    )
    rows = pa.array(places, mask=places == NONE)
    for feature in features:
        name = f"{projection.name_to_use()}__{feature}" if full_feature_names else feature
        # As with Feast's join, what the caller brought by that name stays.
        if name not in asked.column_names:
            asked = asked.append_column(name, history[feature].take(rows))
    return asked


def _read(source: FileSource, config: RepoConfig, names: list[str]) -> pa.Table:
    """Read columns by the names that Feast has for them."""
    in_file = {mapped: column for column, mapped in (source.field_mapping or {}).items()}
    filesystem, path = FileSource.create_filesystem_and_path(
        FileSource.get_uri_for_file_path(repo_path=config.repo_path, uri=source.file_options.uri),
        source.file_options.s3_endpoint_override,
        resolved_credentials=source.resolve_credentials(),
    )
    columns = [in_file.get(name, name) for name in names]
    # Without partitions: else a folder named `a=b` on the way would be one more column.
    table = pq.read_table(path, columns=columns, filesystem=filesystem, partitioning=None)
    return table.select(columns).rename_columns(names)


def _nanoseconds(times: pa.ChunkedArray) -> Integers:
    """Return times as integers: the last one beyond what nanoseconds reach, the first where missing."""
    if times.type == pa.timestamp("ns", times.type.tz):
        whole: Integers = times.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
        return whole
    micros = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64()).fill_null(-_MICROSECONDS_AT_MOST)
    return np.clip(micros.to_numpy(), -_MICROSECONDS_AT_MOST, _MICROSECONDS_AT_MOST) * 1000
