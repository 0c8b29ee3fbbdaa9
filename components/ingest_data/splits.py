"""Dividing rows into those that train, those that choices are made on and those that judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.model_selection import train_test_split

from components.ingest_data.identity import hash_cells
from components.ingest_data.label_splits import draw_by_labels, has_rare_sets, require_labels
from components.ingest_data.strata import Strata, find_strata
from mulgil.artifacts import SPLITS
from mulgil.contract import Column
from mulgil.contract.sources import Split
from mulgil.errors import InputError, describe

Places = npt.NDArray[np.int64]
# Each row's class as a number.
Classes = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class SplitKeys:
    """What rows are divided by.

    Attributes:
        targets: The target's values, an array a target.
        key: The entity for kind group, the event timestamp for kind time, the split's own name for kind
            predefined; `None` for the others.
    """

    targets: Sequence[pa.Array]
    key: pa.Array | None


def assign_rows(keys: SplitKeys, targets: Sequence[Column], split: Split) -> dict[str, Places]:
    """Assign each row to one split.

    Args:
        keys: What they are divided by.
        targets: The targets.
        split: How.

    Returns:
        Places of the rows by split, each in the order of the source.

    Raises:
        InputError: There are too few rows, or too few different ones, for such a split.
    """
    strata = find_strata(targets, keys.targets, split)
    has_labels = len(targets) > 1 and not targets[0].type.is_numeric
    if keys.key is None:
        if has_labels and split.kind == "stratified" and has_rare_sets(keys.targets, split):
            places = draw_by_labels(keys.targets, split)
        else:
            places = split_rows(strata.of_rows, split, are_classes=strata.are_classes)
        if has_labels:
            require_labels(targets, keys.targets, places)
        return places
    _require_variety(_count(strata.of_rows)[2], are_classes=strata.are_classes)
    places = _ASSIGN[split.kind](keys.key, split)
    empty = [name for name, part in places.items() if not len(part)]
    if empty:
        different = len(pc.unique(keys.key))
        raise InputError(
            describe(
                f"No row is left for the split{'s' * (len(empty) > 1)} {' and '.join(empty)}",
                expected=f"rows in each of {', '.join(SPLITS)}",
                received=f"kind={split.kind}, {different} different values to divide {len(keys.key)} rows by",
                next_step=_REMEDIES[split.kind],
            )
        )
    _require_classes(strata, places, split)
    if has_labels:
        require_labels(targets, keys.targets, places)
    return places


def _assign_by_group(entities: pa.Array, split: Split) -> dict[str, Places]:
    """Draw each entity's split from its hash: it stays there, whatever rows come."""
    hashes = hash_cells(entities, f"mulgil split {split.seed % 1000:03}")
    share = hashes.astype(np.float64) / 2.0**64
    return _cut(share, split.test_ratio, split.validation_ratio)


def _assign_by_time(moments: pa.Array, split: Split) -> dict[str, Places]:
    """Give the latest rows to the test and those before them to the validation; no moment to two splits."""
    times = pc.cast(moments, pa.int64()).to_numpy()
    in_order = np.sort(times)
    rows = len(times)
    first_test = in_order[min(rows - 1, round(rows * (1 - split.test_ratio)))]
    first_validation = in_order[min(rows - 1, round(rows * (1 - split.test_ratio - split.validation_ratio)))]
    is_test = times >= first_test
    is_validation = ~is_test & (times >= first_validation)
    return _places(is_test, is_validation)


def _assign_as_said(names: pa.Array, split: Split) -> dict[str, Places]:
    said = np.array(names.to_pylist(), dtype=object)
    return _places(said == "test", said == "validation")


def _cut(share: npt.NDArray[np.float64], test_ratio: float, validation_ratio: float) -> dict[str, Places]:
    is_test = share < test_ratio
    return _places(is_test, ~is_test & (share < test_ratio + validation_ratio))


def _places(is_test: npt.NDArray[np.bool_], is_validation: npt.NDArray[np.bool_]) -> dict[str, Places]:
    masks = {"train": ~is_test & ~is_validation, "validation": is_validation, "test": is_test}
    return {name: np.flatnonzero(masks[name]) for name in SPLITS}


_ASSIGN = {"group": _assign_by_group, "time": _assign_by_time, "predefined": _assign_as_said}
_REMEDIES = {
    "group": "give rows of more entities, or another `split.seed`",
    "time": "give rows of more times, or another `split.kind`",
    "predefined": "correct the column that `split.column` names",
}


def split_rows(targets: pa.Array, split: Split, *, are_classes: bool = True) -> dict[str, Places]:
    """Draw each row's split; the same rows and seed give the same answer.

    Args:
        targets: The target of each row, or whatever stands for what is alike in it.
        split: Shares, seed and kind.
        are_classes: Whether there must be two targets, and each of them in each split.

    Returns:
        Places of the rows by split, each in the order of the source.

    Raises:
        InputError: There is no row, or one class only, or a split would lack a class.
    """
    classes, _, counts = _count(targets)
    _require_variety(counts, are_classes=are_classes)
    try:
        places = _draw(classes, split)
    except ValueError as exc:
        raise _too_few(counts, split) from exc
    _require_classes(Strata(targets, are_classes), places, split)
    return places


def _count(targets: pa.Array) -> tuple[Classes, int, Counter[object]]:
    """Return each row's class as a number, how many classes there are, and the rows of each."""
    encoded = targets.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    # The order of the classes has a part in what the seed draws; that of the rows has none.
    # In as few bytes as will do: scikit-learn's shuffle, where ingestion takes the most memory, copies them.
    ranks = np.argsort(np.argsort([str(value) for value in found])).astype(np.min_scalar_type(len(found)))
    classes = ranks[encoded.indices.to_numpy()] if found else np.empty(0, dtype=np.uint8)
    rows_of = np.bincount(classes, minlength=len(found))
    counts = Counter({value: int(rows_of[rank]) for value, rank in zip(found, ranks, strict=True)})
    return classes, len(found), counts


def _require_variety(counts: Counter[object], *, are_classes: bool) -> None:
    if not counts:
        raise InputError(describe("No row is left to learn from", expected="rows of at least two classes"))
    if are_classes and len(counts) < 2:
        raise InputError(
            describe(
                "There is nothing to learn: the target has the same value in every row",
                expected="rows of at least two classes",
                received=_describe(counts),
            )
        )


def _require_classes(strata: Strata, places: dict[str, Places], split: Split) -> None:
    if not strata.are_classes:
        return
    classes, number, counts = _count(strata.of_rows)
    if any(np.bincount(classes[part], minlength=number).min() == 0 for part in places.values()):
        raise _too_few(counts, split)


def _draw(classes: Classes, split: Split) -> dict[str, Places]:
    rest = np.arange(len(classes), dtype=np.min_scalar_type(len(classes)))
    places = {}
    for name, ratio in (("test", split.test_ratio), ("validation", split.validation_ratio)):
        rest, part = train_test_split(
            rest,
            test_size=round(ratio * len(classes)),
            random_state=split.seed,
            stratify=classes[rest] if split.kind == "stratified" else None,
        )
        places[name] = part
    places["train"] = rest
    return {name: np.sort(places[name]).astype(np.int64) for name in SPLITS}


def _too_few(counts: Counter[object], split: Split) -> InputError:
    return InputError(
        describe(
            "There are too few rows to split",
            expected=f"every class of the target in each of {', '.join(SPLITS)}",
            received=f"{_describe(counts)}; kind={split.kind} test_ratio={split.test_ratio} "
            f"validation_ratio={split.validation_ratio}",
            next_step="give more rows, or greater ratios; kind: stratified keeps rare classes in every split",
        )
    )


def _describe(counts: Counter[object]) -> str:
    return ", ".join(f"{value}: {count} rows" for value, count in counts.most_common())
