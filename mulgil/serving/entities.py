"""Requests that name entities instead of carrying their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from mulgil.contract.dictionary import Column
from mulgil.contract.values import ValueMismatchError, read_json
from mulgil.serving.contract_check import MOST_VIOLATIONS, ContractViolationError, Violation
from mulgil.serving.messages import RequestError
from mulgil.serving.online_store import Features


def find_keys(columns: Mapping[str, Any], entity: Column) -> Sequence[object] | None:
    """Return the raw keys of a request that has nothing else."""
    if list(columns) != [entity.name]:
        return None
    keys = columns[entity.name]
    return keys.tolist() if isinstance(keys, np.ndarray) else cast("Sequence[object]", keys)


def find_keys_of_instances(instances: Sequence[object], entity: Column) -> Sequence[object] | None:
    """Return the raw keys of instances that have nothing else."""
    alone = {entity.name}
    if not instances or any(not isinstance(one, dict) or one.keys() != alone for one in instances):
        return None
    return [cast("dict[str, Any]", one)[entity.name] for one in instances]


def read_keys(raw: Sequence[object], entity: Column) -> list[int | str]:
    """Read keys by the dictionary.

    Raises:
        ContractViolationError: A key is missing, or not of the entity's type.
    """
    keys: list[int | str] = []
    violations = []
    for instance, received in enumerate(raw):
        try:
            key = read_json(entity, received)
            if key is None:
                raise ValueMismatchError(entity, f"a key ({entity.type})", None)
        except ValueMismatchError as exc:
            violations.append(Violation(instance, exc.column, exc.expected, exc.received))
            if len(violations) == MOST_VIOLATIONS:
                break
        else:
            keys.append(cast("int | str", key))
    if violations:
        raise ContractViolationError(violations)
    return keys


def join_columns(
    found: Sequence[Features | None], keys: Sequence[int | str], names: Sequence[str], entity: Column
) -> dict[str, list[object]]:
    """Turn what the store has into columns.

    Raises:
        RequestError: 404; it does not know an entity.
    """
    for instance, features in enumerate(found):
        if features is None:
            shown = "(hidden)" if entity.sensitive else repr(keys[instance])[:80]
            raise RequestError(404, f"instance {instance}: the online store has no {entity.name} {shown}.")
    known = [features for features in found if features is not None]
    return {name: [features.get(name) for features in known] for name in names}
