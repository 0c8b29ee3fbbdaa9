"""The ingested dataset, read whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mulgil.artifacts import DATASET_MANIFEST, SPLITS, DatasetManifest
from mulgil.errors import InputError, describe


@dataclass(frozen=True)
class Dataset:
    """What `ingest_data` wrote.

    Attributes:
        manifest: Its record.
        splits: The rows of each split, by its name.
    """

    manifest: DatasetManifest
    splits: dict[str, pa.Table]


def read_dataset(path: Path) -> Dataset:
    """Read a dataset.

    Raises:
        InputError: A file is missing or is not what its name says, or the manifest counts other rows.
    """
    manifest = DatasetManifest.read(path / DATASET_MANIFEST)
    splits = {split: _read_parquet(path / f"{split}.parquet") for split in SPLITS}
    rows = {split: table.num_rows for split, table in splits.items()}
    if rows != manifest.rows:
        raise InputError(
            describe(
                f"{path} is not what its manifest says",
                expected=f"rows={manifest.rows}",
                received=f"rows={rows}",
                next_step="run ingest_data again",
            )
        )
    return Dataset(manifest, splits)


def as_numbers(splits: Mapping[str, pa.ChunkedArray]) -> dict[str, npt.NDArray[np.float64]]:
    """Return a column's values as float64, NaN where missing; a code becomes its place among all codes.

    Args:
        splits: The values by split.
    """
    codes = {code for values in splits.values() if _is_text(values) for code in pc.unique(values).to_pylist()}
    ordered = sorted(code for code in codes if code is not None)
    numbers = {}
    for split, values in splits.items():
        if _is_text(values):
            values = pc.index_in(values, value_set=pa.array(ordered, values.type))
        # Beyond 2**53 a float64 skips integers, which matters to neither ranks nor shares.
        numbers[split] = pc.cast(values, pa.float64(), safe=False).to_numpy()
    return numbers


def _is_text(values: pa.ChunkedArray) -> bool:
    return pa.types.is_string(values.type) or pa.types.is_large_string(values.type)


def _read_parquet(path: Path) -> pa.Table:
    try:
        # Not pq.read_table, which takes a folder named `a=b` on the way for one more column.
        return pq.ParquetFile(path).read()
    except FileNotFoundError as exc:
        raise InputError(
            describe(f"{path} does not exist", expected="a directory written by ingest_data")
        ) from exc
    except (OSError, pa.ArrowException) as exc:
        raise InputError(describe(f"{path} is not a Parquet file", received=str(exc))) from exc
