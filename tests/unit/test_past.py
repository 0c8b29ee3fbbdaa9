"""Aggregates over an entity's past, beside a search row by row, however late and shuffled the rows are."""

from datetime import timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import components.ingest_data.past as past
from components.ingest_data.past import History, aggregate_past
from mulgil.contract import DataDictionary
from mulgil.contract.aggregates import Aggregate, AggregateFunction
from mulgil.contract.load import explain_aggregates
from mulgil.contract.specifications import specify_features, specify_preprocessing
from mulgil.serving import protocol_v1
from mulgil.serving.contract_check import ContractCheck, ContractViolationError
from mulgil.serving.request_schemas import instance_schemas
from mulgil.serving.typed_values import row_types

HOUR = 3_600_000_000
WINDOWS = {"3 hours": 3, "2 days": 48, "30 minutes": 0.5}
AGGREGATES = {
    **{
        f"{function}_{over}": Aggregate(function=function, of="spend", over=over)
        for function in AggregateFunction
        for over in WINDOWS
    },
    "rows": Aggregate(function="count", over="2 days"),
}


def search(history, aggregate):
    """Look at every row for every row."""
    found = []
    known = history.time if history.created is None else history.created
    for row, moment in enumerate(history.time):
        is_past = (history.entity == history.entity[row]) & (history.time < moment)
        is_past &= history.time >= moment - WINDOWS[aggregate.over] * HOUR
        if history.created is not None:
            is_past &= history.created < moment
        places = np.flatnonzero(is_past)
        if aggregate.of is None:
            found.append(len(places))
            continue
        places = places[np.lexsort((places, known[places], history.time[places]))]
        values = pd.Series(history.values["spend"][places]).dropna()
        if aggregate.function == "count":
            found.append(len(values))
        elif not len(values):
            found.append(np.nan)
        elif aggregate.function == "last":
            found.append(values.iloc[-1])
        else:
            found.append(getattr(values, aggregate.function)())
    return np.array(found, float)


@st.composite
def histories(draw):
    rows = draw(st.integers(0, 40))
    chance = np.random.default_rng(draw(st.integers(0, 10**6)))
    time = chance.integers(-100, 100, rows) * HOUR // 2
    # Known at once, in the order of time, by nightly loads, or any time later.
    late = draw(st.sampled_from(["at once", "an hour", "nightly", "any time"]))
    created = {
        "at once": None,
        "an hour": time + HOUR,
        "nightly": (time // (24 * HOUR) + 1) * 24 * HOUR,
        "any time": time + chance.integers(-2, 60, rows) * HOUR // 2,
    }[late]
    spend = chance.normal(size=rows) * 10.0 ** chance.integers(-3, 6, rows)
    spend[chance.random(rows) < 0.2] = np.nan
    return History(chance.integers(0, 3, rows), time, created, {"spend": spend})


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from([7, 1 << 22]))
def test_every_window_of_shuffled_and_late_rows_is_what_a_search_row_by_row_finds(history, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past, "_MOST_WRITTEN_OUT", most)
        found = aggregate_past(history, AGGREGATES)

    for name, aggregate in AGGREGATES.items():
        expected = search(history, aggregate)
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-6, err_msg=name)


def test_small_values_beside_great_ones_are_not_lost():
    values = np.array([1e17, -1e17, 0.25, 0.5, 0.0])
    history = History(np.zeros(5, int), np.arange(5) * HOUR, None, {"spend": values})

    found = aggregate_past(history, {"sum": Aggregate(function="sum", of="spend", over="2 hours")})

    # The running sum of all would have neither of them.
    assert found["sum"][4] == 0.75


KEYS = [
    {"name": "who", "role": "entity", "type": "integer", "description": "Who."},
    {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
    {"name": "ill", "role": "target", "type": "boolean", "description": "Whether."},
    {"name": "spend", "type": "float", "description": "Spent."},
    {"name": "kind", "type": "category", "categories": ["a", "b"], "description": "Kind."},
]
MEAN = {"function": "mean", "of": "spend", "over": "7 days"}


def dictionary(*columns, **changes):
    made = {"name": "made", "type": "float", "missing": "mean", "aggregate": MEAN, "description": "Made."}
    return DataDictionary.model_validate({"columns": [*KEYS, {**made, **changes}, *columns]})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"aggregate": {**MEAN, "of": "ill"}}, "takes a feature of the source.* received ill"),
        ({"aggregate": {**MEAN, "of": "kind"}}, "received kind"),
        ({"aggregate": {**MEAN, "of": "made"}}, "received made"),
        ({"aggregate": {**MEAN, "of": None}}, "`of` names the feature"),
        ({"aggregate": {**MEAN, "over": "a week"}}, "as in 7 days; received 'a week'"),
        ({"aggregate": {**MEAN, "over": "0 days"}}, "as in 7 days"),
        ({"missing": "reject"}, "an entity's first row has no past"),
        ({"type": "integer"}, "an aggregate is a feature of type float"),
        ({"derived": "spend + 1"}, "excludes `derived`"),
        ({"range": [0, 1], "on_violation": "quarantine"}, "before their past is known"),
        ({"source_name": "made"}, "ingestion makes this column"),
    ],
)
def test_a_wrong_aggregate_is_refused_with_what_is_wrong(changes, told):
    with pytest.raises(ValueError, match=told):
        dictionary(**changes)


def test_an_aggregate_of_a_sensitive_column_says_so_and_times_of_knowing_are_one():
    secret = {"name": "pay", "type": "float", "sensitive": True, "description": "Pay."}
    with pytest.raises(ValueError, match="is sensitive; received it of pay"):
        dictionary(secret, aggregate={**MEAN, "of": "pay"})
    known = {"role": "created_timestamp", "type": "timestamp", "description": "Known."}
    with pytest.raises(ValueError, match="at most one column has the role created_timestamp; received a, b"):
        dictionary({**known, "name": "a"}, {**known, "name": "b"})


def test_an_aggregate_is_sent_stored_and_an_operand_like_a_feature_of_the_source():
    ratio = {"name": "ratio", "type": "float", "derived": "spend / made", "description": "Ratio."}
    made = dictionary({**ratio, "missing": "mean"})

    assert [column.name for column in made.inputs] == ["spend", "kind", "made"]
    assert made.inputs == made.stored
    assert [column.name for column in made.columns if not column.is_in_source] == ["made", "ratio"]
    with pytest.raises(ValueError, match=r"before made is known.* received missing=reject"):
        dictionary(ratio)


def test_what_is_derived_of_a_count_is_no_less_known_than_the_count():
    count = {"aggregate": {"function": "count", "over": "7 days"}}
    often = {"name": "often", "type": "float", "derived": "sqrt(made)", "missing": "mean"}
    often |= {"description": "Often."}
    with pytest.raises(ValueError, match="give made missing=reject; received missing=constant"):
        dictionary(often, **count, missing="constant", missing_constant=0)

    # Else a null would be filled with 0, and what is derived of it with a mean that training never had.
    check = ContractCheck(dictionary(often, **count, missing="reject"))
    with pytest.raises(ContractViolationError, match=r"column made: .* a count is 0 where there is no past"):
        check.check({"spend": [1.0], "kind": ["a"], "made": [None]}, 1)


def test_a_request_that_forgets_an_entitys_past_is_refused_and_null_is_none():
    made = dictionary()
    by_name, _ = row_types(made.inputs)
    decoder = msgspec.json.Decoder(by_name)

    assert decoder.decode(b'{"spend": 1, "kind": "a", "made": null}').made is None
    with pytest.raises(msgspec.ValidationError, match="made"):
        decoder.decode(b'{"spend": 1, "kind": "a"}')
    body = protocol_v1.PredictRequest(instances=[{"spend": 1, "made": None}, {"spend": 1}])
    always = {column.name for column in made.aggregates}
    with pytest.raises(ContractViolationError, match="instance 1, column made: expected a number"):
        protocol_v1.read_columns(body, [column.name for column in made.inputs], always=always)
    assert "made" in instance_schemas(made.inputs, made.entity)["InstanceByColumn"]["required"]


@pytest.mark.parametrize(("kind", "is_refused"), [("stratified", True), ("random", True), ("group", False)])
def test_rows_are_not_divided_so_that_training_rows_look_at_test_rows(kind, is_refused):
    told = explain_aggregates(kind, dictionary())

    assert (told is not None) == is_refused
    assert explain_aggregates(kind, DataDictionary.model_validate({"columns": KEYS})) is None


def test_an_aggregate_of_another_function_column_window_or_time_of_knowing_is_stored_apart():
    known = {"name": "known", "role": "created_timestamp", "type": "timestamp", "description": "Known."}
    paid = {"name": "paid", "type": "float", "description": "Paid."}
    others = [
        dictionary(paid),
        dictionary(paid, aggregate={**MEAN, "function": "sum"}),
        dictionary(paid, aggregate={**MEAN, "of": "paid"}),
        dictionary(paid, aggregate={**MEAN, "over": "300 days"}),
        dictionary(paid, known),
    ]

    assert len({specify_features(other).version for other in others}) == len(others)
    same = dictionary(paid, aggregate={**MEAN, "over": "1 week"}, description="Other words.")
    assert specify_features(same).version == specify_features(others[0]).version


COUNT = {"function": "count", "over": "7 days"}


@pytest.mark.parametrize(
    "filling",
    [
        {"missing": "mean"},
        {"missing": "median"},
        {"missing": "most_frequent"},
        {"missing": "constant", "missing_constant": 1},
    ],
)
def test_a_count_is_not_filled_with_what_is_not_nothing(filling):
    with pytest.raises(ValueError, match=r"a count is 0 where there is no past.* received missing="):
        dictionary(aggregate=COUNT, **filling)


def test_a_request_without_a_count_is_refused_with_what_to_send_or_means_0():
    row = {"spend": [1.0], "kind": ["a"], "made": [None]}
    with pytest.raises(ContractViolationError, match=r"column made: .* a count is 0 where there is no past"):
        ContractCheck(dictionary(aggregate=COUNT, missing="reject")).check(row, 1)
    filled = dictionary(aggregate=COUNT, missing="constant", missing_constant=0)
    (made,) = (column for column in specify_preprocessing(filled).columns if column.name == "made")

    assert ContractCheck(filled).check(row, 1)["made"] == [None]
    assert made.constant == 0


def test_a_window_is_as_long_as_it_says():
    windows = {"90 minutes": timedelta(minutes=90), "1 hour": timedelta(hours=1), "2 weeks": timedelta(14)}
    for text, length in windows.items():
        assert Aggregate(function="count", over=text).window == length
