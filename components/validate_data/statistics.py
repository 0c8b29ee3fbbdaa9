"""TFDV's statistics and anomalies of rows that come in batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.validate_data.images import MEASURES, measure_images, name_of
from components.validate_data.quantiles import make_generators
from components.validate_data.tfdv import array_util, stats_impl, tfdv

Statistics = statistics_pb2.DatasetFeatureStatisticsList


def compute_statistics(batches: Iterable[pa.RecordBatch]) -> Statistics:
    """Compute the statistics of rows that come in batches.

    TFDV's own combiners take one batch after the other, as they do within its Beam pipeline: counts are
    exact, quantiles and the numbers of different values within the error that TFDV states for its sketches.

    Args:
        batches: The rows; at least one batch. A column of a type that TFDV cannot take is left out.
    """
    generators = make_generators()
    accumulators = [generator.create_accumulator() for generator in generators]
    # An infinite value has no variance. It is refused later; numpy need not warn of it.
    with np.errstate(over="ignore", invalid="ignore"):
        for batch in batches:
            examples = as_examples(batch)
            accumulators = [
                generator.add_input(accumulator, examples)
                for generator, accumulator in zip(generators, accumulators, strict=True)
            ]
        return stats_impl.extract_statistics_output(accumulators, generators)


def as_examples(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch as TFDV takes it: each value in a list of its own."""
    columns: dict[str, pa.Array] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_binary(column.type):
            for measure, values in zip(MEASURES, measure_images(column), strict=True):
                columns[name_of(name, measure)] = values
        elif _is_taken(column.type):
            columns[name] = _translate(column)
    lists = {name: array_util.ToSingletonListArray(column) for name, column in columns.items()}
    return pa.RecordBatch.from_arrays(list(lists.values()), names=list(lists))


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
    if pa.types.is_boolean(array.type):
        return pc.cast(array, pa.int64())
    return array
