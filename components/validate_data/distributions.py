"""How the values of each column are spread: what a reader can be shown without TFDV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.validate_data.dataset import Rows, as_numbers
from components.validate_data.structure import find_structure_problems
from mulgil.artifacts import ColumnDistribution, DistributionSummary
from mulgil.contract import Column, ColumnRole, ColumnType, DataDictionary
from mulgil.divergence import find_edges

# As many bars as a small picture shows well; chosen by eye.
_BINS = 20

# Of greater numbers, the distance between two may not be a float64; infinite and NaN are not below it either.
_GREATEST = 1e300

_ANSWERS = {"no": False, "yes": True}
# Where the answer may not be shown, or is no yes or no, nothing is told apart by it.
_UNTOLD = "all"

Floats = npt.NDArray[np.float64]


def summarise_distributions(dictionary: DataDictionary, splits: Mapping[str, Rows]) -> DistributionSummary:
    """Count each column's values by bin, split and answer.

    Args:
        dictionary: What the columns are; a sensitive one is left out.
        splits: The rows by split.
    """
    kept = {column.name: column for column in dictionary.kept}
    ingested = {column.name: column for column in dictionary.ingested}
    problems = find_structure_problems(ingested, {split: table.schema for split, table in splits.items()})
    if any(target.name in problems for target in dictionary.targets):
        return DistributionSummary(columns={})
    groups = {split: _group_by_answer(table, dictionary.targets) for split, table in splits.items()}
    return DistributionSummary(
        columns={
            name: _summarise(column, {split: table[name] for split, table in splits.items()}, groups)
            for name, column in kept.items()
            if column.role in (ColumnRole.FEATURE, ColumnRole.TARGET)
            and not column.sensitive
            # Its size is in TFDV's statistics.
            and column.type is not ColumnType.IMAGE
            and name not in problems
        }
    )


def _group_by_answer(table: Rows, targets: Sequence[Column]) -> dict[str, pa.ChunkedArray]:
    """Return which rows belong to each answer, as a mask by the answer's name."""
    answers = table[targets[0].name]
    if len(targets) > 1 or targets[0].type is not ColumnType.BOOLEAN or targets[0].sensitive:
        return {_UNTOLD: pc.or_(pc.is_null(answers), pc.is_valid(answers))}
    return {name: pc.equal(answers, answer) for name, answer in _ANSWERS.items()}


def _summarise(
    column: Column,
    values: Mapping[str, pa.ChunkedArray],
    groups: Mapping[str, Mapping[str, pa.ChunkedArray]],
) -> ColumnDistribution:
    missing = {split: among.null_count for split, among in values.items()}
    by_answer = {
        split: {name: pc.drop_null(pc.filter(among, mask)) for name, mask in groups[split].items()}
        for split, among in values.items()
    }
    if not column.type.is_numeric:
        codes = _codes(column, values)
        rows = {
            split: {name: _count_codes(found, codes) for name, found in parts.items()}
            for split, parts in by_answer.items()
        }
        return ColumnDistribution(categories=codes, rows=rows, missing=missing)
    every = np.concatenate([_finite(among) for among in values.values()])
    edges = _edges(every, is_whole=column.type is ColumnType.INTEGER)
    rows = {
        split: {name: _count(_finite(found), edges) for name, found in parts.items()}
        for split, parts in by_answer.items()
    }
    training = _finite(values["train"])
    quartiles = np.quantile(training, [0, 0.25, 0.5, 0.75, 1]) if training.size else np.empty(0)
    cell_edges, cells = _count_cells(values)
    return ColumnDistribution(
        edges=tuple(map(float, edges)),
        rows=rows,
        missing=missing,
        quartiles=tuple(map(float, quartiles)),
        cell_edges=cell_edges,
        cells=cells,
    )


def _count_cells(
    values: Mapping[str, pa.ChunkedArray],
) -> tuple[tuple[float, ...], dict[str, tuple[int, ...]]]:
    """Count the rows in the cells that the distances between splits are measured in."""
    numbers = {split: found[~np.isnan(found)] for split, found in as_numbers(values).items()}
    if not numbers["train"].size:
        return (), {}
    edges = find_edges(numbers["train"])
    # Of such numbers no distance is shown either: validation refuses them.
    if not np.isfinite(edges).all():
        return (), {}
    counts = {
        split: np.bincount(np.searchsorted(edges, found), minlength=len(edges) + 1)
        for split, found in numbers.items()
    }
    return tuple(map(float, edges)), {split: tuple(found.tolist()) for split, found in counts.items()}


def _codes(column: Column, values: Mapping[str, pa.ChunkedArray]) -> tuple[str, ...]:
    """Return the declared codes, then those that came without being declared."""
    if column.type is ColumnType.BOOLEAN:
        return tuple(_ANSWERS)
    declared = list(column.categories or {})
    found = {code for among in values.values() for code in pc.unique(among).to_pylist() if code is not None}
    return (*declared, *sorted(found - set(declared)))


def _count_codes(values: pa.ChunkedArray, codes: tuple[str, ...]) -> tuple[int, ...]:
    counts = {str(entry["values"]): int(entry["counts"]) for entry in pc.value_counts(values).to_pylist()}
    as_read = {name: str(answer) for name, answer in _ANSWERS.items()}
    is_boolean = pa.types.is_boolean(values.type)
    return tuple(counts.get(as_read[code] if is_boolean else code, 0) for code in codes)


def _finite(values: pa.ChunkedArray) -> Floats:
    # Beyond 2**53 a float64 skips integers, which no picture shows.
    numbers = pc.cast(pc.drop_null(values), pa.float64(), safe=False).to_numpy()
    return numbers[np.abs(numbers) < _GREATEST]


def _edges(values: Floats, *, is_whole: bool) -> Floats:
    """Return the edges of equally wide bins over the values; of whole numbers, as many in each bin."""
    if not values.size:
        return np.empty(0)
    low, high = float(values.min()), float(values.max())
    if not is_whole:
        return np.linspace(low, high if high > low else low + 1, _BINS + 1)
    width = max(1, int(np.ceil((high - low + 1) / _BINS)))
    bins = int(np.ceil((high - low + 1) / width))
    return low - 0.5 + width * np.arange(bins + 1, dtype=np.float64)


def _count(values: Floats, edges: Floats) -> tuple[int, ...]:
    if not edges.size:
        return ()
    counts, _ = np.histogram(values, bins=edges)
    return tuple(int(count) for count in counts)
