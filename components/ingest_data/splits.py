"""Dividing rows into those that train, those that choices are made on and those that judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from mulgil.artifacts import SPLITS
from mulgil.contract.project import Split
from mulgil.contract.values import Value
from mulgil.errors import InputError, describe


def split_rows(targets: Sequence[Value], split: Split, *, are_classes: bool = True) -> dict[str, list[int]]:
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
    counts = Counter(targets)
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
        places = _draw(targets, split)
    except ValueError as exc:
        raise _too_few(counts, split) from exc
    if are_classes and any({targets[i] for i in part} != set(counts) for part in places.values()):
        raise _too_few(counts, split)
    return places


def _draw(targets: Sequence[Value], split: Split) -> dict[str, list[int]]:
    classes = np.array([str(target) for target in targets])
    rest = np.arange(len(targets))
    places = {}
    for name, ratio in (("test", split.test_ratio), ("validation", split.validation_ratio)):
        rest, part = train_test_split(
            rest,
            test_size=round(ratio * len(targets)),
            random_state=split.seed,
            stratify=classes[rest] if split.kind == "stratified" else None,
        )
        places[name] = part
    places["train"] = rest
    return {name: sorted(places[name].tolist()) for name in SPLITS}


def _too_few(counts: Counter[Value], split: Split) -> InputError:
    return InputError(
        describe(
            "There are too few rows to split",
            expected=f"every class of the target in each of {', '.join(SPLITS)}",
            received=f"{_describe(counts)}; kind={split.kind} test_ratio={split.test_ratio} "
            f"validation_ratio={split.validation_ratio}",
            next_step="give more rows, or greater ratios; kind: stratified keeps rare classes in every split",
        )
    )


def _describe(counts: Counter[Value]) -> str:
    return ", ".join(f"{value}: {count} rows" for value, count in counts.most_common())
