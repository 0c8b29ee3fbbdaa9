"""The data dictionary: what each column means, once, for every stage."""

from __future__ import annotations

import hashlib
import json
import keyword
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from mulgil.contract.aggregates import Aggregate, AggregateFunction
from mulgil.contract.expressions import Expression, Kind, parse_expression
from mulgil.contract.rules import Rule, explain_rules
from mulgil.contract.violations import ViolationPolicy


class Contract(BaseModel):
    """Base of every part of a project: frozen, unknown keys and numbers that are none are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ColumnRole(StrEnum):
    """What a column is for.

    A `created_timestamp` says from when on a row was known, where that is later than it became true.

    An `input` is stored, asked for and sent like a feature, and read by derived columns alone: a date and
    time, of which a model reads parts and distances.
    """

    FEATURE = "feature"
    TARGET = "target"
    ENTITY = "entity"
    EVENT_TIMESTAMP = "event_timestamp"
    CREATED_TIMESTAMP = "created_timestamp"
    INPUT = "input"
    IGNORE = "ignore"


class ColumnType(StrEnum):
    """What a column holds."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    IMAGE = "image"

    @property
    def is_numeric(self) -> bool:
        """Whether the type has an order and arithmetic."""
        return self in (ColumnType.FLOAT, ColumnType.INTEGER)


class ImageForm(Contract):
    """What every image of a column is brought to before a model sees it."""

    height: int = Field(ge=1, le=1024, description="Pixels from top to bottom.")
    width: int = Field(ge=1, le=1024, description="Pixels from left to right.")
    colors: Literal["grey", "rgb"] = Field(
        default="grey", description="One number a pixel, its brightness, or three: red, green and blue."
    )
    first_pixel: str | None = Field(
        default=None,
        pattern=r"\d$",
        description="Where the source has a column a pixel: the first one's name, such as pixel1. The others "
        "count on from it, row by row, and of a coloured image red, green and blue of each pixel.",
    )

    @property
    def channels(self) -> int:
        """Numbers a pixel."""
        return 1 if self.colors == "grey" else 3

    @property
    def size(self) -> int:
        """Numbers an image."""
        return self.height * self.width * self.channels

    @property
    def pixel_names(self) -> tuple[str, ...]:
        """The source's columns, a pixel's each; empty where it has whole images."""
        if self.first_pixel is None:
            return ()
        stem = self.first_pixel.rstrip("0123456789")
        number = self.first_pixel.removeprefix(stem)
        return tuple(f"{stem}{int(number) + place:0{len(number)}}" for place in range(self.size))


class MissingPolicy(StrEnum):
    """What happens where a feature has no value.

    `reject`: the row is an error. `drop_row`: left out of training, refused when serving. The others fill:
    with the training rows' `mean`, `median` or `most_frequent` value, with a `constant`, or with a category
    of its own (`new_category`). `keep` leaves an input of derived columns without one: what is derived of it
    then has none either, and a policy of its own.
    """

    REJECT = "reject"
    DROP_ROW = "drop_row"
    MEAN = "mean"
    MEDIAN = "median"
    MOST_FREQUENT = "most_frequent"
    CONSTANT = "constant"
    NEW_CATEGORY = "new_category"
    KEEP = "keep"

    @property
    def is_value_required(self) -> bool:
        """Whether a request must carry a value."""
        return self in (MissingPolicy.REJECT, MissingPolicy.DROP_ROW)


_NOT_WHERE_ONE_ROW_IS_SERVED = {
    "forward_fill": "the row before is not there where a single row is served, and an aggregate with "
    "function last is",
    "knn": "the training rows, among which neighbours are looked for, are not there where a row is served",
}


def _missing(value: Any) -> Any:
    if reason := _NOT_WHERE_ONE_ROW_IS_SERVED.get(value) if isinstance(value, str) else None:
        raise ValueError(f"{reason}; take median or most_frequent instead; received missing={value}")
    return value


class Association(StrEnum):
    """The direction in which a column is known to move with the target."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


class OutOfRangePolicy(StrEnum):
    """What a served model does with a number beyond its column's range; in training data it fails validation.

    `refuse`: the request is an error. `clip`: the range's nearer end is taken instead. `pass`: the model gets
    it as it is. Of the last two a warning with the answer tells.
    """

    REFUSE = "refuse"
    CLIP = "clip"
    PASS = "pass"


class Scaling(StrEnum):
    """How a feature's numbers are brought to a like size; what it takes is fitted on the training rows.

    `standard`: less the mean, over the standard deviation. `min_max`: the least becomes 0, the greatest 1.
    `robust`: less the median, over the distance between the quartiles, or over the standard deviation where
    that is nothing. `none`: as they are.
    """

    STANDARD = "standard"
    MIN_MAX = "min_max"
    ROBUST = "robust"
    NONE = "none"


class OutlierPolicy(StrEnum):
    """What the model sees of a number far from all that is usual.

    `keep`: the number. `clip`: the nearer fence, three times the distance between the training rows'
    quartiles beyond them; their least and greatest number where the quartiles are one.
    """

    KEEP = "keep"
    CLIP = "clip"


def canonical_code(code: Any) -> Any:
    """Write a category's code as text, whole numbers without a fraction: 3, 3.0 and "3" are all "3"."""
    if isinstance(code, bool):
        return "true" if code else "false"
    if isinstance(code, float) and code.is_integer():
        return str(int(code))
    return str(code) if isinstance(code, int | float) else code


def _categories(value: Any) -> Any:
    if not isinstance(value, list | dict):
        return value
    codes = [canonical_code(code) for code in value]
    for code in codes:
        # An empty cell is a missing value, and cells are read without the space around them.
        if not isinstance(code, str) or code != code.strip() or not code:
            raise ValueError(
                f"a category's code is a number, or text without space around; received {code!r}"
            )
    if twice := _twice(codes):
        raise ValueError(f"each code stands once; twice here: {', '.join(twice)}")
    meanings = value.values() if isinstance(value, dict) else [""] * len(codes)
    return dict(zip(codes, meanings, strict=True))


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)


Categories = Annotated[
    dict[str, str],
    BeforeValidator(_categories, json_schema_input_type=dict[str, str] | list[str | float | bool]),
]


def _name(value: str) -> str:
    # A SavedModel's signature is a Python function, and its columns are that function's arguments.
    if keyword.iskeyword(value) or value == "self":
        raise ValueError(
            f"a word of Python's own cannot name a column; received {value}; "
            f"give it another name and write `source_name: {value}`"
        )
    return value


Bound = float | None
Name = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$", max_length=63), AfterValidator(_name)
]

_TYPES_BY_ROLE = {
    ColumnRole.FEATURE: {
        ColumnType.FLOAT,
        ColumnType.INTEGER,
        ColumnType.BOOLEAN,
        ColumnType.CATEGORY,
        ColumnType.IMAGE,
    },
    # Which of them, the task says.
    ColumnRole.TARGET: {ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.CATEGORY},
    ColumnRole.ENTITY: {ColumnType.INTEGER, ColumnType.TEXT},
    ColumnRole.EVENT_TIMESTAMP: {ColumnType.TIMESTAMP},
    ColumnRole.CREATED_TIMESTAMP: {ColumnType.TIMESTAMP},
    ColumnRole.INPUT: {ColumnType.TIMESTAMP},
}

_KINDS = {
    ColumnType.FLOAT: Kind.NUMBER,
    ColumnType.INTEGER: Kind.NUMBER,
    ColumnType.BOOLEAN: Kind.TRUTH,
    ColumnType.CATEGORY: Kind.TEXT,
    ColumnType.TEXT: Kind.TEXT,
    ColumnType.TIMESTAMP: Kind.MOMENT,
}

# What an expression gives, by the type of the feature that it is.
_KINDS_OF_DERIVED = {
    ColumnType.FLOAT: {Kind.NUMBER, Kind.TRUTH},
    ColumnType.BOOLEAN: {Kind.TRUTH},
    ColumnType.CATEGORY: {Kind.TEXT},
}

_POLICIES_FOR_TEXT = {
    MissingPolicy.REJECT,
    MissingPolicy.DROP_ROW,
    MissingPolicy.MOST_FREQUENT,
    MissingPolicy.CONSTANT,
    MissingPolicy.NEW_CATEGORY,
}


class Column(Contract):
    """One column of the table."""

    name: Name = Field(
        description="Name in every stage after ingestion: letters, digits, single underscores."
    )
    role: ColumnRole = Field(default=ColumnRole.FEATURE, description="What the column is for.")
    type: ColumnType = Field(description="What it holds.")
    description: str = Field(min_length=1, description="What it means, for a reader who has not met it.")
    unit: str | None = Field(default=None, description="Physical unit, such as mmHg; none for a code.")
    source_name: str | None = Field(default=None, description="Name in the source, where it is another.")
    range: tuple[Bound, Bound] | None = Field(
        default=None, description="Least and greatest valid value; null leaves a side open."
    )
    out_of_range: OutOfRangePolicy = Field(
        default=OutOfRangePolicy.REFUSE,
        description="What a served model does with a number beyond the range: refuse, clip, or pass it.",
    )
    outliers: OutlierPolicy = Field(
        default=OutlierPolicy.KEEP,
        description="What the model sees of a number far from all that is usual: keep it, or clip it to a "
        "fence of the training rows.",
    )
    scaling: Scaling = Field(
        default=Scaling.STANDARD,
        description="How the numbers are brought to a like size: standard, min_max, robust or none.",
    )
    categories: Categories | None = Field(
        default=None, description="Valid codes and what each means, or a plain list of codes."
    )
    on_violation: ViolationPolicy = Field(
        default=ViolationPolicy.BLOCK,
        description="What happens where the data is not as this says: block the run, quarantine the rows "
        "whose value is outside range or categories, or warn.",
    )
    image: ImageForm | None = Field(
        default=None, description="Size and colours that every image is brought to."
    )
    sensitive: bool = Field(default=False, description="Masked in logs, pages and errors.")
    fairness: bool = Field(
        default=False,
        description="Whether the model is compared between its values, also where it is sensitive.",
    )
    expects: Association | None = Field(
        default=None, description="Direction of association with the target, checked at validation."
    )
    derived: str | None = Field(
        default=None,
        description="Expression over others, such as `num > 0`: a target's over columns of the source, "
        "a feature's over other features, which is computed in training and where a model is served alike.",
    )
    aggregate: Aggregate | None = Field(
        default=None,
        description="A number of the entity's past, such as the mean of a feature over 7 days: of the rows "
        "before this one that were known then. Ingestion makes it; a request by columns carries it.",
    )
    generated: Literal["row_number", "span"] | datetime | None = Field(
        default=None,
        description=(
            "The source lacks this column and ingestion makes it: `row_number` counts from 1, "
            "`span` is the date of the span that a row is of, a date and time stands in every row."
        ),
    )
    missing: Annotated[MissingPolicy, BeforeValidator(_missing, json_schema_input_type=MissingPolicy)] = (
        Field(default=MissingPolicy.REJECT, description="What happens without a value.")
    )
    missing_constant: float | bool | str | None = Field(
        default=None, description="The value of `missing: constant`."
    )
    missing_codes: tuple[Annotated[str, BeforeValidator(canonical_code)], ...] = Field(
        default=(),
        description="What the source writes where it has no value, such as -999; a request says null.",
    )
    number_signs: tuple[Annotated[str, Field(min_length=1, max_length=10, pattern=r"^\D+$")], ...] = Field(
        default=(),
        description="Signs in the source's numbers that are no part of them: before or after such as $ or %, "
        "or a comma, point or space between thousands; with ( and ), a number in brackets is less than zero.",
    )
    time_format: str | None = Field(
        default=None,
        pattern="%",
        description="How the source writes a time, such as %d/%m/%Y; ISO 8601 where it is not given.",
    )
    skew: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Greatest Jensen–Shannon divergence between training and serving.",
    )
    drift: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Greatest Jensen–Shannon divergence of a source's newest span from those before.",
    )

    @property
    def name_in_source(self) -> str:
        """The header that the source is expected to have."""
        # A spreadsheet's or a data frame's index has a column whose name is empty.
        return self.name if self.source_name is None else self.source_name

    @property
    def names_in_source(self) -> tuple[str, ...]:
        """The headers that the source is expected to have: one, but of an image one a pixel there may be."""
        return (self.image.pixel_names if self.image else ()) or (self.name_in_source,)

    @property
    def is_in_source(self) -> bool:
        """Whether the source brings the column, rather than ingestion making it."""
        return self.derived is None and self.generated is None and self.aggregate is None

    @property
    def is_always_sent(self) -> bool:
        """Whether a request by columns must name it: a forgotten past is not filled as if there were none."""
        return self.missing.is_value_required or self.aggregate is not None

    @property
    def is_filled_count(self) -> bool:
        """Whether it is a count of an entity's past that a request may leave to be filled with 0."""
        is_count = self.aggregate is not None and self.aggregate.function is AggregateFunction.COUNT
        return is_count and not self.missing.is_value_required

    @property
    def expression(self) -> Expression | None:
        """The parsed `derived`."""
        return parse_expression(self.derived) if self.derived is not None else None

    @property
    def is_derived_feature(self) -> bool:
        """Whether it is computed from other features, in training and where a model is served."""
        return self.derived is not None and self.role is ColumnRole.FEATURE

    @property
    def _awaits_categories(self) -> bool:
        return self.is_derived_feature and self.type is ColumnType.CATEGORY and not self.categories

    @property
    def fill_constant(self) -> float | str:
        """The value of `missing: constant` in the form that preprocessing takes: number or code."""
        if self.type is ColumnType.CATEGORY:
            return str(canonical_code(self.missing_constant))
        return float(self.missing_constant or 0.0)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        allowed = _TYPES_BY_ROLE.get(self.role, set(ColumnType))
        if self.type not in allowed:
            raise ValueError(
                f"a column of role {self.role} is one of {_list(allowed)}; received type={self.type}"
            )
        if self.range is not None:
            low, high = self.range
            if not self.type.is_numeric:
                raise ValueError(f"`range` goes with float and integer; received type={self.type}")
            if low is None and high is None:
                raise ValueError("`range` closes at least one side; received range=[null, null]")
            if low is not None and high is not None and low > high:
                raise ValueError(f"`range` is least, then greatest; received range=[{low}, {high}]")
        if self.out_of_range is not OutOfRangePolicy.REFUSE and (
            self.range is None or self.role is not ColumnRole.FEATURE
        ):
            raise ValueError(
                "`out_of_range` goes with a feature that has a range; "
                f"received out_of_range={self.out_of_range}"
            )
        if self.outliers is not OutlierPolicy.KEEP and (
            not self.type.is_numeric or self.role is not ColumnRole.FEATURE
        ):
            raise ValueError(
                f"`outliers` goes with a feature of type float or integer; received role={self.role} "
                f"type={self.type}"
            )
        if self.scaling is not Scaling.STANDARD and (
            not (self.type.is_numeric or self.type is ColumnType.BOOLEAN)
            or self.role is not ColumnRole.FEATURE
        ):
            raise ValueError(
                "`scaling` goes with a feature that is a number: float, integer or boolean; "
                f"received role={self.role} type={self.type}"
            )
        # A derived category's codes follow from its expression, once all columns are known.
        if (self.type is ColumnType.CATEGORY) != bool(self.categories) and not self._awaits_categories:
            raise ValueError("`categories` is needed for type=category, and goes with no other type")
        self._check_image()
        if self.missing is MissingPolicy.CONSTANT:
            if not self._awaits_categories:
                self._check_constant()
        elif self.missing_constant is not None:
            raise ValueError(
                f"`missing_constant` goes with missing=constant; received missing={self.missing}"
            )
        if self.type is ColumnType.CATEGORY and self.missing not in _POLICIES_FOR_TEXT:
            raise ValueError(
                f"a category has one of {_list(_POLICIES_FOR_TEXT)}; received missing={self.missing}"
            )
        if self.type is not ColumnType.CATEGORY and self.missing is MissingPolicy.NEW_CATEGORY:
            raise ValueError(f"missing=new_category goes with type=category; received type={self.type}")
        self._check_input()
        is_filled = not self.missing.is_value_required and self.missing is not MissingPolicy.KEEP
        if self.role not in (ColumnRole.FEATURE, ColumnRole.IGNORE) and is_filled:
            raise ValueError(f"a column of role {self.role} is never filled; received missing={self.missing}")
        if self.expects is not None and (
            self.role is not ColumnRole.FEATURE or self.type in (ColumnType.CATEGORY, ColumnType.IMAGE)
        ):
            raise ValueError(
                "`expects` goes with a feature that has an order: float, integer or boolean; "
                f"received role={self.role} type={self.type}"
            )
        if self.fairness and (self.role is not ColumnRole.FEATURE or self.type is ColumnType.IMAGE):
            raise ValueError(
                "`fairness` goes with a feature that divides the rows; "
                f"received role={self.role} type={self.type}"
            )
        if self.time_format is not None and self.type is not ColumnType.TIMESTAMP:
            raise ValueError(f"`time_format` goes with type=timestamp; received type={self.type}")
        if self.number_signs and not self.type.is_numeric:
            raise ValueError(f"`number_signs` goes with float and integer; received type={self.type}")
        if not self.is_in_source and (self.missing_codes or self.time_format or self.number_signs):
            raise ValueError(
                "ingestion makes this column; `missing_codes`, `time_format` and `number_signs` go with the "
                "source's"
            )
        if self.derived is not None and self.generated is not None:
            raise ValueError("`derived` and `generated` exclude each other")
        if self.derived is not None:
            parse_expression(self.derived)
            self._check_derived()
        if self.generated is not None:
            self._check_generated()
        self._check_aggregate()
        self._check_violation_policy()
        if self.source_name is not None and not self.is_in_source:
            raise ValueError(f"ingestion makes this column; received source_name={self.source_name}")
        return self

    def _check_input(self) -> None:
        if self.missing is MissingPolicy.KEEP and self.role is not ColumnRole.INPUT:
            raise ValueError(f"missing=keep goes with role=input; received role={self.role}")
        if self.role is not ColumnRole.INPUT:
            return
        if self.missing not in (MissingPolicy.REJECT, MissingPolicy.KEEP):
            raise ValueError(f"an input has one of keep, reject; received missing={self.missing}")
        if not self.is_in_source:
            raise ValueError("an input comes from the source; received a column that ingestion makes")
        if self.skew is not None or self.drift is not None:
            raise ValueError("`skew` and `drift` go with what is derived of an input")

    def _check_aggregate(self) -> None:
        if self.aggregate is None:
            return
        if self.role is not ColumnRole.FEATURE or self.type is not ColumnType.FLOAT:
            raise ValueError(
                f"an aggregate is a feature of type float; received role={self.role} type={self.type}"
            )
        if self.derived is not None or self.generated is not None:
            raise ValueError("`aggregate` excludes `derived` and `generated`")
        if self.missing is MissingPolicy.REJECT and self.aggregate.function is not AggregateFunction.COUNT:
            raise ValueError(
                "an entity's first row has no past, so that some rows lack this number: take mean, median, "
                "most_frequent, constant or drop_row; received missing=reject"
            )
        is_filled_with_more = not self.missing.is_value_required and self.missing_constant != 0
        if self.aggregate.function is AggregateFunction.COUNT and is_filled_with_more:
            raise ValueError(
                "a count is 0 where there is no past, and never missing: take reject, or constant with "
                f"missing_constant 0; received missing={self.missing} "
                f"missing_constant={self.missing_constant}"
            )
        if self.on_violation is ViolationPolicy.QUARANTINE:
            raise ValueError(
                "rows are set aside before their past is known; received on_violation=quarantine"
            )

    def _check_violation_policy(self) -> None:
        if self.on_violation is ViolationPolicy.WARN and self.role is not ColumnRole.FEATURE:
            raise ValueError(
                "a warning is for a feature: a target or a key must be as it should; "
                f"received on_violation=warn role={self.role}"
            )
        if self.on_violation is ViolationPolicy.QUARANTINE and (
            (self.range is None and self.type is not ColumnType.CATEGORY) or self.role is ColumnRole.IGNORE
        ):
            raise ValueError(
                "rows are set aside by a range or categories, which this column has not; "
                f"received on_violation=quarantine role={self.role}"
            )

    def _check_derived(self) -> None:
        if self.role is ColumnRole.IGNORE:
            raise ValueError("a derived column is a target or a feature; received role=ignore")
        if self.role is not ColumnRole.FEATURE:
            return
        if self.type not in _KINDS_OF_DERIVED:
            raise ValueError(
                f"a derived feature is one of {_list(set(_KINDS_OF_DERIVED))}; received type={self.type}"
            )
        if self.out_of_range is not OutOfRangePolicy.REFUSE:
            raise ValueError(
                "a request does not carry this column, so that there is nothing to refuse, clip or pass; "
                f"received out_of_range={self.out_of_range}"
            )

    def _check_image(self) -> None:
        if (self.type is ColumnType.IMAGE) != (self.image is not None):
            raise ValueError("`image` is needed for type=image, and goes with no other type")
        if self.image is None:
            return
        if not self.missing.is_value_required:
            raise ValueError(f"an image has one of drop_row, reject; received missing={self.missing}")
        if self.image.first_pixel is not None and self.source_name is not None:
            raise ValueError(
                "`image.first_pixel` names the source's columns; "
                f"received source_name={self.source_name} beside it"
            )
        if self.missing_codes or not self.is_in_source:
            raise ValueError("an image comes from the source as it is: no code for missing, not made here")

    def _check_constant(self) -> None:
        value = self.missing_constant
        if self.type is ColumnType.CATEGORY:
            if canonical_code(value) not in (self.categories or {}):
                raise ValueError(f"`missing_constant` is one of the categories; received {value!r}")
        elif self.type is ColumnType.BOOLEAN:
            if not isinstance(value, bool):
                raise ValueError(f"`missing_constant` is true or false here; received {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"`missing_constant` is a number here; received {value!r}")
        elif self.type is ColumnType.INTEGER and value != int(value):
            raise ValueError(f"`missing_constant` is a whole number here; received {value!r}")

    def _check_generated(self) -> None:
        if self.generated == "row_number":
            if self.role is not ColumnRole.ENTITY or self.type is not ColumnType.INTEGER:
                raise ValueError("generated=row_number makes an integer entity")
        elif self.role is not ColumnRole.EVENT_TIMESTAMP:
            raise ValueError("a generated time makes an event_timestamp")
        elif isinstance(self.generated, datetime) and self.generated.tzinfo is None:
            raise ValueError("a generated time says its zone, such as 1988-07-22T00:00:00Z")


class DataDictionary(Contract):
    """Every column of a project's table."""

    columns: tuple[Column, ...] = Field(min_length=1, description="The columns, in the order of the source.")
    rules: tuple[Rule, ...] = Field(
        default=(), description="What holds between columns, checked at validation."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        mistakes = [
            *self._names_that_clash(),
            *self._roles_that_are_wrong(),
            *self._wrong_expressions(),
            *self._wrong_aggregates(),
            *self._wrong_rules(),
        ]
        if mistakes:
            raise ValidationError.from_exception_data("DataDictionary", mistakes)
        # The model is frozen for those who have it; here it is still being made.
        object.__setattr__(self, "columns", self._with_derived_categories())
        return self

    def _names_that_clash(self) -> list[InitErrorDetails]:
        # TensorFlow's graphs and SQL's tables do not tell `Age` from `age`.
        folded = _twice(column.name.lower() for column in self.columns)
        names = [column.name for column in self.columns if column.name.lower() in folded]
        in_source = _twice(
            name for column in self.columns if column.is_in_source for name in column.names_in_source
        )
        return [
            *(
                mistake(f"each column stands once; twice here: {name}", *self._place(name), "name")
                for name in dict.fromkeys(names)
            ),
            *(
                mistake(f"two columns read the same one of the source; received twice: {name}", "columns")
                for name in in_source
                if name not in names
            ),
        ]

    def _roles_that_are_wrong(self) -> list[InitErrorDetails]:
        mistakes = []
        for role in (ColumnRole.ENTITY, ColumnRole.EVENT_TIMESTAMP):
            found = [column.name for column in self.columns if column.role is role]
            if len(found) != 1:
                place = (*self._place(found[-1]), "role") if found else ("columns",)
                received = ", ".join(found) or "none"
                mistakes.append(
                    mistake(f"exactly one column has the role {role}; received {received}", *place)
                )
        created = [column.name for column in self.columns if column.role is ColumnRole.CREATED_TIMESTAMP]
        if len(created) > 1:
            told = f"at most one column has the role created_timestamp; received {', '.join(created)}"
            mistakes.append(mistake(told, *self._place(created[-1]), "role"))
        for role in (ColumnRole.TARGET, ColumnRole.FEATURE):
            if not any(column.role is role for column in self.columns):
                mistakes.append(mistake(f"at least one column has the role {role}; received none", "columns"))
        mistakes += [
            mistake(
                "an input is read by derived columns, such as `days_between(it, another)`; none reads it: "
                "give it the role ignore",
                *self._place(column.name),
                "role",
            )
            for column in self.columns
            if column.role is ColumnRole.INPUT and column.name not in self._read
        ]
        images = [column.name for column in self.features if column.type is ColumnType.IMAGE]
        others = [column.name for column in self.features if column.type is not ColumnType.IMAGE]
        if images and len(self.features) > 1:
            mistakes.append(
                mistake(
                    "a model of images reads one column, the image; give the others the role ignore; "
                    f"received beside it {', '.join([*images[:-1], *others])}",
                    *self._place(images[-1]),
                    "role",
                )
            )
        if len(self.targets) != 1 or self.targets[0].type is ColumnType.CATEGORY:
            mistakes += [
                mistake(
                    "`expects` goes with one target that has an order: boolean, float or integer",
                    *self._place(column.name),
                    "expects",
                )
                for column in self.columns
                if column.expects is not None and self.targets
            ]
        return mistakes

    def _wrong_expressions(self) -> list[InitErrorDetails]:
        kinds = {
            column.name: _KINDS[column.type]
            for column in self.columns
            if column.is_in_source and column.type in _KINDS
        }
        mistakes = []
        for column in self.columns:
            if column.expression is None:
                continue
            place = (*self._place(column.name), "derived")
            if column.role is ColumnRole.FEATURE:
                mistakes += [mistake(text, *place) for text in self._wrong_feature(column)]
                continue
            if unknown := column.expression.columns - kinds.keys():
                names = ", ".join(sorted(unknown))
                mistakes.append(mistake(f"it reads columns of the source; received {names}", *place))
                continue
            try:
                column.expression.kind(kinds)
            except ValueError as exc:
                mistakes.append(mistake(str(exc), *place))
        return mistakes

    def _wrong_aggregates(self) -> list[InitErrorDetails]:
        taken = {
            column.name: column
            for column in self.features
            if column.is_in_source and (column.type.is_numeric or column.type is ColumnType.BOOLEAN)
        }
        mistakes = []
        for column in self.columns:
            if column.aggregate is None or column.aggregate.of is None:
                continue
            of = taken.get(column.aggregate.of)
            if of is None:
                text = (
                    "it takes a feature of the source that is a number or true or false; "
                    f"received {column.aggregate.of}"
                )
            elif of.sensitive and not column.sensitive:
                text = f"an aggregate of a sensitive column is sensitive; received it of {of.name}"
            else:
                continue
            mistakes.append(mistake(text, *self._place(column.name), "aggregate"))
        return mistakes

    def _wrong_rules(self) -> list[InitErrorDetails]:
        kinds = {column.name: _KINDS[column.type] for column in self.columns if column.type in _KINDS}
        past = {column.name for column in self.aggregates}
        past |= {c.name for c in self.columns if c.expression is not None and c.expression.columns & past}
        return [
            mistake(text, "rules", place, key) for place, key, text in explain_rules(self.rules, kinds, past)
        ]

    def _wrong_feature(self, column: Column) -> list[str]:
        """Say what is wrong with a derived feature's expression."""
        expression = column.expression
        assert expression is not None
        # What a request carries, whether a model is trained or served.
        operands = {one.name: one for one in self._operands if one.type in _KINDS}
        if unknown := sorted(expression.columns - operands.keys()):
            roles = {one.name: f"role={one.role}" for one in self.columns}
            roles |= {one.name: "derived, too" for one in self.columns if one.is_derived_feature}
            told = ", ".join(f"{name} ({roles.get(name, 'no such column')})" for name in unknown)
            return [f"a derived feature reads features of the source, which a request has; received {told}"]
        if not expression.columns:
            return [f"a derived feature reads a column; received {column.derived}"]
        made = [name for name in sorted(expression.columns) if operands[name].generated is not None]
        if made:
            return [f"ingestion makes this column, so that no request has it; received {', '.join(made)}"]
        secret = sorted(name for name in expression.columns if operands[name].sensitive)
        if secret and not column.sensitive:
            return [f"what is derived of a sensitive column is sensitive; received it of {', '.join(secret)}"]
        # It would be filled behind what is derived of it, which training had of 0.
        filled = [name for name in sorted(expression.columns) if operands[name].is_filled_count]
        if filled:
            return [
                f"what is derived of a count needs it: give {filled[0]} missing=reject; "
                f"received missing={operands[filled[0]].missing}"
            ]
        past = [name for name in sorted(expression.columns) if operands[name].aggregate is not None]
        if past and (
            column.missing is MissingPolicy.REJECT or column.on_violation is ViolationPolicy.QUARANTINE
        ):
            return [
                f"rows are set aside before {past[0]} is known, so that `missing` is no reject and "
                f"`on_violation` no quarantine; received missing={column.missing} "
                f"on_violation={column.on_violation}"
            ]
        categories = {name: tuple(one.categories or ()) for name, one in operands.items()}
        try:
            kind = expression.kind({name: _KINDS[one.type] for name, one in operands.items()})
            if kind not in _KINDS_OF_DERIVED[column.type]:
                return [f"it gives {kind}; received type={column.type}"]
            if kind is Kind.TEXT:
                codes = expression.codes(categories)
                if column.categories is not None and set(column.categories) != set(codes):
                    return [
                        f"it gives {', '.join(codes)}; leave `categories` out, or name exactly these; "
                        f"received {', '.join(column.categories)}"
                    ]
                self._with_categories(column, codes)
        except ValueError as exc:
            return [exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else str(exc)]
        return []

    def _with_derived_categories(self) -> tuple[Column, ...]:
        categories = {column.name: tuple(column.categories or ()) for column in self.inputs}
        return tuple(
            self._with_categories(column, column.expression.codes(categories))
            if column.is_derived_feature
            and column.expression is not None
            and column.type is ColumnType.CATEGORY
            and not column.categories
            else column
            for column in self.columns
        )

    @staticmethod
    def _with_categories(column: Column, codes: Iterable[str]) -> Column:
        if column.categories:
            return column
        return Column.model_validate(
            {**column.model_dump(exclude_unset=True), "categories": dict.fromkeys(codes, "")}
        )

    def _place(self, name: str) -> tuple[str, int]:
        """Where the last column of a name stands in the file."""
        return "columns", max(i for i, column in enumerate(self.columns) if column.name == name)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the dictionary's content, by which artifacts name it."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns a model reads, in dictionary order."""
        return tuple(column for column in self.columns if column.role is ColumnRole.FEATURE)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """What a request carries: the features that are not derived, and the dates that derived ones read."""
        return tuple(
            column
            for column in self._operands
            if column.role is not ColumnRole.EVENT_TIMESTAMP or column.name in self._read
        )

    @property
    def stored(self) -> tuple[Column, ...]:
        """What the feature store keeps of each row beside its entity and its time."""
        return tuple(
            column
            for column in self.inputs
            if column.type is not ColumnType.IMAGE and column.role is not ColumnRole.EVENT_TIMESTAMP
        )

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of the inputs that are dates and times."""
        return tuple(column.name for column in self.inputs if column.type is ColumnType.TIMESTAMP)

    @property
    def aggregates(self) -> tuple[Column, ...]:
        """The features that are numbers of an entity's past."""
        return tuple(column for column in self.features if column.aggregate is not None)

    @property
    def created_timestamp(self) -> Column | None:
        """The column that says from when on a row was known, if there is one."""
        found = (column for column in self.columns if column.role is ColumnRole.CREATED_TIMESTAMP)
        return next(found, None)

    @property
    def _operands(self) -> tuple[Column, ...]:
        """The columns that a derived feature may read."""
        roles = (ColumnRole.FEATURE, ColumnRole.INPUT, ColumnRole.EVENT_TIMESTAMP)
        return tuple(column for column in self.columns if column.role in roles and column.derived is None)

    @property
    def _read(self) -> frozenset[str]:
        """Names of the columns that derived features read."""
        expressions = [column.expression for column in self.features if column.expression is not None]
        return frozenset(name for expression in expressions for name in expression.columns)

    @property
    def targets(self) -> tuple[Column, ...]:
        """The columns a model predicts, in dictionary order; most tasks have one."""
        return tuple(column for column in self.columns if column.role is ColumnRole.TARGET)

    @property
    def entity(self) -> Column:
        """The column that identifies what a row is about."""
        return self._the(ColumnRole.ENTITY)

    @property
    def event_timestamp(self) -> Column:
        """The column that says when a row became true."""
        return self._the(ColumnRole.EVENT_TIMESTAMP)

    @property
    def keys(self) -> frozenset[str]:
        """Names of the columns that have no distribution to judge.

        They are the entity, all dates and times, and what is ignored.
        """
        return frozenset(
            column.name
            for column in self.columns
            if column.role in (ColumnRole.ENTITY, ColumnRole.IGNORE) or column.type is ColumnType.TIMESTAMP
        )

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that a model, a key or a target needs: all but the ignored."""
        return tuple(column for column in self.columns if column.role is not ColumnRole.IGNORE)

    @property
    def ruled(self) -> frozenset[str]:
        """Names of the columns that rules read."""
        return frozenset(name for rule in self.rules for name in rule.columns)

    @property
    def ingested(self) -> tuple[Column, ...]:
        """The columns of an ingested dataset: those that are kept, and the ignored that rules read."""
        ruled = self.ruled
        return tuple(c for c in self.columns if c.role is not ColumnRole.IGNORE or c.name in ruled)

    def _the(self, role: ColumnRole) -> Column:
        return next(column for column in self.columns if column.role is role)


def mistake(text: str, *place: str | int) -> InitErrorDetails:
    """A mistake that shows only when the columns are seen together, with its place in the file."""
    return InitErrorDetails(type=PydanticCustomError("value_error", text), loc=place, input=None)


def _list(values: set[Any]) -> str:
    return ", ".join(sorted(str(value) for value in values))
