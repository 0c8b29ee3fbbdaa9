"""The iterations of a loop: what each is given, and what they give together.

Source: `getItems` and `CollectInputs` in backend/src/v2/driver/, kfp 2.17.0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mulgil.errors import InputError, describe
from mulgil.local.graph_spec import ParameterIterator
from mulgil.local.pipeline_spec import InputDefinitions
from mulgil.local.results import TaskResult, Values
from mulgil.local.run_store import State


def list_items(iterator: ParameterIterator, given: Values) -> list[Any]:
    """Return what a loop goes over.

    Raises:
        InputError: It is neither a list nor the text of one.
    """
    name = iterator.items.input_parameter
    value = given.parameters.get(name) if name else iterator.items.raw
    try:
        items = json.loads(value) if isinstance(value, str) else value
    except ValueError as exc:
        raise _not_a_list(value) from exc
    if not isinstance(items, list):
        raise _not_a_list(value)
    return items


def give_item(iterator: ParameterIterator, given: Values, item: Any) -> Values:
    """Return what one iteration is given: its item in place of the list."""
    kept = {name: value for name, value in given.parameters.items() if name != iterator.items.input_parameter}
    return Values({**kept, iterator.item_input: item}, given.artifacts)


def without_item(iterator: ParameterIterator | None, definitions: InputDefinitions) -> InputDefinitions:
    """Return what a loop takes: all that its iterations take, except the item."""
    return _without(iterator.item_input if iterator else "", definitions)


def without_items(iterator: ParameterIterator | None, definitions: InputDefinitions) -> InputDefinitions:
    """Return what an iteration takes: all that the loop takes, except the list."""
    return _without(iterator.items.input_parameter if iterator else "", definitions)


def collect_results(iterations: Sequence[TaskResult]) -> TaskResult:
    """Put the iterations' results together.

    Returns:
        Failed where one has failed. Each output is the list of the iterations' outputs, in the order of the
        items. One that an iteration did not give is absent, and so are all of a loop without items: KFP
        collects neither.
    """
    failed = tuple(path for result in iterations for path in result.failed)
    if any(result.state is not State.SUCCEEDED for result in iterations):
        return TaskResult(State.FAILED, failed=failed)
    outputs = [result.outputs.parameters for result in iterations]
    common = set(outputs[0]).intersection(*outputs[1:]) if outputs else set()
    return TaskResult(
        State.SUCCEEDED, outputs=Values({name: [one[name] for one in outputs] for name in sorted(common)})
    )


def _without(name: str, definitions: InputDefinitions) -> InputDefinitions:
    kept = {key: definition for key, definition in definitions.parameters.items() if key != name}
    return InputDefinitions(parameters=kept, artifacts=definitions.artifacts)


def _not_a_list(value: Any) -> InputError:
    return InputError(
        describe("A loop goes over something else than a list", expected="a list", received=f"{value!r:.80}")
    )
