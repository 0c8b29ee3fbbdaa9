"""Hypothesis strategies for requests: fitted transforms, and values as clients get them right and wrong."""

import json
import math

from hypothesis import strategies as st
from strategies import GREATEST, codes, dictionaries, instances, values

from mulgil.contract import ColumnType, MissingPolicy
from mulgil.preprocessing import MISSING_CODE, FittedColumn, FittedTransform, TransformExecutor
from mulgil.serving.contract_check import ContractCheck

DATATYPES = ("FP64", "FP32", "INT64", "INT32", "BOOL", "BYTES")
OWN_DATATYPE = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.CATEGORY: "BYTES",
}
SCALES = st.floats(-1e3, 1e3, width=32)


@st.composite
def transforms(draw, dictionary):
    """A transform as it could have been fitted by the dictionary."""
    columns = []
    for column in dictionary.features:
        required = column.missing.is_value_required
        if column.type is ColumnType.CATEGORY:
            seen = draw(st.lists(st.sampled_from(tuple(column.categories)), unique=True))
            if column.missing is MissingPolicy.NEW_CATEGORY:
                seen.append(MISSING_CODE)
            fill = None if required else draw(st.sampled_from(seen or [None]))
            columns.append(
                FittedColumn(
                    name=column.name,
                    is_categorical=True,
                    fill=fill,
                    codes=tuple(seen),
                    derived=column.derived,
                )
            )
        else:
            offset, scale, fill = draw(st.tuples(SCALES, SCALES, SCALES))
            fill = None if required else fill
            low, high = draw(st.tuples(SCALES, SCALES).map(sorted))
            fences = draw(st.sampled_from([(None, None), (low, high)]))
            columns.append(
                FittedColumn(
                    name=column.name,
                    is_categorical=False,
                    fill=fill,
                    low=fences[0],
                    high=fences[1],
                    offset=offset,
                    scale=scale,
                    derived=column.derived,
                )
            )
    return FittedTransform(columns=tuple(columns), moments=dictionary.moments)


def any_value(column):
    """What a client may send: right, nearly right, wrong."""
    bounds = [bound for bound in column.range or () if bound is not None]
    near = [
        f(bound)
        for bound in bounds
        for f in (math.floor, math.ceil, float, lambda x: math.nextafter(x, 1e300))
    ]
    numbers = [0, 1, 1.0, -0.0, 0.5, 7.5, 2, 2**53 - 1, 2.0**53, 10**25, 3.4e38, 3.5e38, 1e300, *near]
    return st.one_of(
        values(column),
        values(column).map(lambda value: float(value) if isinstance(value, int) else value),
        st.sampled_from(numbers),
        st.floats(-GREATEST, GREATEST),
        st.none() | st.booleans() | codes() | codes().map(_as_number),
        st.sampled_from([[], {}, [1], "", " 3"]),
    )


def _as_number(code):
    try:
        number = json.loads(code)
    except ValueError:
        return code
    return number if isinstance(number, int | float) and math.isfinite(number) else code


def reference(dictionary, transform, columns, rows):
    """Check and encode in the plain way; raise where the contract is broken."""
    return TransformExecutor(transform).apply(ContractCheck(dictionary).check(columns, rows))


@st.composite
def requests(draw):
    """A dictionary, a transform of it, and rows of which one value may be odd."""
    dictionary = draw(dictionaries(max_features=3))
    rows = draw(st.lists(instances(dictionary), max_size=3))
    # One value at a time: where several are odd, one that is refused hides the others.
    if rows:
        row, column = draw(st.sampled_from(rows)), draw(st.sampled_from(dictionary.features))
        match draw(st.sampled_from(["change"] * 8 + ["leave out", "add", "keep"])):
            case "change":
                row[column.name] = draw(any_value(column))
            case "leave out":
                del row[column.name]
            case "add":
                row["another"] = 1
    return dictionary, draw(transforms(dictionary)), rows


def tensors(dictionary, rows, datatype_of):
    """Rows as V2 has them: one tensor a column."""
    return [
        {
            "name": column.name,
            "shape": [len(rows)],
            "datatype": datatype_of(column),
            "data": [row.get(column.name) for row in rows],
        }
        for column in dictionary.features
    ]
