"""Any small table, streamed to training rows in small batches, against pandas and Python on the whole of it.

The other side shares no code with ours: it reads the dictionary, and computes with pandas, scikit-learn's
split and Python's own `eval`.
"""

import ast
import math
import random
import shutil
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import ARROW_TYPES
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from strategies import dictionaries_with_derived, values

import components.ingest_data.dataset as dataset
import components.ingest_data.parquet_source as parquet_source
from components.ingest_data.core import ingest_data
from components.train_model.fit_transform import fit_transform
from mulgil.artifacts import SPLITS
from mulgil.contract import ColumnRole, ColumnType, MissingPolicy, load_project
from mulgil.contract.dictionary import Column, DataDictionary, OutlierPolicy, Scaling
from mulgil.contract.specifications import specify_preprocessing
from mulgil.errors import InputError
from mulgil.preprocessing import TransformExecutor
from mulgil.preprocessing.rows import read_rows

PROJECT = """\
name: streamed
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: parquet, location: rows.parquet}
split: {kind: KIND, seed: SEED}
"""
ROWS = 60
SPLIT_COLUMN = Column(
    name="part_of", role=ColumnRole.IGNORE, type=ColumnType.TEXT, description="Which split."
)
GREATEST_FLOAT32, LEAST_FLOAT32 = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


@st.composite
def tables(draw):
    """A dictionary, and rows of its columns of which some lack values and some are there twice."""
    drawn = draw(dictionaries_with_derived())
    assume(all(column.name.lower() != SPLIT_COLUMN.name for column in drawn.columns))
    dictionary = DataDictionary(columns=(*drawn.columns, SPLIT_COLUMN))
    chance = random.Random(draw(st.integers(0, 10**6)))
    pools = {
        column.name: draw(st.lists(values(column), min_size=2, max_size=6))
        for column in dictionary.columns
        if column.role in (ColumnRole.FEATURE, ColumnRole.INPUT, ColumnRole.IGNORE) and column.is_in_source
    }
    missing = draw(st.sampled_from((0.0, 0.1)))
    rows = [
        {column.name: cell(column, number, pools, missing, chance) for column in in_source(dictionary)}
        for number in range(ROWS)
    ]
    rows += [dict(chance.choice(rows)) for _ in range(draw(st.integers(0, 5)))]
    chance.shuffle(rows)
    return dictionary, rows


def cell(column, number, pools, missing, chance):
    match column.role:
        case ColumnRole.ENTITY:
            who = number // 2
            return who if column.type is ColumnType.INTEGER else f"p{who}"
        case ColumnRole.EVENT_TIMESTAMP:
            return datetime(2024, 1, 1, tzinfo=UTC) + (number % 20) * timedelta(days=1)
        case ColumnRole.TARGET:
            return number % 3 == 0
    if column.name == SPLIT_COLUMN.name:
        return SPLITS[number % 3]
    return None if chance.random() < missing else chance.choice(pools[column.name])


def in_source(dictionary):
    return [column for column in dictionary.columns if column.is_in_source]


class Quoting(yaml.SafeDumper):
    """Writes text in quotes, since a code such as 1e3 would be a number without them."""


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"'))


def write_project(folder, dictionary, rows, kind, seed):
    split = f"{kind}, column: {SPLIT_COLUMN.name}" if kind == "predefined" else kind
    (folder / "project.yaml").write_text(PROJECT.replace("KIND", split).replace("SEED", str(seed)))
    content = dictionary.model_dump(mode="json", exclude_unset=True)
    (folder / "data_dictionary.yaml").write_text(yaml.dump(content, Dumper=Quoting), encoding="utf-8")
    schema = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in in_source(dictionary)])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "rows.parquet", row_group_size=16)


def ingest(folder):
    for name in ("dataset", "quarantine"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return ingest_data(
        project_path=folder, source="", dataset_path=folder / "dataset", quarantine_path=folder / "quarantine"
    )


def derive(column, row):
    """Evaluate an expression as Python does, of float32's numbers; nothing where an operand is missing."""
    tree = ast.fix_missing_locations(_Strict().visit(ast.parse(column.derived, mode="eval")))
    names = {node.id for node in ast.walk(ast.parse(column.derived)) if isinstance(node, ast.Name)}
    operands = {name: row[name] for name in names if name in row}
    if any(pd.isna(value) for value in operands.values()):
        return None
    operands = {n: operand(v) for n, v in operands.items()}
    try:
        found = eval(compile(tree, "", "eval"), {**FUNCTIONS, **operands})  # noqa: S307 - our own strategies wrote it
    except (ArithmeticError, ValueError):
        return None
    if isinstance(found, str):
        return found
    return single(found) if abs(found) <= GREATEST_FLOAT32 else None


def operand(value):
    if isinstance(value, datetime):
        return pd.Timestamp(value).floor("s")
    return value if isinstance(value, str | bool) else single(value)


def single(number):
    """Return a number as the model's graph has it: float32, in which what is less than normal is zero."""
    rounded = float(np.float32(number))
    return rounded if abs(rounded) >= LEAST_FLOAT32 else 0.0


class _Strict(ast.NodeTransformer):
    """Makes `and` and `or` look at both sides, so that neither hides what has no value."""

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        name = "all_of" if isinstance(node.op, ast.And) else "any_of"
        return ast.Call(ast.Name(name, ast.Load()), node.values, [])


def bucket(number, *bounds):
    if number < bounds[0]:
        return f"under {bounds[0]:g}"
    for low, high in pairwise(bounds):
        if number < high:
            return f"{low:g} to {high:g}"
    return f"{bounds[-1]:g} or more"


def on_the_clock(moment, zone="UTC"):
    # Not the machine's own database, which may be of another year.
    with resources.files("tzdata").joinpath("zoneinfo", zone).open("rb") as file:
        return moment.to_pydatetime().astimezone(ZoneInfo.from_file(file))


FUNCTIONS = {
    "hour": lambda *moment: on_the_clock(*moment).hour,
    "weekday": lambda *moment: on_the_clock(*moment).isoweekday(),
    "day": lambda *moment: on_the_clock(*moment).day,
    "day_of_year": lambda *moment: pd.Timestamp(on_the_clock(*moment).date()).dayofyear,
    "month": lambda *moment: on_the_clock(*moment).month,
    "year": lambda *moment: on_the_clock(*moment).year,
    "days_between": lambda earlier, later: (later - earlier) / pd.Timedelta(days=1),
    "code": str,
    "bucket": bucket,
    "cross": lambda *codes: " & ".join(codes),
    "log": math.log,
    "sqrt": math.sqrt,
    "all_of": lambda *truths: all(truths),
    "any_of": lambda *truths: any(truths),
}


def clean(dictionary, rows):
    """Return the whole table's rows that are kept, in order, and how many are set aside and repeated."""
    frame = pd.DataFrame(rows, columns=[column.name for column in in_source(dictionary)], dtype=object)
    for column in dictionary.features:
        if column.is_derived_feature:
            frame[column.name] = pd.Series([derive(column, row) for row in rows], dtype=object)
    for column in dictionary.inputs:
        if column.role is ColumnRole.INPUT:
            frame[column.name] = frame[column.name].map(operand, na_action="ignore")
    needed = [c.name for c in (*dictionary.features, *dictionary.inputs) if c.missing is MissingPolicy.REJECT]
    sound = frame.dropna(subset=needed)
    kept = sound.drop_duplicates([column.name for column in in_source(dictionary)], ignore_index=True)
    return kept, len(frame) - len(sound), len(sound) - len(kept)


def divide(dictionary, frame, kind, seed):
    """Return each split's rows, as pandas and scikit-learn divide the whole table; not for kind group."""
    target = frame[dictionary.targets[0].name]
    if kind == "predefined":
        return {split: frame[frame[SPLIT_COLUMN.name] == split] for split in SPLITS}
    if kind == "time":
        times = frame[dictionary.event_timestamp.name]
        in_order = times.sort_values(ignore_index=True)
        is_test = times >= in_order[round(len(frame) * 0.8)]
        is_train = times < in_order[round(len(frame) * 0.6)]
        return {
            "train": frame[is_train],
            "validation": frame[~is_train & ~is_test],
            "test": frame[is_test],
        }
    size, parts, rest = round(len(frame) / 5), {}, frame
    for split in ("test", "validation"):
        by = target[rest.index].astype(bool) if kind == "stratified" else None
        rest, part = train_test_split(rest, test_size=size, random_state=seed, stratify=by)
        parts[split] = part.sort_index()
    return {"train": rest.sort_index(), **parts}


def encode(dictionary, fitted_on, frame):
    """Fill, clip, scale and one-hot encode a frame by what pandas learns of another."""
    return np.concatenate(
        [
            encode_codes(column, fitted_on[column.name], frame[column.name])
            if column.type is ColumnType.CATEGORY
            else encode_numbers(column, as_numbers(fitted_on[column.name]), as_numbers(frame[column.name]))
            for column in dictionary.features
        ],
        axis=1,
    )


def as_numbers(column):
    return column.astype(float).astype(np.float32).astype(float)


def encode_numbers(column, fitted_on, numbers):
    constant = float(np.float32(column.missing_constant)) if column.missing_constant is not None else None
    low, high = -math.inf, math.inf
    if column.outliers is OutlierPolicy.CLIP:
        lower, upper = fitted_on.quantile(0.25), fitted_on.quantile(0.75)
        low, high = lower - 3 * (upper - lower), upper + 3 * (upper - lower)
        if lower == upper:
            low, high = fitted_on.min(), fitted_on.max()
        if constant is not None:
            low, high = min(low, float(column.missing_constant)), max(high, float(column.missing_constant))
        low, high = float(np.float32(low)), float(np.float32(high))
    fitted_on = fitted_on.clip(low, high)
    fill = {
        MissingPolicy.MEAN: fitted_on.mean,
        MissingPolicy.MEDIAN: fitted_on.median,
        MissingPolicy.MOST_FREQUENT: lambda: fitted_on.mode()[0],
        MissingPolicy.CONSTANT: lambda: constant,
    }.get(column.missing, lambda: None)()
    filled = fitted_on if fill is None else fitted_on.fillna(fill)
    offset, size = {
        Scaling.NONE: lambda: (0.0, 1.0),
        Scaling.MIN_MAX: lambda: (filled.min(), filled.max() - filled.min()),
        Scaling.ROBUST: lambda: (filled.median(), filled.quantile(0.75) - filled.quantile(0.25)),
        Scaling.STANDARD: lambda: (filled.mean(), filled.std(ddof=0)),
    }[column.scaling]()
    # In which nothing varies it is centred, and a spread of nothing is replaced by the deviation.
    if column.scaling is not Scaling.NONE:
        if filled.nunique() == 1 or filled.std(ddof=0) < 1e-31:
            offset, size = filled.iloc[0], 1.0
        elif size < 1e-31:
            size = filled.std(ddof=0)
    seen = numbers if fill is None else numbers.fillna(fill)
    seen = seen.astype(np.float32).clip(np.float32(low), np.float32(high))
    return ((seen - np.float32(offset)) * np.float32(1 / size)).to_numpy(np.float32)[:, None]


def encode_codes(column, fitted_on, codes):
    fill = {
        MissingPolicy.NEW_CATEGORY: "(missing)",
        MissingPolicy.CONSTANT: column.missing_constant,
    }.get(column.missing)
    if column.missing is MissingPolicy.MOST_FREQUENT:
        counts = fitted_on.value_counts()
        fill = next(code for code in column.categories if counts.get(code, 0) == counts.max())
    known = [*column.categories, "(missing)"]
    there = set(fitted_on if fill is None else fitted_on.fillna(fill))
    seen = codes if fill is None else codes.fillna(fill)
    kinds = pd.CategoricalDtype([code for code in known if code in there])
    return pd.get_dummies(seen.astype(kinds)).to_numpy(np.float32)


# A failure is told as it was drawn: making a table of sixty rows less takes minutes.
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    tables(),
    st.sampled_from(["random", "stratified", "group", "time", "predefined"]),
    st.integers(0, 3),
    st.integers(1, 40),
)
def test_a_streamed_table_is_cleaned_derived_divided_and_encoded_as_pandas_does_it_whole(
    tmp_path, table, kind, seed, size
):
    dictionary, rows = table
    frame, aside, repeated = clean(dictionary, rows)
    write_project(tmp_path, dictionary, rows, kind, seed)
    dictionary = load_project(tmp_path).dictionary
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parquet_source, "BATCH_ROWS", size)
            patch.setattr(dataset, "_GROUP_ROWS", size + 3)
            manifest = ingest(tmp_path)
    except InputError as exc:
        # Nearly all rows lack something that is needed.
        assume("few rows" not in str(exc) and "No row" not in str(exc) and "nothing to learn" not in str(exc))
        raise

    assert (manifest.rows_quarantined, manifest.rows_deduplicated) == (aside, repeated)
    whole = ingest(tmp_path)
    assert whole == manifest
    found = {s: pq.read_table(tmp_path / "dataset" / f"{s}.parquet") for s in SPLITS}
    parts = divide(dictionary, frame, kind, seed) if kind != "group" else by_entity(dictionary, frame, found)
    for split, part in parts.items():
        assert found[split].num_rows == len(part)
        for column in dictionary.kept:
            read, wanted = found[split][column.name].to_pylist(), part[column.name].tolist()
            assert [None if pd.isna(value) else value for value in wanted] == read, column
    assert_it_is_encoded_as_pandas_does(tmp_path / "dataset", dictionary, parts)


def by_entity(dictionary, frame, found):
    """Return what pandas has of the entities that each split has, none of which is in two."""
    name = dictionary.entity.name
    whose = {split: set(table[name].to_pylist()) for split, table in found.items()}
    assert sum(map(len, whose.values())) == frame[name].nunique()
    return {split: frame[frame[name].isin(whose[split])] for split in SPLITS}


def assert_it_is_encoded_as_pandas_does(path, dictionary, parts):
    dropped = [c.name for c in dictionary.features if c.missing is MissingPolicy.DROP_ROW]
    try:
        rows = {split: read_rows(path, split, dictionary) for split in SPLITS}
        transform = fit_transform(specify_preprocessing(dictionary), rows["train"].tensors)
    except InputError as exc:
        assume("too few rows" not in str(exc) and "no value in any row" not in str(exc))
        raise
    kept = {split: part.dropna(subset=dropped) for split, part in parts.items()}
    for split in SPLITS:
        assert rows[split].left_out == len(parts[split]) - len(kept[split])
        assert rows[split].target.tolist() == kept[split][dictionary.targets[0].name].tolist()
        encoded = TransformExecutor(transform).apply(rows[split].tensors)
        expected = encode(dictionary, kept["train"], kept[split])
        # A great offset leaves few of float32's digits, on both sides alike.
        np.testing.assert_allclose(encoded, expected, rtol=1e-4, atol=1e-4)
