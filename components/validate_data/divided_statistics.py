"""A split's statistics, its columns divided among processes.

A column's statistics need no other column, so that those of several processes, one after the other, are what
one process would compute. TFDV's sketches keep Python's lock, so that threads would only wait for each other.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pyarrow as pa

from components.validate_data.dataset import PartOfSplits, StoredSplit
from components.validate_data.statistics import Statistics, compute_statistics
from mulgil.errors import TemporaryError, describe

# Cells from which on a second process wins more than its start takes, which is about 0.1 s.
_CELLS_WORTH_A_PROCESS = 1 << 20

# What a column costs however few rows it has, in cells: its histograms are made bucket by bucket, in 8 ms.
_CELLS_OF_A_COLUMN = 1 << 15

# Each has its own pages of what TFDV imports as soon as it touches them. Chosen by eye.
_MOST_PROCESSES = 4

# What a cell takes, beside one of another type: of images each is decoded, of numbers there are quantiles.
_COST_OF_IMAGE = 1000
_COST_OF_NUMBER = 3


def compute_statistics_of(
    split: StoredSplit | PartOfSplits, columns: Collection[str], processes: int = 0
) -> Statistics:
    """Compute the statistics of some columns of a split.

    Args:
        split: The rows.
        columns: Names of columns; of one of a type that TFDV cannot take there are no statistics.
        processes: How many work at it; 0 is as many as there are cores, and as are worth it.

    Raises:
        InputError: The split cannot be read.
        TemporaryError: A process was ended from outside.
    """
    names = [name for name in split.schema.names if name in columns]
    worth = (split.num_rows + _CELLS_OF_A_COLUMN) * len(names) // _CELLS_WORTH_A_PROCESS
    count = processes or min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, max(1, worth))
    first, *others = divide([_cost(split.schema.field(name).type) for name in names], count)
    if not others:
        return compute_statistics(split.batches(names))
    # A copy of this process has TFDV already, which takes eight seconds to import.
    with ProcessPoolExecutor(len(others), multiprocessing.get_context("fork")) as pool:
        found = [pool.submit(_compute, split, names[part]) for part in others]
        statistics = compute_statistics(split.batches(names[first]))
        try:
            for answer in found:
                part = Statistics.FromString(answer.result())
                statistics.datasets[0].features.extend(part.datasets[0].features)
        except BrokenProcessPool as exc:
            raise TemporaryError(
                describe(
                    "A process that computed statistics was ended from outside",
                    expected=f"memory and leave for {count} processes",
                    next_step="run again; with less to do beside it, if the memory was full",
                )
            ) from exc
    return statistics


def divide(costs: Sequence[float], parts: int) -> list[slice]:
    """Divide what stands in a row into parts that cost about the same, and keep its order.

    Args:
        costs: Of each.
        parts: How many at most; each has something, but for the only one of nothing.
    """
    ends: list[int] = []
    spent, share = 0.0, sum(costs) / parts
    for place, cost in enumerate(costs):
        # Where the middle of it is beyond the share, it is the next part's.
        if place and len(ends) < parts - 1 and spent + cost / 2 > share * (len(ends) + 1):
            ends.append(place)
        spent += cost
    bounds = [0, *ends, len(costs)]
    return [slice(start, end) for start, end in itertools.pairwise(bounds)]


def _compute(split: StoredSplit | PartOfSplits, columns: Sequence[str]) -> bytes:
    return compute_statistics(split.batches(columns)).SerializeToString()


def _cost(kind: pa.DataType) -> int:
    if pa.types.is_binary(kind):
        return _COST_OF_IMAGE
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return _COST_OF_NUMBER if is_number else 1
