"""Parts of dates and the days between them: in any zone, on both sides of 1970, as sources write them."""

from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import ZONES

from components.ingest_data.cells import TextCells, read_typed_cell
from components.ingest_data.columns import read_column
from mulgil.contract import Column, DataDictionary
from mulgil.contract.expressions import parse_expression
from mulgil.contract.moments import PARTS, find_zone, fingerprint_zone, seconds_of
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.derived import derive_values
from mulgil.serving.derivation import Derivation

SINCE = Column(name="since", role="input", type="timestamp", missing="keep", description="Since.")
KEYS = [
    {"name": "who", "role": "entity", "type": "integer", "description": "Who."},
    {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
    {"name": "ill", "role": "target", "type": "boolean", "description": "Whether."},
]


def dictionary(*columns, keys=KEYS):
    return DataDictionary.model_validate({"columns": [*keys, *columns]})


def own_zone(name):
    """The zone of the database that is installed with us: the machine's own may be of another year."""
    with resources.files("tzdata").joinpath("zoneinfo", name).open("rb") as file:
        return ZoneInfo.from_file(file)


def derive(text, *moments):
    """Derive of a column `since`, as many rows do."""
    seconds = [np.nan if moment is None else seconds_of(moment) for moment in moments]
    return derive_values(parse_expression(text), {"since": np.array(seconds)}, len(moments)).tolist()


@settings(max_examples=300, deadline=None)
@given(
    st.datetimes(datetime(1900, 1, 2), datetime(2149, 12, 30), timezones=st.just(UTC)),
    st.sampled_from(("UTC", *ZONES)),
)
@example(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "UTC")
@example(datetime(2000, 2, 29, 12, tzinfo=UTC), "Asia/Kathmandu")
@example(datetime(1900, 2, 28, 23, 30, tzinfo=UTC), "Australia/Lord_Howe")
# The hours before and after clocks are changed.
@example(datetime(2024, 3, 31, 0, 59, 59, tzinfo=UTC), "Europe/Paris")
@example(datetime(2024, 3, 31, 1, 0, 0, tzinfo=UTC), "Europe/Paris")
@example(datetime(2024, 10, 27, 0, 59, 59, tzinfo=UTC), "Europe/Paris")
@example(datetime(2024, 10, 27, 1, 0, 0, tzinfo=UTC), "Europe/Paris")
def test_a_part_of_a_date_is_what_the_clocks_and_the_calendar_of_its_zone_show(moment, zone):
    shown = moment.astimezone(UTC if zone == "UTC" else own_zone(zone))
    expected = {
        "hour": shown.hour,
        "weekday": shown.isoweekday(),
        "day": shown.day,
        "day_of_year": pd.Timestamp(shown.date()).dayofyear,
        "month": shown.month,
        "year": shown.year,
    }

    assert {part: derive(f'{part}(since, "{zone}")', moment)[0] for part in PARTS} == expected


def test_days_between_count_real_hours_also_where_clocks_are_changed():
    made = Column(name="made", type="float", derived="days_between(since, at)", description="Made.")
    at = Column(name="at", role="event_timestamp", type="timestamp", description="When.")
    paris = own_zone("Europe/Paris")
    since = datetime(2024, 3, 30, 12, tzinfo=paris).isoformat()

    # At noon of the next day an hour is missing.
    noon = datetime(2024, 3, 31, 12, tzinfo=paris).isoformat()
    found = Derivation(made, [SINCE, at])
    assert found.operands == ("at", "since")
    assert found.compute([noon, since]) == pytest.approx(23 / 24)
    assert found.compute(["1960-01-01", "1960-03-01T06:00:00Z"]) == -60.25
    assert found.compute(["1960-01-01", None]) is None


def test_a_part_as_a_category_has_each_of_its_numbers_as_a_code():
    made = {"name": "made", "type": "category", "description": "Made."}
    since = SINCE.model_dump(exclude_unset=True)
    week = dictionary(since, {**made, "derived": "code(weekday(since))"})
    both = dictionary(since, {**made, "derived": "cross(code(weekday(since)), code(hour(since)))"})

    assert list(week.features[-1].categories) == ["1", "2", "3", "4", "5", "6", "7"]
    assert len(both.features[-1].categories) == 7 * 24
    # The fourth of July 1776 was a Thursday.
    assert derive("code(weekday(since))", datetime(1776, 7, 4, tzinfo=UTC), None) == ["4", ""]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00+00:00"),
        ("2024-01-01 01:30:00+01:30", "2024-01-01T00:00:00+00:00"),
        ("1969-12-31T23:59:59.999999999", "1969-12-31T23:59:59+00:00"),
        ("1850-06-15", "1850-06-15T00:00:00+00:00"),
        ("20240101T000000Z", "2024-01-01T00:00:00+00:00"),
    ],
)
def test_an_input_is_read_to_the_second_from_whatever_iso_8601_writes(text, read):
    found = read_column(SINCE, pa.array([text]), TextCells(frozenset({""})))

    assert [one.isoformat() for one in found.values.to_pylist()] == [read]
    # A request that has it as the source wrote it.
    made = Column(name="made", type="float", derived="year(since)", description="Made.")
    assert Derivation(made, [SINCE]).compute([text]) == float(read[:4])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_a_typed_time_is_read_to_the_second_below_it_also_before_1970(unit, zone):
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = [-1, -factor, -factor - 1, 0, factor + 1, None]
    found = read_column(SINCE, pa.array(counts, pa.timestamp(unit, zone)), read_typed_cell)

    whole = [None if one is None else one // factor for one in counts]
    assert found.values.cast(pa.int64()).to_pylist() == [None if s is None else s * 10**6 for s in whole]


def test_a_time_of_the_event_is_read_to_the_microsecond_below_it():
    at = Column(name="at", role="event_timestamp", type="timestamp", description="When.")
    found = read_column(at, pa.array([-1, 1], pa.timestamp("ns")), read_typed_cell)

    assert found.values.cast(pa.int64()).to_pylist() == [-1, 0]


def test_a_zone_has_its_steps_to_the_second():
    paris = find_zone("Europe/Paris")
    spring = seconds_of(datetime(2024, 3, 31, 1, tzinfo=UTC))
    place = paris.bounds.index(spring)

    assert paris.ahead[place : place + 2] == (3600.0, 7200.0)
    for moment in (datetime(1950, 1, 1, tzinfo=UTC) + timedelta(days=step) for step in range(0, 60_000, 997)):
        assert derive('hour(since, "Africa/Casablanca")', moment) == [
            moment.astimezone(own_zone("Africa/Casablanca")).hour
        ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"derived": "hour(since, 'Mars/Base')"},
            "IANA database, such as Europe/Paris; received 'Mars/Base'",
        ),
        ({"derived": "hour(since, '../etc/passwd')"}, "IANA database"),
        ({"derived": "hour(since, 1)"}, r"hour is written as hour\(time\)"),
        ({"derived": "hour(debt)"}, "takes a column of type timestamp"),
        ({"derived": "since"}, "it gives a date and time; received type=float"),
        ({"derived": "since - at"}, "the operator takes numbers"),
        ({"derived": "days_between(since)"}, r"days_between\(earlier, later\)"),
        ({"derived": "code(debt)", "type": "category"}, r"code\(weekday\(time\)\)"),
        ({"derived": "code(year(since))", "type": "category"}, "at most 1000 codes; received 9999"),
        ({"derived": "debt + 1"}, "none reads it"),
    ],
)
def test_a_wrong_date_is_refused_with_what_is_wrong(changes, told):
    made = {"name": "made", "type": "float", "description": "Made.", **changes}
    debt = {"name": "debt", "type": "float", "description": "Owed."}

    with pytest.raises(ValueError, match=told):
        dictionary(SINCE.model_dump(exclude_unset=True), debt, made)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"type": "float"}, "of role input is one of timestamp"),
        ({"missing": "mean"}, "an input has one of keep, reject"),
        ({"drift": 0.1}, "what is derived of an input"),
        ({"role": "ignore", "missing": "keep"}, "missing=keep goes with role=input"),
    ],
)
def test_an_input_is_a_time_that_is_there_or_kept_missing(changes, told):
    with pytest.raises(ValueError, match=told):
        Column.model_validate({**SINCE.model_dump(exclude_unset=True), **changes})


def test_a_time_that_ingestion_makes_is_no_operand():
    at = {**KEYS[1], "generated": "2024-01-01T00:00:00Z"}
    made = {"name": "made", "type": "float", "derived": "hour(at)", "description": "Made."}

    with pytest.raises(ValueError, match="no request has it; received at"):
        dictionary(made, keys=[KEYS[0], at, KEYS[2]])


def test_the_time_of_the_event_is_sent_where_a_derived_column_reads_it_and_stored_by_no_other_name():
    made = {"name": "made", "type": "float", "derived": "hour(at)", "description": "Made."}
    debt = {"name": "debt", "type": "float", "description": "Owed."}
    read, unread = dictionary(debt, made), dictionary(debt)

    assert [column.name for column in read.inputs] == ["at", "debt"]
    assert [column.name for column in unread.inputs] == ["debt"]
    assert [column.name for column in read.stored] == ["debt"]


def test_an_expression_names_the_zones_whose_clocks_it_reads_and_each_has_a_fingerprint_of_them():
    text = 'cross(code(hour(since, "Europe/Paris")), code(month(at, "Asia/Seoul")), code(weekday(since)))'
    assert parse_expression(text).zones == {"Europe/Paris", "Asia/Seoul"}
    # By a link of the database the same clocks have another name.
    assert fingerprint_zone("Asia/Seoul") == fingerprint_zone("ROK") != fingerprint_zone("Europe/Paris")


def test_a_transform_tells_zones_that_have_changed_and_those_that_are_here_no_longer():
    here = {"Asia/Seoul": fingerprint_zone("Asia/Seoul")}
    fitted = FittedTransform(columns=(), zones={**here, "Europe/Paris": "before", "Asia/Atlantis": "before"})
    assert fitted.changed_zones == ("Europe/Paris", "Asia/Atlantis")
