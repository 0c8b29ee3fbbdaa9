"""Whether a source is the table that the dictionary describes at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from components.ingest_data.table import Batch, RawTable
from components.ingest_data.typed_cells import plain
from mulgil.contract.dictionary import Column, DataDictionary
from mulgil.contract.values import ValueMismatchError, check_domain
from mulgil.errors import InputError, describe

# Enough to recognise another coding by; chosen by eye.
_VALUES_SHOWN = 5


def check_structure(table: RawTable, beginning: Batch, dictionary: DataDictionary, own_location: str) -> None:
    """Hold the source's columns against the dictionary's.

    A table with other columns often has other codes too. So where it is refused, the message also names the
    values that the dictionary does not know in the columns that do agree.

    Args:
        table: The source.
        beginning: Its first rows.
        dictionary: What it should be.
        own_location: Where the project itself takes its rows from, for advice.

    Raises:
        InputError: A column is missing, unknown or there twice.
    """
    expected = {column.name_in_source: column for column in dictionary.columns if column.is_in_source}
    counts = Counter(table.header)
    missing = [name for name in expected if name not in counts]
    unknown = [name for name in counts if name not in expected]
    twice = [name for name, times in counts.items() if times > 1]
    if not (missing or unknown or twice):
        return
    shared = {name: column for name, column in expected.items() if counts[name] == 1}
    # Without one known name, the first line may be a row: somebody's data, not to be shown in a log.
    shown = ", ".join(unknown) if shared else f"{len(unknown)} others; the first line may be no header"
    facts = [
        *([f"columns that are missing: {', '.join(missing)}"] if missing else []),
        *([f"columns that the dictionary does not have: {shown}"] if unknown else []),
        *([f"columns that are there twice: {', '.join(twice)}"] if twice else []),
    ]
    strange = list(_describe_strange_values(table, beginning, shared))
    if strange:
        facts += ["in the columns that it does have, values that the dictionary does not know:", *strange]
    remedy = f"give the file that the dictionary describes (the project's own is {own_location}), or write a"
    raise InputError(
        describe(
            f"{table.location} is not the table that the data dictionary describes",
            expected="the columns " + ", ".join(expected),
            received="\n            ".join(facts),
            next_step=f"{remedy} dictionary for this file's columns and coding (role: ignore drops a column)",
        )
    )


def name_nameless(header: Sequence[str]) -> tuple[str, ...]:
    """Name columns without a name by their place, where there are several, as a spreadsheet leaves them."""
    if sum(not name for name in header) < 2:
        return tuple(header)
    return tuple(name or f"column {place}" for place, name in enumerate(header, start=1))


def refuse_repeated_names(names: Iterable[str], location: str) -> None:
    """Refuse a table of which two columns have one name, but for the space around it.

    Raises:
        InputError: They have.
    """
    twice = [name for name, times in Counter(name.strip() for name in names).items() if times > 1]
    if twice:
        raise InputError(
            describe(
                f"Two columns of {location} have one name",
                expected="each name once",
                received=", ".join(twice),
                next_step="rename one of them in the source",
            )
        )


def _describe_strange_values(table: RawTable, beginning: Batch, columns: dict[str, Column]) -> Iterator[str]:
    for name, column in columns.items():
        if column.image is not None:
            continue
        cells = beginning.columns[table.header.index(name)]
        counts: Counter[str] = Counter()
        expected = ""
        for cell in cells.to_pylist() if isinstance(cells, pa.Array) else cells:
            try:
                value = table.read_cell(column, plain(cell))
                if value is not None:
                    check_domain(column, value)
            except ValueMismatchError as exc:
                counts[exc.received] += 1
                expected = exc.expected
        if counts:
            shown = [
                f"{value.strip(chr(39))} ({_rows(n)})"
                for value, n in sorted(counts.most_common(_VALUES_SHOWN))
            ]
            more = len(counts) - len(shown)
            yield f"  {name}: {', '.join(shown)}{f', and {more} more' if more else ''}; expected {expected}"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
