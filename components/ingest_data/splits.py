"""Dividing rows into those that train, those that choices are made on and those that judge."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.model_selection import train_test_split

from mulgil.artifacts import SPLITS
from mulgil.contract.project import Split
from mulgil.errors import InputError, describe

Places = npt.NDArray[np.int64]


def split_rows(targets: pa.Array, split: Split, *, are_classes: bool = True) -> dict[str, Places]:
    """Assign each row to one split; the same rows and seed give the same answer.

    Args:
        targets: The target of each row, or whatever stands for what is alike in it.
        split: Shares, seed and kind.
        are_classes: Whether there must be two targets, and each of them in each split.

    Returns:
        Places of the rows by split, each in the order of the source.

    Raises:
        InputError: There is no row, or one class only, or a split would lack a class.
    """
    encoded = targets.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    # The order of the classes has a part in what the seed draws; it does not depend on the order of the rows.
    ranks = np.argsort(np.argsort([str(value) for value in found]))
    classes = ranks[encoded.indices.to_numpy()] if found else np.empty(0, dtype=np.int64)
    rows_of = np.bincount(classes, minlength=len(found))
    counts = Counter({value: int(rows_of[rank]) for value, rank in zip(found, ranks, strict=True)})
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
    try:
        places = _draw(classes, split)
    except ValueError as exc:
        raise _too_few(counts, split) from exc
    rows_in = [np.bincount(classes[part], minlength=len(found)) for part in places.values()]
    if are_classes and any(rows.min() == 0 for rows in rows_in):
        raise _too_few(counts, split)
    return places


def _draw(classes: Places, split: Split) -> dict[str, Places]:
    rest = np.arange(len(classes))
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
    return {name: np.sort(places[name]) for name in SPLITS}


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
