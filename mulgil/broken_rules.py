"""What breaks a rule between columns, found in one or two passes over batches of rows.

Numbers and times are compared as float64 has them, not as a model's graph does: nothing is predicted of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mulgil.contract.dictionary import DataDictionary
from mulgil.contract.expressions import Expression
from mulgil.contract.rules import Rule
from mulgil.preprocessing.derived import derive_values
from mulgil.preprocessing.fitted import MISSING_CODE

Mask = npt.NDArray[np.bool_]
# From the names of columns to batches that have them, each with the part of the table that it is of.
ReadBatches = Callable[[Collection[str]], Iterator[tuple[str, pa.RecordBatch]]]

_MICROSECONDS = 1e6
# Enough to see what is wrong by; more are counted. Chosen by eye.
_EXAMPLES = 3
_LONGEST_EXAMPLE = 80
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class RuleFinding:
    """How a rule stands.

    Attributes:
        rule: The rule.
        asked: Of how many rows it says something, or of how many values of `each`.
        broken: How many of them break it: rows by part of the table, or values, which are of no part.
        examples: Some of them; what is sensitive is hidden.
    """

    rule: Rule
    asked: int
    broken: Counter[str]
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in a sentence."""
        things = "rows" if self.rule.each is None else f"values of {self.rule.each}"
        why = f" ({self.rule.description})" if self.rule.description else ""
        if not self.broken:
            return f"{self.rule.text}: so it is of all {self.asked} {things} that have what it reads{why}"
        parts = ", ".join(f"{part} {count}" for part, count in self.broken.items() if part)
        told = f"broken by {self.broken.total()} of {self.asked} {things}" + (f" ({parts})" if parts else "")
        return f"{self.rule.text}{why}: {told}, such as {'; '.join(self.examples)}"


def check_rule(rule: Rule, dictionary: DataDictionary, read: ReadBatches) -> RuleFinding:
    """Hold rows against a rule.

    The memory does not grow with the rows, but for 17 bytes for each different value of `each`.

    Args:
        rule: The rule.
        dictionary: What the columns are.
        read: Reads them; more than once where there is something to show.
    """
    if rule.each is not None and rule.has_one is not None:
        return _check_values(rule, rule.each, rule.has_one, dictionary, read)
    asked, broken = 0, Counter[str]()
    examples: list[str] = []
    entity = dictionary.entity.name
    for part, batch in read({*rule.columns, entity}):
        columns = {name: batch.column(batch.schema.get_field_index(name)) for name in batch.schema.names}
        is_asked, is_broken = find_broken(rule, columns, batch.num_rows)
        asked += int(is_asked.sum())
        places = np.flatnonzero(is_broken).tolist()
        if places:
            broken[part] += len(places)
            examples += [
                tell_values(dictionary, {name: columns[name][place].as_py() for name in columns})
                for place in places[: _EXAMPLES - len(examples)]
            ]
    return RuleFinding(rule, asked, broken, tuple(examples))


def check_table(dictionary: DataDictionary, columns: Mapping[str, pa.ChunkedArray]) -> list[RuleFinding]:
    """Hold a whole table against the rules whose columns it has.

    Args:
        dictionary: What the columns are, and the rules.
        columns: By name, of the dictionary's types where a rule reads them.
    """
    rules = [rule for rule in dictionary.rules if rule.columns <= columns.keys()]
    names = {dictionary.entity.name, *(name for rule in rules for name in rule.columns)}
    table = pa.table({name: column for name, column in columns.items() if name in names})

    def read(asked: Collection[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for batch in table.select([n for n in table.column_names if n in asked]).to_batches(_BATCH_ROWS):
            yield "", batch

    return [check_rule(rule, dictionary, read) for rule in rules]


def find_broken(rule: Rule, columns: Mapping[str, pa.Array], rows: int) -> tuple[Mask, Mask]:
    """Say of each row whether a rule of single rows says something of it, and whether it breaks the rule.

    Args:
        rule: A rule with `holds`.
        columns: The columns that it reads, of the dictionary's types.
        rows: How many rows there are.

    Shapes:
        (rows,) each.
    """
    assert rule.expression is not None
    answers = _compute(rule.expression, columns, rows)
    is_asked: Mask = ~np.isnan(answers)
    if rule.condition is not None:
        # What cannot be said is no yes.
        is_asked &= _compute(rule.condition, columns, rows) == 1
    return is_asked, is_asked & (answers == 0)


def tell_values(dictionary: DataDictionary, row: Mapping[str, Any]) -> str:
    """Write values of a row for a person; what is sensitive is hidden."""
    return " ".join(
        f"{column.name}={_tell(row[column.name], is_hidden=column.sensitive)}"
        for column in dictionary.columns
        if column.name in row
    )


def _tell(value: Any, *, is_hidden: bool) -> str:
    if value is None:
        return "nothing"
    if is_hidden:
        return "(hidden)"
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text if len(text) <= _LONGEST_EXAMPLE else f"{text[: _LONGEST_EXAMPLE - 1]}…"


def _compute(expression: Expression, columns: Mapping[str, pa.Array], rows: int) -> npt.NDArray[Any]:
    operands = {name: _operand(columns[name]) for name in expression.columns}
    return derive_values(expression, operands, rows)


def _operand(values: pa.Array) -> npt.NDArray[Any]:
    if _is_text(values):
        return np.asarray(pc.fill_null(values, MISSING_CODE).to_numpy(zero_copy_only=False), dtype=object)
    if pa.types.is_timestamp(values.type):
        microseconds = pc.cast(pc.cast(values, pa.int64()), pa.float64())
        return np.asarray(microseconds.to_numpy(zero_copy_only=False) / _MICROSECONDS)
    return np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _is_text(values: pa.Array) -> bool:
    return bool(pa.types.is_string(values.type) or pa.types.is_large_string(values.type))


def _check_values(
    rule: Rule, each: str, has_one: str, dictionary: DataDictionary, read: ReadBatches
) -> RuleFinding:
    known = _KnownValues()
    for _, batch in read({each, has_one}):
        known.add(*_identify_pairs(batch, each, has_one)[:2])
    broken = Counter({"": known.several})
    if not known.several:
        return RuleFinding(rule, len(known), Counter(), ())
    shown = known.find_several(_EXAMPLES)
    values: dict[int, dict[str, None]] = {key: {} for key in shown.tolist()}
    names: dict[int, str] = {}
    for _, batch in read({each, has_one}):
        keys, _, pairs = _identify_pairs(batch, each, has_one)
        for place in np.flatnonzero(np.isin(keys, shown)).tolist():
            key = int(keys[place])
            row = {name: pairs.column(name)[place].as_py() for name in (each, has_one)}
            names.setdefault(key, tell_values(dictionary, {each: row[each]}))
            if len(values[key]) < _EXAMPLES:
                values[key].setdefault(tell_values(dictionary, {has_one: row[has_one]}))
    examples = [f"{names[key]} with {' and '.join(found)}" for key, found in values.items()]
    return RuleFinding(rule, len(known), broken, tuple(sorted(examples)))


class _KnownValues:
    """The first value that went with each key, and whether there was another."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.uint64)
        self._values = np.empty(0, np.uint64)
        self._is_several = np.empty(0, bool)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def several(self) -> int:
        """How many keys went with several values."""
        return int(self._is_several.sum())

    def find_several(self, most: int) -> npt.NDArray[np.uint64]:
        """Return some keys that did."""
        return self._keys[self._is_several][:most]

    def add(self, keys: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64]) -> None:
        """Add some pairs."""
        new, first = np.unique(keys, return_index=True)
        places = np.searchsorted(self._keys, new)
        is_new = np.ones(len(new), bool)
        inside = places < len(self._keys)
        is_new[inside] = self._keys[places[inside]] != new[inside]
        self._values = np.insert(self._values, places[is_new], values[first[is_new]])
        self._is_several = np.insert(self._is_several, places[is_new], False)
        self._keys = np.insert(self._keys, places[is_new], new[is_new])
        at = np.searchsorted(self._keys, keys)
        self._is_several[at[self._values[at] != values]] = True


def _identify_pairs(
    batch: pa.RecordBatch, each: str, has_one: str
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], pa.Table]:
    """Return 64 bits for either value of the rows that have both, and those rows."""
    rows = pa.Table.from_batches([batch]).select([each, has_one])
    rows = rows.filter(pc.and_(pc.is_valid(rows[each]), pc.is_valid(rows[has_one]))).combine_chunks()
    return _identify(rows[each]), _identify(rows[has_one]), rows


def _identify(values: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return 64 bits for each value; two texts that differ share them with a chance of one in 2**64."""
    column = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    if _is_text(column):
        encoded = column.dictionary_encode()
        # Python's own hash of a text is keyed, and the same within a process.
        bits = np.array([hash(text) for text in encoded.dictionary.to_pylist()], np.int64)
        bits = bits[encoded.indices.to_numpy()]
    elif pa.types.is_floating(column.type):
        # 0.0 and -0.0 are one value of two forms.
        bits = pc.cast(column, pa.float64()).to_numpy() + 0.0
    else:
        bits = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.uint64] = bits.view(np.uint64)
    return found
