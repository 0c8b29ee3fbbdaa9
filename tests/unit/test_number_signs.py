"""Numbers as tables write them, with signs around and within them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulgil.contract.number_signs import without_signs
from mulgil.drafting.signs import find_number_signs


@pytest.mark.parametrize(
    ("text", "signs", "decimal", "number"),
    [
        ("$1,234.50", ["$", ","], ".", "1234.50"),
        ("-$5", ["$"], ".", "-5"),
        ("$ -5", ["$"], ".", "-5"),
        ("12,3 %", ["%"], ",", "12,3"),
        ("1.234.567,8 €", ["€", "."], ",", "1234567,8"),
        ("1 234", [" "], ".", "1234"),
        ("12 kWh", ["kW", "kWh"], ".", "12"),
        ("7", ["$", ","], ".", "7"),
        # What is not grouped by threes is another number, or none: it stays to be refused.
        ("1,5", [","], ".", "1,5"),
        ("1,2345", [","], ".", "1,2345"),
        ("(1,234)", ["(", ")", ","], ".", "-1234"),
        ("($5.50)", ["$", "(", ")"], ".", "-5.50"),
        ("$(5)", ["$", "(", ")"], ".", "-5"),
        ("12", ["(", ")"], ".", "12"),
        ("(5)", ["$"], ".", "(5)"),
        ("(-5)", ["(", ")"], ".", "(-5)"),
        ("-$-5", ["$"], ".", "-$-5"),
        ("12 kg", ["%"], ".", "12 kg"),
    ],
)
def test_signs_are_taken_off_only_where_such_signs_stand(text, signs, decimal, number):
    assert without_signs(text, signs, decimal) == number


@given(st.integers(-(10**12), 10**12), st.integers(0, 99), st.sampled_from(["", "$", "€", "% "]))
def test_a_number_is_read_as_it_was_written(whole, cents, sign):
    text = f"{sign.strip()}{whole:,}.{cents:02}"

    assert without_signs(text, [*([sign.strip()] if sign.strip() else []), ","]) == f"{whole}.{cents:02}"


@pytest.mark.parametrize(
    ("words", "decimal", "signs"),
    [
        (["$1", "$2.50"], ".", ("$",)),
        (["1,000", "20"], ".", (",",)),
        (["5 kg", "12 kg"], ".", ("kg",)),
        (["5 kg", "12 g"], ".", ()),
        (["K1", "K2"], ".", ()),
        (["4A", "7B"], ".", ()),
        (["a", "b"], ".", ()),
        (["1,200", "(35)", "7"], ".", (",", "(", ")")),
        (["12", "(3)"], ".", ("(", ")")),
        (["(1)", "(2)"], ".", ()),
        (["a (1)", "b (2)", "c"], ".", ()),
        ([], ".", ()),
    ],
)
def test_signs_are_found_where_they_are_a_currency_a_unit_or_between_thousands(words, decimal, signs):
    assert find_number_signs(words, decimal) == signs
