"""Whether the Parquet files have the dictionary's columns, each of its type.

TFDV would say some of this: not for a column that may be missing, and not for a boolean, a time or a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa

from mulgil.contract import Column, ColumnType

_IS_OF_TYPE: dict[ColumnType, tuple[Callable[[pa.DataType], bool], ...]] = {
    ColumnType.FLOAT: (pa.types.is_floating,),
    ColumnType.INTEGER: (pa.types.is_integer,),
    ColumnType.BOOLEAN: (pa.types.is_boolean,),
    ColumnType.CATEGORY: (pa.types.is_string, pa.types.is_large_string),
    ColumnType.TEXT: (pa.types.is_string, pa.types.is_large_string),
    ColumnType.TIMESTAMP: (pa.types.is_timestamp,),
    ColumnType.IMAGE: (pa.types.is_binary, pa.types.is_large_binary),
}


def find_structure_problems(
    columns: Mapping[str, Column], schemas: Mapping[str, pa.Schema]
) -> dict[str, str]:
    """Compare the columns that must be there with those that are.

    Args:
        columns: The dictionary's kept columns by name.
        schemas: The Parquet files' schemas by split.

    Returns:
        What is wrong by column, for those that are missing, new or of another type.
    """
    problems: dict[str, str] = {}
    for name, column in columns.items():
        found = {split: schema.field(name).type for split, schema in schemas.items() if name in schema.names}
        missing = [split for split in schemas if split not in found]
        wrong = {split: kind for split, kind in found.items() if not _is_of(kind, column.type)}
        if missing:
            problems[name] = f"expected the column in every split; it is missing in {', '.join(missing)}"
        elif wrong:
            received = ", ".join(dict.fromkeys(map(str, wrong.values())))
            problems[name] = f"expected {column.type}; received {received} in {', '.join(wrong)}"
    for split, schema in schemas.items():
        for name in set(schema.names) - columns.keys():
            problems.setdefault(name, f"expected the dictionary's columns alone; this one is new in {split}")
    return problems


def _is_of(kind: pa.DataType, expected: ColumnType) -> bool:
    return any(is_this(kind) for is_this in _IS_OF_TYPE[expected])
