"""Requests that name entities instead of carrying their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import msgspec
import numpy as np

from mulgil.contract.dictionary import Column, ColumnType
from mulgil.contract.values import GREATEST_WHOLE, ValueMismatchError, read_json
from mulgil.serving.contract_check import MOST_VIOLATIONS, ContractViolationError, Violation
from mulgil.serving.messages import RequestError, try_body
from mulgil.serving.online_store import Features


class TypedKeyReader:
    """Reads and checks V1's requests by entity in one go.

    Args:
        entity: The dictionary's entity column.
    """

    def __init__(self, entity: Column) -> None:
        key: Any = str
        if entity.type is ColumnType.INTEGER:
            key = Annotated[int, msgspec.Meta(ge=-GREATEST_WHOLE, le=GREATEST_WHOLE)]
        # The entity's name may be what a Struct has of its own.
        instance: Any = msgspec.defstruct(
            "EntityInstance",
            [("key", key)],
            rename={"key": entity.name},
            forbid_unknown_fields=True,
            gc=False,
        )
        instances = Annotated[list[instance], msgspec.Meta(min_length=1)]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("EntityRequest", [("instances", instances)]))
        self._mark = b'"%b"' % entity.name.encode()

    def read(self, body: bytes) -> list[int | str] | None:
        """Return the keys; `None` where the request is another one, or the slower way is to judge."""
        # Features are commoner, and looking costs less than trying.
        if self._mark not in body:
            return None
        request: Any = try_body(self._decoder, body)
        return None if request is None else [instance.key for instance in request.instances]


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
    found: Sequence[Features | None],
    keys: Sequence[int | str],
    names: Sequence[str],
    entity: Column,
    *,
    fills_unknown: bool,
) -> dict[str, list[object]]:
    """Turn what the store has into columns.

    Args:
        found: Features by entity.
        keys: The entities.
        names: The model's columns.
        entity: The dictionary's entity column.
        fills_unknown: Whether an entity that is not known has every feature missing.

    Raises:
        RequestError: 404; it does not know an entity.
    """
    for instance, features in enumerate(found):
        if features is None and not fills_unknown:
            shown = "(hidden)" if entity.sensitive else repr(keys[instance])[:80]
            raise RequestError(404, f"instance {instance}: the online store has no {entity.name} {shown}.")
    return {name: [(features or {}).get(name) for features in found] for name in names}
