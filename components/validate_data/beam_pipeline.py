"""Statistics and anomalies of Parquet files by Beam; the one module that builds a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

# Before Beam, whose warnings it silences.
from components.validate_data.tfdv import tfdv

import apache_beam as beam  # isort: skip
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.validate_data.statistics import Statistics, as_examples, find_anomalies
from components.validate_data.structure import find_structure_problems
from mulgil.contract import Column
from mulgil.errors import InputError, describe

# As many as a batch of one machine's has: a row group can be the whole file.
_BATCH_ROWS = 1 << 16

STATISTICS = "statistics.pb"
ANOMALIES = "anomalies.pbtxt"


def run_pipeline(
    rows_pattern: str,
    output_path: str,
    columns: Mapping[str, Column],
    schema: schema_pb2.Schema,
    beam_options: Sequence[str],
) -> anomalies_pb2.Anomalies:
    """Compute the statistics of files and hold them against a schema, and wait for it.

    Args:
        rows_pattern: The files.
        output_path: The folder for both.
        columns: The columns to look at.
        schema: What they must be.
        beam_options: What runs the pipeline, and how.

    Returns:
        The anomalies, as written.

    Raises:
        InputError: There are no such files, or their columns are not these.
    """
    _require_columns(rows_pattern, columns)
    # The sketches of the statistics of one machine; by default Beam would count every different value.
    options = tfdv.StatsOptions(use_sketch_based_topk_uniques=True)
    anomalies_path = FileSystems.join(output_path, ANOMALIES)
    with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
        statistics = (
            pipeline
            | "Read" >> beam.io.ReadFromParquetBatched(rows_pattern, columns=list(columns))
            | "Batch" >> beam.FlatMap(_divide)
            | "Compute" >> tfdv.GenerateStatistics(options)
        )
        _ = statistics | "WriteStatistics" >> tfdv.WriteStatisticsToBinaryFile(
            FileSystems.join(output_path, STATISTICS)
        )
        _ = (
            statistics
            | "Validate" >> beam.Map(partial(_validate, schema=schema.SerializeToString()))
            | "WriteAnomalies" >> beam.io.WriteToText(anomalies_path, shard_name_template="")
        )
    with FileSystems.open(anomalies_path) as file:
        return text_format.Parse(file.read(), anomalies_pb2.Anomalies())


def _divide(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in rows.combine_chunks().to_batches(max_chunksize=_BATCH_ROWS):
        yield as_examples(batch)


def _validate(statistics: Statistics, schema: bytes) -> str:
    return text_format.MessageToString(find_anomalies(statistics, schema_pb2.Schema.FromString(schema)))


def _require_columns(pattern: str, columns: Mapping[str, Column]) -> None:
    """Look at the first file's columns: of one that is not there the statistics know nothing."""
    try:
        (match,) = FileSystems.match([pattern])
        files = [found.path for found in match.metadata_list]
        if not files:
            raise InputError(describe(f"No file is there: {pattern}", expected="Parquet files"))
        with FileSystems.open(files[0]) as file:
            found = pq.read_schema(file)
    except (BeamIOError, OSError, ValueError, pa.ArrowException) as exc:
        raise InputError(
            describe(f"The rows cannot be read: {pattern}", expected="Parquet files", received=str(exc))
        ) from exc
    problems = find_structure_problems(columns, {"rows": found.remove_metadata()})
    missing = {name: problem for name, problem in problems.items() if name in columns}
    if missing:
        raise InputError(
            describe(
                f"{files[0]} has not the dictionary's columns",
                expected=", ".join(columns),
                received="; ".join(f"{name}: {problem}" for name, problem in missing.items()),
                next_step="give files that ingest_data wrote",
            )
        )
