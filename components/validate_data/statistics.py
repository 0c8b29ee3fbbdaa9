"""TFDV's statistics and anomalies of rows in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.validate_data.tfdv import array_util, stats_impl, tfdv

Statistics = statistics_pb2.DatasetFeatureStatisticsList


def compute_statistics(table: pa.Table, columns: Iterable[str]) -> Statistics:
    """Compute the statistics of some columns.

    Args:
        table: The rows.
        columns: Those to look at. One of a type that TFDV cannot take is left out.
    """
    lists = {
        name: array_util.ToSingletonListArray(_translate(table[name].combine_chunks()))
        for name in columns
        if _is_taken(table[name].type)
    }
    batch = pa.RecordBatch.from_arrays(list(lists.values()), names=list(lists))
    # An infinite value has no variance. It is refused later; numpy need not warn of it.
    with np.errstate(over="ignore", invalid="ignore"):
        return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def find_anomalies(statistics: Statistics, schema: schema_pb2.Schema) -> anomalies_pb2.Anomalies:
    """Hold statistics against the schema."""
    return tfdv.validate_statistics(statistics, schema)


def _is_taken(kind: pa.DataType) -> bool:
    is_any = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return any(is_this(kind) for is_this in is_any)


def _translate(array: pa.Array) -> pa.Array:
    return pc.cast(array, pa.int64()) if pa.types.is_boolean(array.type) else array
