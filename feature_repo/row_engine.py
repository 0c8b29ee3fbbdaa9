"""Materialization in columns: Feast's local engine without a message for each value.

Feast 0.67 turns each value of a table into a protobuf message and each row into a dictionary of them before a
store sees it, which takes longer than writing them. This engine hands a plain view's tables to our
store as they are, and leaves every other view to Feast's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.backends.factory import BackendFactory
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from feature_repo.point_in_time_offline_store import PointInTimeRetrievalJob
from feature_repo.row_online_store import RowOnlineStore


class RowComputeEngineConfig(FeastConfigBaseModel):
    """The section `batch_engine` of feature_store.yaml.

    Attributes:
        type: The class.
    """

    type: Literal["feature_repo.row_engine.RowComputeEngine"]


class RowComputeEngine(LocalComputeEngine):
    """Feast's local engine, with a short way for views that are columns of their source."""

    def __init__(self, type: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        view, store = task.feature_view, self.online_store
        if not (isinstance(store, RowOnlineStore) and _is_plain(view) and store.can_write_tables(view)):
            return super()._materialize_one(registry, task, **kwargs)
        name = f"{view.name}-{task.start_time}-{task.end_time}"
        try:
            store.write_tables(self.repo_config, view, self._pull(registry, task))
        except Exception as exc:  # noqa: BLE001 - Feast's own way: a job has its error, and the caller raises it
            return LocalMaterializationJob(job_id=name, status=MaterializationJobStatus.ERROR, error=exc)
        return LocalMaterializationJob(job_id=name, status=MaterializationJobStatus.SUCCEEDED)

    def _pull(self, registry: BaseRegistry, task: MaterializationTask) -> Iterator[pa.Table]:
        """Read each entity's latest values from the offline store, some rows at a time where it can."""
        backend = self._backend or BackendFactory.from_name("pandas")
        columns = LocalFeatureBuilder(registry, task, backend=backend).get_column_info(task.feature_view)
        job = self.offline_store.pull_latest_from_table_or_query(
            config=self.repo_config,
            data_source=task.feature_view.batch_source,
            join_key_columns=columns.join_keys,
            feature_name_columns=columns.feature_cols,
            timestamp_field=columns.ts_col,
            created_timestamp_column=columns.created_ts_col,
            start_date=task.start_time,
            end_date=task.end_time,
        )
        if isinstance(job, PointInTimeRetrievalJob):
            yield from job.to_tables()
        else:
            yield job.to_arrow()


def _is_plain(view: Any) -> bool:
    """Whether a view's rows are its source's, with no transformation and no other name of a column."""
    return (
        type(view) is FeatureView
        and view.online
        and not view.offline
        and not view.batch_source.field_mapping
        and getattr(view, "feature_transformation", None) is None
        and not getattr(view, "enable_validation", False)
    )
