"""Every family, task and missing policy, and every operation that the contract lets a column be derived by.

Nothing here names an operation or a policy: both are read from the contract, and what an operation takes is
found by asking the contract what it accepts. What is new there is in the matrix of itself. What else changes
a model's numbers (calibration, a quantile, a choice of features, scaling, outliers) is dealt out among the
cases, so that every two of them meet without a case more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fitted_families import check_served_as_fitted
from learning_project import TARGETS, LearningProject, project, write_rows
from pydantic import ValidationError

from mulgil.artifacts import SPLITS, FeatureServiceReference
from mulgil.contract import Column, ColumnType, DataDictionary, MissingPolicy, ProjectFolder, Task
from mulgil.contract.dictionary import OutlierPolicy, Scaling
from mulgil.contract.expressions import OPERATIONS, Kind, parse_expression
from mulgil.contract.learning import QUANTILE_FAMILIES, Family, Training
from mulgil.contract.project import Project
from mulgil.contract.specifications import specify_features
from mulgil.preprocessing.rows import derive_array

FAMILIES = tuple(family for family in Family if family is not Family.AUTO)
CODES = ("low", "3", "é", "물길")

# Operands of every kind, columns first: what an operation can take of these it is tried with.
_INPUTS = (
    ("length", ColumnType.FLOAT),
    ("width", ColumnType.FLOAT),
    ("count", ColumnType.INTEGER),
    ("truth", ColumnType.BOOLEAN),
    ("fact", ColumnType.BOOLEAN),
    ("colour", ColumnType.CATEGORY),
    ("shape", ColumnType.CATEGORY),
)
_KEYS = (
    {"name": "key", "role": "entity", "type": "integer", "description": "Who."},
    {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
)
# Of no use to a model but through what is derived of it, so that it is there where something is.
_SINCE = {"name": "since", "role": "input", "type": "timestamp", "missing": "keep", "description": "Since."}
# An input like others once ingestion has made it.
_PAST = {
    "name": "past",
    "type": "float",
    "aggregate": {"function": "mean", "of": "length", "over": "7 days"},
    "description": "Past.",
}
_OPERANDS = (*(name for name, _ in _INPUTS), "at", "since", "4.5", '"3"')
_KIND_OF_TYPE = {
    ColumnType.FLOAT: Kind.NUMBER,
    ColumnType.INTEGER: Kind.NUMBER,
    ColumnType.BOOLEAN: Kind.TRUTH,
    ColumnType.CATEGORY: Kind.TEXT,
}
_NUMBERS = (ColumnType.FLOAT, ColumnType.INTEGER)
_KINDS_OF = {**{name: _KIND_OF_TYPE[kind] for name, kind in _INPUTS}, "at": Kind.MOMENT, "since": Kind.MOMENT}
_TYPES_MADE = {
    Kind.NUMBER: ColumnType.FLOAT,
    Kind.TRUTH: ColumnType.BOOLEAN,
    Kind.TEXT: ColumnType.CATEGORY,
}
_TARGET = {"name": "answer", "role": "target", "type": "boolean", "description": "Whether."}
# Of a column that cannot have a policy.
_FALLBACK = "most_frequent"
_CALIBRATIONS = tuple(
    method for part in get_args(Training.model_fields["calibration"].annotation) for method in get_args(part)
)
_QUANTILE = 0.8
# What scikit-learn says of numbers that are not scaled; how well they are fitted is not what is compared.
UNSCALED = ("ignore:lbfgs failed to converge", "ignore:Singular matrix in solving dual problem")


@dataclass(frozen=True)
class Way:
    """One way to derive a column.

    Attributes:
        operation: Of the contract.
        expression: That uses it.
        type: What it gives.
    """

    operation: str
    expression: str
    type: ColumnType


@dataclass(frozen=True)
class Options:
    """What else changes the numbers of a case.

    Attributes:
        calibration: How probabilities are mapped, if at all.
        quantile: What is fitted to, if not the mean.
        is_selected: Whether the model reads some features only.
        scaling: Of every number.
        outliers: Of every number.
    """

    calibration: str | None = None
    quantile: float | None = None
    is_selected: bool = False
    scaling: Scaling = Scaling.STANDARD
    outliers: OutlierPolicy = OutlierPolicy.KEEP

    @property
    def factors(self) -> tuple[object, ...]:
        """What must meet each other, and what the case is of."""
        return tuple(vars(self).items())


@dataclass(frozen=True)
class Case:
    """What is fitted and served.

    Attributes:
        family: The kind of model.
        task: What it predicts.
        policy: Of every column that can have it.
        ways: How columns are derived.
        options: What else it has.
    """

    family: Family
    task: Task
    policy: MissingPolicy
    ways: tuple[Way, ...]
    options: Options = Options()

    @property
    def factors(self) -> tuple[object, ...]:
        """What must meet each other, and each way."""
        return self.family, self.task, self.policy

    def __str__(self) -> str:
        return "-".join(map(str, self.factors))


@cache
def every_way() -> tuple[Way, ...]:
    """Give every operation by every kind of operand that it can take first.

    Raises:
        AssertionError: The contract has an operation that takes none of the operands here.
    """
    found: dict[str, list[Way]] = {operation: [] for operation in OPERATIONS}
    operands: tuple[str, ...] = _OPERANDS
    # An operation may only take what another one gives.
    for _ in range(2):
        for operation in (one for one, ways in found.items() if not ways):
            found[operation] = _ways(operation, operands)
        operands = (*_OPERANDS, *(ways[0].expression for ways in found.values() if ways))
    unused = [operation for operation, ways in found.items() if not ways]
    assert not unused, (
        f"no column here can be derived by {', '.join(unused)}: give the matrix an operand for it"
    )
    return tuple(way for ways in found.values() for way in ways)


def _ways(operation: str, operands: tuple[str, ...]) -> list[Way]:
    ways: dict[tuple[ColumnType, ...], Way] = {}
    for first in operands:
        texts = [_write(operation, first), *(_write(operation, first, other) for other in operands)]
        accepted = [text for text in texts if text is not None and _type_of(text) is not None]
        # With another operand it is of more use than with the same twice.
        accepted.sort(key=lambda text: text.count(first) > 1)
        for text in accepted[:1]:
            made = _type_of(text)
            assert made is not None
            ways.setdefault(_types_in(text), Way(operation, text, made))
    return [*ways.values()]


def _write(operation: str, *operands: str) -> str | None:
    if operation.isidentifier() and operation not in ("and", "or", "not"):
        return f"{operation}({', '.join(operands)})"
    if operation == "not":
        return f"not {operands[0]}" if len(operands) == 1 else None
    return f"{operands[0]} {operation} {operands[1]}" if len(operands) == 2 else None


def _types_in(text: str) -> tuple[ColumnType, ...]:
    """Return the types of the columns in an expression: what tells two uses of an operation apart."""
    return tuple(
        kind
        for name, kind in (*_INPUTS, *((one, ColumnType.TIMESTAMP) for one in ("at", "since")))
        if name in text
    )


@cache
def _type_of(text: str) -> ColumnType | None:
    """Return what an expression gives; `None` where the contract does not accept it."""
    try:
        expression = parse_expression(text)
        made = _TYPES_MADE.get(expression.kind(_KINDS_OF))
        if made is None:
            return None
        column = {"name": "made", "type": made, "derived": text, "missing": _FALLBACK, "description": "Made."}
        DataDictionary.model_validate(
            {"columns": [*_columns(MissingPolicy.REJECT), *_moments([column]), column, _TARGET]}
        )
    except (ValueError, KeyError):
        # Nor does it, where an operand is no column.
        return None
    return made


def _moments(made: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return [_SINCE] if any("since" in str(column.get("derived")) for column in made) else []


def _columns(policy: MissingPolicy) -> list[dict[str, object]]:
    return [*_of_source(policy), _with_policy(_PAST, policy)]


def _of_source(policy: MissingPolicy) -> list[dict[str, object]]:
    described = [
        {
            "name": name,
            "type": kind,
            "description": "Any.",
            **({"categories": list(CODES)} if kind is ColumnType.CATEGORY else {}),
        }
        for name, kind in _INPUTS
    ]
    return [*_KEYS, *(_with_policy(column, policy) for column in described)]


def _with_policy(column: dict[str, object], policy: MissingPolicy) -> dict[str, object]:
    """Return the column with a policy, or another where it cannot have that."""
    constant = {
        ColumnType.FLOAT: -2.5,
        ColumnType.INTEGER: 7,
        ColumnType.BOOLEAN: True,
        ColumnType.CATEGORY: CODES[1],
    }[ColumnType(str(column["type"]))]
    if policy is MissingPolicy.CONSTANT and column["type"] == ColumnType.CATEGORY and "derived" in column:
        named = {**column, "missing": _FALLBACK}
        dictionary = DataDictionary.model_validate(
            {"columns": [*_columns(MissingPolicy.REJECT), *_moments([named]), named, _TARGET]}
        )
        constant = next(
            iter(next(c for c in dictionary.features if c.name == column["name"]).categories or ())
        )
    given = {**column, "missing": policy}
    if policy is MissingPolicy.CONSTANT:
        given["missing_constant"] = constant
    is_made = not column.keys().isdisjoint({"derived", "aggregate"})
    plain = [*_of_source(MissingPolicy.REJECT), *_moments([column])] if is_made else [*_KEYS]
    try:
        DataDictionary.model_validate({"columns": [*plain, given, _TARGET]})
    except ValidationError:
        return {**column, "missing": _FALLBACK}
    return given


def every_case() -> list[Case]:
    """Give every family on every task with every policy that a feature can have, each with every way."""
    return _deal_options([Case(*factors, every_way()) for factors in product(FAMILIES, Task, policies())])


def _deal_options(cases: Sequence[Case]) -> list[Case]:
    """Give each case the options that bring the most of what has not met so far."""
    unmet = {pair for case in cases for options in possible_options(case) for pair in meetings(case, options)}
    dealt = []
    for case in cases:
        best = max(
            possible_options(case), key=lambda options: len(unmet.intersection(meetings(case, options)))
        )
        unmet.difference_update(meetings(case, best))
        dealt.append(replace(case, options=best))
    return dealt


def possible_options(case: Case) -> list[Options]:
    """Give every option that a case can have."""
    calibrations = (None, *_CALIBRATIONS) if case.task.is_classification else (None,)
    is_of_quantile = not case.task.is_classification and case.family in QUANTILE_FAMILIES
    quantiles = (None, _QUANTILE) if is_of_quantile else (None,)
    return [
        Options(*values) for values in product(calibrations, quantiles, (False, True), Scaling, OutlierPolicy)
    ]


def meetings(case: Case, options: Options) -> set[tuple[object, ...]]:
    """Give every two that meet by a case's options, of which one at least is an option."""
    own = options.factors
    return {*combinations(own, 2), *product(case.factors, own)}


def policies() -> tuple[MissingPolicy, ...]:
    """Give every policy that some feature can have."""
    return tuple(
        policy
        for policy in MissingPolicy
        if any(column.get("missing") == policy for column in _columns(policy))
    )


def pairwise_cases() -> list[Case]:
    """Give few cases in which every two of family, task, policy and way meet."""
    every = [case.factors for case in every_case()]
    rest = {pair for factors in every for pair in combinations(factors, 2)}
    chosen = []
    while rest:
        best = max(every, key=lambda factors: len(rest.intersection(combinations(factors, 2))))
        rest.difference_update(combinations(best, 2))
        chosen.append(best)
    of_case: dict[tuple[object, ...], list[Way]] = {factors: [] for factors in chosen}
    for way in every_way():
        unmet = {one for factors in chosen for one in factors}
        while unmet:
            # Of cases that bring as much, the one that has the fewest ways so far.
            best = max(chosen, key=lambda factors: (len(unmet.intersection(factors)), -len(of_case[factors])))
            unmet.difference_update(best)
            of_case[best].append(way)
    return _deal_options([Case(*factors, tuple(of_case[factors])) for factors in chosen])


def write_case_project(root: Path, case: Case) -> LearningProject:
    """Write a case's rows, with its policy for every column, and a column derived in each of its ways."""
    task, policy = case.task, case.policy
    made = [
        {"name": f"made_{place}", "type": way.type, "derived": way.expression, "description": "Made."}
        for place, way in enumerate(case.ways)
    ]
    described = Project.model_validate(project(task=task, gates={}))
    drawn = _dictionary(case, [{**column, "missing": _FALLBACK} for column in made])
    for seed, split in enumerate(SPLITS):
        path = root / "rows" / f"{split}.parquet"
        write_rows(path, ProjectFolder(root, described, drawn), rows=120, seed=seed)
        if policy.is_value_required:
            _make_positive(path, drawn)
    values = _share_of_values(root / "rows" / "train.parquet", drawn)
    dictionary = _dictionary(
        case,
        [
            # Whoever requires a value requires one that most rows have.
            {**column, "missing": _FALLBACK}
            if policy.is_value_required and values[str(column["name"])] < 0.8
            else _with_policy(column, policy)
            for column in made
        ],
    )
    if policy is MissingPolicy.REJECT:
        for split in SPLITS:
            _keep_whole(root / "rows" / f"{split}.parquet", dictionary)
    FeatureServiceReference(
        name="matrix",
        project="tests",
        store_version="1",
        online_store="nowhere",
        entity="key",
        features=tuple(feature.name for feature in specify_features(dictionary).features),
    ).write(root / "feature_service.json")
    folder = ProjectFolder(root, described, dictionary)
    return LearningProject(folder, root / "rows", root / "feature_service.json")


def check_case(case: Case, root: Path) -> None:
    """Fit and export a case's model; what is served must answer as it."""
    options = case.options
    check_served_as_fitted(
        write_case_project(root, case),
        case.family,
        root / "bundle",
        options.calibration,
        quantile=options.quantile,
        is_selected=options.is_selected,
        is_explained=False,
    )


def _dictionary(case: Case, made: list[dict[str, object]]) -> DataDictionary:
    targets = ({**target, "role": "target", "description": "What."} for target in TARGETS[case.task])
    features = [*_columns(case.policy), *_moments(made), *made]
    of_numbers = {"scaling": case.options.scaling, "outliers": case.options.outliers}
    scaled = [
        {**column, **of_numbers} if column["type"] in _NUMBERS and "role" not in column else column
        for column in features
    ]
    return DataDictionary.model_validate({"columns": [*scaled, *targets]})


def _make_positive(path: Path, dictionary: DataDictionary) -> None:
    """Give every number a logarithm, so that what requires one leaves rows to learn from."""
    table = pq.read_table(path)
    for column in dictionary.inputs:
        if column.type.is_numeric:
            positive = pc.add(pc.abs(table[column.name]), 1).cast(table[column.name].type)
            table = table.set_column(table.schema.get_field_index(column.name), column.name, positive)
    pq.write_table(table, path)


def _derive(table: pa.Table, dictionary: DataDictionary) -> Iterator[tuple[Column, pa.Array]]:
    for column in dictionary.features:
        if column.expression is not None:
            operands = {name: table[name] for name in column.expression.columns}
            yield column, derive_array(column.expression, operands, len(table))


def _share_of_values(path: Path, dictionary: DataDictionary) -> dict[str, float]:
    table = pq.read_table(path)
    return {column.name: 1 - made.null_count / len(table) for column, made in _derive(table, dictionary)}


def _keep_whole(path: Path, dictionary: DataDictionary) -> None:
    """Leave out the rows in which a derived column lacks a required value, as ingestion does."""
    table = pq.read_table(path)
    is_whole = pa.array([True] * len(table))
    for column, made in _derive(table, dictionary):
        if column.missing is MissingPolicy.REJECT:
            is_whole = pc.and_(is_whole, pc.is_valid(made))
    pq.write_table(table.filter(is_whole), path)
