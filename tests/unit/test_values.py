from datetime import UTC, datetime, timedelta, timezone

import pytest

from mulgil.contract import Column
from mulgil.contract.values import ValueMismatchError, check_domain, describe_range, read_json, read_text

NAN, INFINITY = float("nan"), float("inf")
MIDNIGHT = datetime(2024, 1, 31, tzinfo=UTC)


def column(type_: str, **rest) -> Column:
    if type_ == "category":
        rest = {"categories": {"3": "normal", "7": "defect", "a": ""}, **rest}
    role = "ignore" if type_ in ("text", "timestamp") else "feature"
    return Column(name="x", type=type_, role=role, description="d", **rest)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("float", "2.30", 2.3),
        ("float", " -1e3 ", -1000.0),
        ("float", "nan", None),
        ("integer", "63.0", 63),
        ("integer", "1e3", 1000),
        ("integer", "9007199254740991", 9007199254740991),
        ("boolean", "1.0", True),
        ("boolean", "No", False),
        ("boolean", "TRUE", True),
        ("category", "3.0", "3"),
        ("category", "3", "3"),
        ("category", " a ", "a"),
        ("category", "4.0", "4"),
        ("category", "b", "b"),
        ("category", "nan", "nan"),
        ("category", "1_0", "1_0"),
        ("text", " 007 ", "007"),
        ("timestamp", "2024-01-31", MIDNIGHT),
        ("timestamp", "2024-01-31T09:00:00+09:00", MIDNIGHT),
        ("timestamp", "2024-01-31T00:00:00Z", MIDNIGHT),
    ],
)
def test_a_cell_of_text_is_read(type_, text, value):
    read = read_text(column(type_), text)
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("float", "abc"),
        ("float", ""),
        ("float", "1,5"),
        ("float", "inf"),
        ("float", "1e999"),
        ("float", "1_000"),
        ("integer", "63.5"),
        ("integer", "12 years"),
        # Float64 would make it its neighbour, silently.
        ("integer", "9007199254740993"),
        ("integer", "-9007199254740993"),
        ("boolean", "2"),
        ("boolean", ""),
        ("timestamp", "yesterday"),
        ("timestamp", "31/01/2024"),
        ("timestamp", "0001-01-01T00:00:00+09:00"),
    ],
)
def test_a_cell_that_is_not_of_its_columns_type_is_refused(type_, text):
    with pytest.raises(ValueMismatchError) as caught:
        read_text(column(type_), text)
    assert (caught.value.column, caught.value.expected != "") == ("x", True)
    assert str(caught.value).startswith("x: expected ")


@pytest.mark.parametrize(
    ("type_", "json_value", "value"),
    [
        ("float", 3, 3.0),
        ("float", 2.5, 2.5),
        ("float", NAN, None),
        ("float", None, None),
        ("integer", 3, 3),
        ("integer", 3.0, 3),
        ("boolean", True, True),
        ("boolean", 0, False),
        ("boolean", 1.0, True),
        ("category", 3, "3"),
        ("category", 3.0, "3"),
        ("category", "3.0", "3"),
        ("category", "a", "a"),
        ("category", NAN, None),
        ("text", "a", "a"),
        ("timestamp", "2024-01-31T09:00:00+09:00", MIDNIGHT),
        ("timestamp", datetime(2024, 1, 31, 9, tzinfo=timezone(timedelta(hours=9))), MIDNIGHT),
        ("timestamp", datetime(2024, 1, 31), MIDNIGHT),
    ],
)
def test_a_typed_value_is_read(type_, json_value, value):
    read = read_json(column(type_), json_value)
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("type_", "json_value"),
    [
        ("float", True),
        ("float", "2.5"),
        ("float", INFINITY),
        ("float", 10**400),
        ("float", [1.0]),
        ("integer", True),
        ("integer", "3"),
        ("integer", 3.5),
        ("integer", INFINITY),
        ("integer", 2**53),
        ("integer", -(10**400)),
        ("boolean", "true"),
        ("boolean", 2),
        ("boolean", []),
        ("category", ["3"]),
        ("text", 3),
        ("timestamp", 1706659200),
        ("timestamp", "soon"),
    ],
)
def test_a_typed_value_that_is_not_of_its_columns_type_is_refused(type_, json_value):
    with pytest.raises(ValueMismatchError, match=r"^x: expected .*, received "):
        read_json(column(type_), json_value)


def test_booleans_as_codes_are_written_as_yaml_writes_them():
    truth = column("category", categories=[True, False])
    assert (read_json(truth, True), read_json(truth, "false")) == ("true", "false")


def test_a_code_that_is_declared_with_a_leading_zero_stays_as_it_is():
    assert read_text(column("category", categories=["01", "1"]), "01") == "01"


def test_a_sensitive_value_is_hidden_and_another_is_shown():
    for sensitive, shown in ((True, False), (False, True)):
        with pytest.raises(ValueMismatchError) as caught:
            read_text(column("integer", sensitive=sensitive), "secret")
        assert ("secret" in str(caught.value)) is shown
        with pytest.raises(ValueMismatchError) as caught:
            check_domain(column("integer", sensitive=sensitive, range=(0, 5)), 4711)
        assert ("4711" in str(caught.value)) is shown


def test_a_long_value_is_cut_short():
    with pytest.raises(ValueMismatchError) as caught:
        read_text(column("float"), "x" * 5000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [((0, 3), (0, 3), (-1, 4)), ((None, 3), (-99, 3), (4,)), ((0, None), (0, 99), (-1,))],
)
def test_a_range_includes_its_bounds_and_nothing_beyond(bounds, inside, outside):
    bounded = column("integer", range=bounds)
    for value in inside:
        check_domain(bounded, value)
    for value in outside:
        with pytest.raises(ValueMismatchError):
            check_domain(bounded, value)


def test_an_unknown_code_is_named_with_the_known_ones():
    with pytest.raises(ValueMismatchError, match="expected one of 3, 7, a, received '4'"):
        check_domain(column("category"), "4")


@pytest.mark.parametrize(
    ("bounds", "unit", "text"),
    [
        ((80, 220), "mmHg", "80 to 220 mmHg"),
        ((0.5, None), None, "at least 0.5"),
        ((None, 1234567), "m", "at most 1234567 m"),
    ],
)
def test_a_range_is_written_for_a_person(bounds, unit, text):
    assert describe_range(column("float", range=bounds, unit=unit)) == text
