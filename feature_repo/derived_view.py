"""What Feast computes on demand: the derived columns, by the numpy of training and batches of requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mulgil.contract import ColumnType
from mulgil.contract.expressions import parse_expression
from mulgil.contract.moments import seconds_of
from mulgil.preprocessing import MISSING_CODE
from mulgil.preprocessing.derived import derive_values

# Types that have missing values, and by which Feast knows them when a row has nothing else.
_PANDAS_TYPES = {ColumnType.FLOAT: "float64", ColumnType.BOOLEAN: "boolean", ColumnType.CATEGORY: "string"}


def derive_frame(
    inputs: pd.DataFrame,
    expressions: Mapping[str, tuple[str, str]],
    codes: Collection[str],
    moments: Collection[str],
) -> pd.DataFrame:
    """Compute derived columns of rows as Feast has them.

    Args:
        inputs: The stored features by name, and what the request brought.
        expressions: Of each derived column its expression and its type, by name.
        codes: Which inputs are categories.
        moments: Which are dates and times.
    """
    made = {}
    for name, (text, kind) in expressions.items():
        expression = parse_expression(text)
        operands = {one: _operand(inputs[one], one in codes, one in moments) for one in expression.columns}
        values: Any = derive_values(expression, operands, len(inputs))
        column = pd.Series(values, index=inputs.index)
        column = column.replace(MISSING_CODE, None) if values.dtype == object else column.astype("float64")
        made[name] = column.astype(_PANDAS_TYPES[ColumnType(kind)])  # type: ignore[call-overload]
    return pd.DataFrame(made, index=inputs.index)


def write_source(
    expressions: Mapping[str, tuple[str, str]], codes: Collection[str], moments: Collection[str]
) -> str:
    """Write the function that Feast's registry keeps as text, and compiles where features are read."""
    arguments = f"{dict(expressions)!r}, {sorted(codes)!r}, {sorted(moments)!r}"
    return (
        "def derive(inputs):\n"
        "    from feature_repo.derived_view import derive_frame\n\n"
        f"    return derive_frame(inputs, {arguments})\n"
    )


def _operand(column: pd.Series[Any], is_code: bool, is_moment: bool) -> npt.NDArray[Any]:
    if is_code:
        return column.astype(object).where(column.notna(), MISSING_CODE).to_numpy()
    if is_moment:
        whole = [np.nan if pd.isna(one) else _seconds(one) for one in column]
        return np.array(whole, np.float64)
    return pd.to_numeric(column.astype(object).where(column.notna(), np.nan)).to_numpy(np.float32)


def _seconds(moment: Any) -> float:
    # A request brings a date and time as text or as one, or as seconds.
    if isinstance(moment, int | float):
        return float(moment)
    return seconds_of(pd.Timestamp(moment).to_pydatetime(warn=False))
