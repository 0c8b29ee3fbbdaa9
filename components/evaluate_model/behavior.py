"""What becomes of the predictions where one column changes: invariance and directional tests.

Each test row is asked again with another value in one column. What must hold is declared by people who know
the matter, so a row in which it does not hold is a finding by itself, whatever the metrics say.

Source:
    Ribeiro, Wu, Guestrin & Singh (2020), Beyond accuracy: behavioral testing of NLP models with CheckList,
    ACL (invariance and directional expectation tests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from components.evaluate_model.metrics import Floats
from mulgil.artifacts import BehaviorExample, BehaviorFinding, Check
from mulgil.contract import Column, ColumnType, DataDictionary
from mulgil.contract.answers import AnswerForm
from mulgil.contract.behavior import BehaviorTest, Expected, values_of
from mulgil.preprocessing.derived import is_missing
from mulgil.preprocessing.rows import Tensors, TrainingRows

# More rows make a share no clearer than anybody looks, and each is asked once a change. Chosen by eye.
_MOST_ROWS = 20_000
# As many as a reader looks through. Chosen by eye.
_EXAMPLES = 3
# What float32 alone may make of a prediction: as far as training and serving may be apart.
_ROUNDING = 1e-5

Values = npt.NDArray[np.generic]


def probe_behavior(
    test: BehaviorTest,
    dictionary: DataDictionary,
    form: AnswerForm,
    rows: TrainingRows,
    predicted: Floats,
    ask: Callable[[Tensors], Floats],
) -> BehaviorFinding:
    """Change a column in the test rows, and see what becomes of the predictions.

    Args:
        test: What is changed, and what must become of it.
        dictionary: What its column is.
        form: What the model predicts.
        rows: The test rows; of very many, evenly spread ones are asked.
        predicted: What the model gave for them.
        ask: The model, on raw columns.
    """
    places = np.arange(len(rows))
    if len(rows) > _MOST_ROWS:
        places = np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.intp)
        rows, predicted = rows.take(places), predicted[places]
    column = next(column for column in dictionary.inputs if column.name == test.column)
    before = predicted.reshape(len(rows), -1)
    own = rows.tensors[test.column]
    beyond = np.full(len(rows), -np.inf)
    worst: list[tuple[object, float, float]] = [(None, 0.0, 0.0)] * len(rows)
    for changed in _change(test, column, own):
        is_changed = ~is_missing(own) & (changed != own)
        if not is_changed.any():
            continue
        asked = np.flatnonzero(is_changed)
        tensors = {name: values[asked] for name, values in rows.tensors.items()}
        after = ask({**tensors, test.column: changed[asked]}).reshape(len(asked), -1)
        of = list(range(before.shape[1])) if test.of is None else [form.names.index(test.of)]
        said, says = before[asked][:, of], after[:, of]
        excess = _exceed(test, said, says)
        greatest = excess.argmax(axis=1)
        for place, row in enumerate(asked.tolist()):
            one = greatest[place]
            if excess[place, one] > beyond[row]:
                beyond[row] = excess[place, one]
                worst[row] = (changed[row], float(said[place, one]), float(says[place, one]))
    broken = np.flatnonzero(beyond > 0)
    order = broken[np.argsort(-beyond[broken], kind="stable")][:_EXAMPLES]
    return BehaviorFinding(
        title=test.title,
        column=test.column,
        rows=int((beyond > -np.inf).sum()),
        broken=len(broken),
        least_share=test.share,
        greatest=float(beyond[broken].max()) if len(broken) else 0.0,
        examples=tuple(
            BehaviorExample(
                row=int(places[row]),
                value=_show(column, own[row]),
                changed=_show(column, worst[row][0]),
                said=worst[row][1],
                says=worst[row][2],
            )
            for row in order.tolist()
        ),
    )


def check_behavior(place: int, finding: BehaviorFinding) -> Check:
    """Ask whether as many rows did as is asked; of none that could be changed, nothing is known."""
    if finding.rows:
        reason = (
            f"{finding.title} in {finding.rows - finding.broken} of {finding.rows} test rows; "
            f"asked for: {finding.least_share:.4g} of them"
        )
        if finding.broken:
            reason += f"; the worst goes {finding.greatest:.3g} beyond"
    else:
        reason = f"{finding.title}: in no test row could {finding.column} be changed"
    return Check(
        name=f"behavior:{place + 1}:{finding.column}",
        is_passed=bool(finding.rows) and finding.share >= finding.least_share,
        value=finding.share,
        limit=finding.least_share,
        reason=reason,
    )


def _change(test: BehaviorTest, column: Column, own: Values) -> Iterator[Values]:
    """Give the column's values as they are after each change, in the form of `TrainingRows.tensors`."""
    if test.by is not None:
        low, high = (bound if bound is not None else sign * np.inf for bound, sign in _ends(column))
        for step in (test.by, -test.by) if test.prediction is Expected.STAYS else (test.by,):
            yield np.clip(own + np.float32(step), low, high).astype(np.float32)
        return
    for value in (test.to,) if test.to is not None else values_of(column):
        if column.type is ColumnType.BOOLEAN:
            yield np.full(len(own), np.float32(value == "true"))
        else:
            yield np.full(len(own), value, dtype=object)


def _ends(column: Column) -> Iterator[tuple[float | None, int]]:
    # A request beyond them would be refused.
    return zip(column.range or (None, None), (-1, 1), strict=True)


def _exceed(test: BehaviorTest, said: Floats, says: Floats) -> Floats:
    """Return by how much each prediction does otherwise than it must; 0 or less where it does so."""
    moved = says - said
    otherwise = {Expected.STAYS: np.abs(moved), Expected.RISES: -moved, Expected.FALLS: moved}
    allowed = test.tolerance + _ROUNDING * np.maximum(1.0, np.abs(said))
    # What the model has no answer for is as far off as can be.
    return np.nan_to_num(otherwise[test.prediction] - allowed, nan=np.finfo(np.float64).max)


def _show(column: Column, value: object) -> float | str | None:
    if column.sensitive:
        return None
    if column.type is ColumnType.BOOLEAN:
        return "yes" if value else "no"
    return float(value) if isinstance(value, np.floating | float) else str(value)
