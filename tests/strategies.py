"""Hypothesis strategies: any valid data dictionary, rows that it allows, and values that it does not.

A row is what `ingest_data` writes: a value of the column's own type, or `None`, by the name of every kept
column. How a column came to be there (`source_name`, `derived`, `generated`) is over by then and left out.
"""

from __future__ import annotations

import keyword
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import ValidationError

from mulgil.contract import Association, Column, ColumnRole, ColumnType, DataDictionary, MissingPolicy
from mulgil.contract.dictionary import OutlierPolicy, OutOfRangePolicy, Scaling
from mulgil.contract.moments import PARTS
from mulgil.contract.values import Value

Row = dict[str, Value]

FEATURE_TYPES = (ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.CATEGORY)

# Of both halves of the earth, by half hours, and one that changes its clocks by half an hour.
ZONES = ("Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca")

# Far beyond any measurement, and far from where float32 arithmetic overflows.
GREATEST = 10.0**9

# No control characters, and no halves of surrogate pairs, which UTF-8 cannot write.
_PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))
# Codes that some reader on the way could take for something else.
_ODD_CODES = (
    *("0", "1", "3", "3.0", "-1", "1e3", "007", "true", "False", "null", "None", "NaN", "nan", "?", "#"),
    *(
        "a",
        "A",
        "a b",
        "x,y",
        'q"q',
        "o'o",
        "a\\b",
        "{a}",
        "<b>",
        "é",
        "e\u0301",
        "물길",
        "🫀",
        "\u200b",
        "ß",
    ),
)


def names() -> SearchStrategy[str]:
    """Column names."""
    part = st.text(string.ascii_letters + string.digits, min_size=1, max_size=5)
    return st.builds(
        lambda first, parts: "_".join([first, *parts]),
        st.builds(str.__add__, st.sampled_from(string.ascii_letters), part),
        st.lists(part, max_size=2),
    ).filter(lambda name: not keyword.iskeyword(name))


def codes() -> SearchStrategy[str]:
    """A category's codes. Reading text strips it, so none begins or ends with white space."""
    plain = st.text(_PRINTABLE, min_size=1, max_size=6).map(str.strip).filter(bool)
    return st.sampled_from(_ODD_CODES) | plain


def features(name: str) -> SearchStrategy[Column]:
    """A feature of any type, with any domain and any policy for missing values that goes with it."""
    return st.sampled_from(FEATURE_TYPES).flatmap(lambda kind: _columns(name, ColumnRole.FEATURE, kind))


@st.composite
def dictionaries(draw: st.DrawFn, max_features: int = 5) -> DataDictionary:
    """A valid data dictionary, its columns in any order."""
    number = draw(st.integers(1, max_features))
    chosen = draw(st.lists(names(), min_size=number + 4, max_size=number + 4, unique_by=str.lower))
    entity, event_timestamp, target, ignored, *rest = chosen
    entity_type = draw(st.sampled_from((ColumnType.INTEGER, ColumnType.TEXT)))
    columns = [draw(features(name)) for name in rest]
    columns += [
        Column(name=entity, role=ColumnRole.ENTITY, type=entity_type, description="Who."),
        Column(
            name=event_timestamp,
            role=ColumnRole.EVENT_TIMESTAMP,
            type=ColumnType.TIMESTAMP,
            description="When.",
        ),
        Column(name=target, role=ColumnRole.TARGET, type=ColumnType.BOOLEAN, description="Whether."),
    ]
    if draw(st.booleans()):
        # An image is a model's only feature, and has tests of its own.
        kind = draw(st.sampled_from([kind for kind in ColumnType if kind is not ColumnType.IMAGE]))
        columns.append(draw(_columns(ignored, ColumnRole.IGNORE, kind)))
    return DataDictionary(columns=tuple(draw(st.permutations(columns))))


def values(column: Column) -> SearchStrategy[Value]:
    """Values of a column's own type and domain; never `None`."""
    match column.type:
        case ColumnType.FLOAT:
            low, high = column.range or (None, None)
            # Both ends are values that a rounding on the way could push out.
            ends = [end for end in (low, high) if end is not None]
            inside = _floats(-GREATEST if low is None else low, GREATEST if high is None else high)
            return st.sampled_from(ends) | inside if ends else inside
        case ColumnType.INTEGER:
            return st.integers(*_whole_bounds(column))
        case ColumnType.BOOLEAN:
            return st.booleans()
        case ColumnType.CATEGORY:
            return st.sampled_from(tuple(column.categories or ()))
        case ColumnType.TEXT:
            return st.text(_PRINTABLE, min_size=1, max_size=8)
        case ColumnType.TIMESTAMP:
            return st.datetimes(datetime(1900, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))


def rows(dictionary: DataDictionary, *, min_size: int = 1, max_size: int = 8) -> SearchStrategy[list[Row]]:
    """Rows of an ingested table: every entity once, missing values wherever the dictionary allows them."""
    columns = {
        column.name: values(column) if column.missing is MissingPolicy.REJECT else _or_missing(column)
        for column in dictionary.kept
    }
    return st.lists(
        _records(columns),
        min_size=min_size,
        max_size=max_size,
        unique_by=lambda row: row[dictionary.entity.name],
    )


def instances(dictionary: DataDictionary) -> SearchStrategy[Row]:
    """Instances of a prediction request: features alone, missing where a request may leave them out."""
    return _records(
        {
            column.name: values(column) if column.missing.is_value_required else _or_missing(column)
            for column in dictionary.inputs
        }
    )


def derived_features(inputs: Sequence[Column]) -> SearchStrategy[list[Column]]:
    """Derived features over other columns: of every type, with every policy for missing values."""

    @st.composite
    def one(draw: st.DrawFn, place: int) -> Column:
        by_type = {kind: [c.name for c in inputs if c.type is kind] for kind in FEATURE_TYPES}
        kinds = [ColumnType.FLOAT, ColumnType.BOOLEAN]
        if by_type[ColumnType.CATEGORY] or by_type[ColumnType.FLOAT] or by_type[ColumnType.INTEGER]:
            kinds.append(ColumnType.CATEGORY)
        kind = draw(st.sampled_from(kinds))
        numbers, truths, texts = _expressions(inputs)
        text = draw({ColumnType.FLOAT: numbers, ColumnType.BOOLEAN: truths, ColumnType.CATEGORY: texts}[kind])
        policy = draw(st.sampled_from([one for one in _policies(kind) if one is not MissingPolicy.CONSTANT]))
        return Column(name=f"made_{place}", type=kind, derived=text, missing=policy, description="Made.")

    return st.integers(1, 3).flatmap(lambda count: st.tuples(*map(one, range(count))).map(list))


def _expressions(inputs: Sequence[Column]) -> tuple[SearchStrategy[str], ...]:
    """Expressions that give a number, truth, and text."""
    literals = st.sampled_from(("0", "1", "2.5", "-3", "0.1", "100"))
    names_of = {
        "number": [c.name for c in inputs if c.type in (ColumnType.FLOAT, ColumnType.INTEGER)],
        "truth": [c.name for c in inputs if c.type is ColumnType.BOOLEAN],
        "text": [c.name for c in inputs if c.type is ColumnType.CATEGORY],
        "moment": [c.name for c in inputs if c.type is ColumnType.TIMESTAMP],
    }
    # What is drawn of a date, and it is only drawn where there is one.
    moments = st.sampled_from(names_of["moment"])
    zoned = st.builds("{}{}".format, moments, st.sampled_from(("", *(f', "{zone}"' for zone in ZONES))))
    parts = st.builds("{}({})".format, st.sampled_from(tuple(PARTS)), zoned)
    few = st.builds("code({}({}))".format, st.sampled_from(("hour", "weekday", "month")), zoned)
    number_names = names_of["number"] + names_of["truth"]
    numbers: SearchStrategy[str] = st.deferred(
        lambda: (
            st.sampled_from(number_names)
            | st.builds(
                lambda a, sign, b: f"({a} {sign} {b})",
                numbers,
                st.sampled_from("+-*/"),
                st.sampled_from(number_names) | literals,
            )
            | st.builds("{}({})".format, st.sampled_from(("abs", "log", "sqrt", "-")), numbers)
        )
    )
    if names_of["moment"]:
        numbers = numbers | parts | st.builds("days_between({}, {})".format, moments, moments)
    buckets = st.builds("bucket({}, -1, 0.1, 30)".format, numbers)
    known = [c for c in inputs if c.type is ColumnType.CATEGORY]
    codes = [f'"{code}"' for c in known for code in c.categories or () if code.isalnum()]
    texts = st.sampled_from(names_of["text"]) | buckets if names_of["text"] else buckets
    texts = texts | st.builds("cross({}, {})".format, texts, texts)
    if names_of["moment"]:
        texts = texts | few
    compared = st.builds(
        "{} {} {}".format, numbers, st.sampled_from((">", ">=", "<", "<=", "==", "!=")), literals
    )
    if names_of["text"] and codes:
        compared = compared | st.builds(
            "{} {} {}".format,
            st.sampled_from(names_of["text"]),
            st.sampled_from(("==", "!=")),
            st.sampled_from(codes),
        )
    if names_of["truth"]:
        compared = compared | st.sampled_from(names_of["truth"])
    truths = compared | st.builds(
        "({}) {} not ({})".format, compared, st.sampled_from(("and", "or")), compared
    )
    return tuple(one.filter(lambda text: len(text) < 150) for one in (numbers, truths, texts))


@st.composite
def dictionaries_with_derived(draw: st.DrawFn) -> DataDictionary:
    """A valid dictionary with features that are derived."""
    plain = draw(dictionaries(max_features=4).filter(lambda one: any(_is_number(c) for c in one.inputs)))
    # Sensitivity is another matter, and what is derived would have to share it.
    columns = [column.model_copy(update={"sensitive": False}) for column in plain.columns]
    time = plain.event_timestamp.name
    if draw(st.booleans()):
        policy = draw(st.sampled_from((MissingPolicy.REJECT, MissingPolicy.KEEP)))
        since = Column(
            name="since",
            role=ColumnRole.INPUT,
            type=ColumnType.TIMESTAMP,
            missing=policy,
            description="When.",
        )
        columns.append(since)
    operands = (ColumnRole.FEATURE, ColumnRole.INPUT, ColumnRole.EVENT_TIMESTAMP)
    made = draw(derived_features([c for c in columns if c.role in operands]))
    if columns[-1].role is ColumnRole.INPUT:
        text = f"days_between(since, {time})"
        made.append(
            Column(name="age", type=ColumnType.FLOAT, derived=text, missing="mean", description="Age.")
        )
    try:
        return DataDictionary(columns=tuple(draw(st.permutations([*columns, *made]))))
    except ValidationError as exc:
        # Two numbers can be one name, in any case.
        assume("stands once" not in str(exc))
        raise


def _is_number(column: Column) -> bool:
    return column.type in (ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN)


def values_outside(column: Column) -> SearchStrategy[Value]:
    """Values of a column's own type outside its range or categories; nothing where it has neither.

    Outside by more than float32 loses, which is what TFDV keeps a float's bounds in.
    """
    if column.categories is not None:
        return codes().filter(lambda code: code not in (column.categories or ()))
    choices: list[SearchStrategy[Any]] = []
    low, high = column.range or (None, None)
    if column.type is ColumnType.INTEGER:
        least, greatest = _whole_bounds(column)
        if low is not None:
            choices.append(st.just(least - 1) | st.integers(least - 1000, least - 2))
        if high is not None:
            choices.append(st.just(greatest + 1) | st.integers(greatest + 2, greatest + 1000))
    else:
        if low is not None:
            choices.append(_floats(2 * min(low, -1.0), low - max(1.0, abs(low)) / 1000))
        if high is not None:
            choices.append(_floats(high + max(1.0, abs(high)) / 1000, 2 * max(high, 1.0)))
    return st.one_of(choices)


def values_of_another_type(column: Column) -> SearchStrategy[Value]:
    """Values that cannot be read as a feature's type."""
    if column.type is ColumnType.INTEGER:
        return st.integers(-100, 100).map(lambda whole: whole + 0.5) | st.sampled_from(("high", "1O"))
    if column.type is ColumnType.CATEGORY:
        raise ValueError(f"{column.name}: any number is read as a code, so only the domain can refuse it")
    return st.sampled_from(("high", "1O", "--"))


def _or_missing(column: Column) -> SearchStrategy[Value]:
    return st.none() | values(column)


def _records(columns: dict[str, SearchStrategy[Value]]) -> SearchStrategy[Row]:
    """Like `fixed_dictionaries`, but the keys keep their order."""
    return st.tuples(*columns.values()).map(lambda drawn: dict(zip(columns, drawn, strict=True)))


@st.composite
def _columns(draw: st.DrawFn, name: str, role: ColumnRole, kind: ColumnType) -> Column:
    domain: dict[str, Any] = {}
    if kind is ColumnType.FLOAT:
        domain["range"] = draw(st.none() | _ranges(_floats(-GREATEST, GREATEST)))
    elif kind is ColumnType.INTEGER:
        domain["range"] = draw(st.none() | _ranges(st.integers(-(10**9), 10**9)))
        # A bound between two whole numbers is odd, and allowed.
        if domain["range"] and draw(st.booleans()):
            low, high = domain["range"]
            domain["range"] = (None if low is None else low - 0.5, None if high is None else high + 0.5)
    elif kind is ColumnType.CATEGORY:
        chosen = draw(st.lists(codes(), min_size=1, max_size=5, unique=True))
        domain["categories"] = {code: draw(st.sampled_from(("", "a meaning"))) for code in chosen}
    column = Column(
        name=name,
        role=role,
        type=kind,
        description="Any.",
        unit=draw(st.sampled_from((None, "mmHg"))) if kind.is_numeric else None,
        sensitive=draw(st.booleans()),
        **domain,
    )
    if role is not ColumnRole.FEATURE:
        return column
    policy = draw(st.sampled_from(_policies(kind)))
    changes: dict[str, Any] = {"missing": policy}
    if policy is MissingPolicy.CONSTANT:
        changes["missing_constant"] = draw(values(column))
    if kind is not ColumnType.CATEGORY:
        changes["expects"] = draw(st.sampled_from((None, *Association)))
    if column.range is not None:
        changes["out_of_range"] = draw(st.sampled_from(OutOfRangePolicy))
    if kind.is_numeric:
        changes["outliers"] = draw(st.sampled_from(OutlierPolicy))
    if kind is not ColumnType.CATEGORY:
        changes["scaling"] = draw(st.sampled_from(Scaling))
    changes["skew"] = draw(st.none() | st.floats(0.01, 1.0))
    return Column.model_validate({**column.model_dump(), **changes})


def _policies(kind: ColumnType) -> tuple[MissingPolicy, ...]:
    if kind is ColumnType.CATEGORY:
        return tuple(
            policy
            for policy in MissingPolicy
            if policy not in (MissingPolicy.MEAN, MissingPolicy.MEDIAN, MissingPolicy.KEEP)
        )
    others = (MissingPolicy.NEW_CATEGORY, MissingPolicy.KEEP)
    return tuple(policy for policy in MissingPolicy if policy not in others)


def _ranges(bounds: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, Any]]:
    both = st.tuples(bounds, bounds).map(lambda pair: (min(pair), max(pair)))
    return both | st.tuples(bounds, st.none()) | st.tuples(st.none(), bounds)


def _whole_bounds(column: Column) -> tuple[int, int]:
    low, high = column.range or (None, None)
    least = int(-GREATEST) * 2 if low is None else -int(-low // 1)
    greatest = int(GREATEST) * 2 if high is None else int(high // 1)
    return least, greatest


def _floats(low: float, high: float) -> SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)
