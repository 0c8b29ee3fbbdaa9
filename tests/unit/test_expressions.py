import pytest

from mulgil.contract.expressions import Kind, parse_expression

KINDS = {"num": Kind.NUMBER, "age": Kind.NUMBER, "thal": Kind.TEXT, "fbs": Kind.TRUTH, "seen": Kind.MOMENT}


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("num > 0", {"num": 3}, True),
        ("num > 0", {"num": 0}, False),
        ("num >= 2 and age < 50", {"num": 2, "age": 49}, True),
        ("num == 4 or not fbs", {"num": 1, "fbs": False}, True),
        ("-(num + 2) * 3 - 1", {"num": 1}, -10),
        ("num / 2 != 0.5", {"num": 1}, False),
        ('thal == "7"', {"thal": "7"}, True),
        ("fbs == true_label", {"fbs": True, "true_label": True}, True),
        (" num <= 1 ", {"num": 1}, True),
    ],
)
def test_an_expression_is_computed_for_a_row(text, row, value):
    assert parse_expression(text).evaluate(row) == value


@pytest.mark.parametrize(
    "text", ["num > 0", "0 < num", "num + age", "-num", "not num", "fbs or num > 0", "fbs and num > 0"]
)
@pytest.mark.parametrize("fbs", [True, False])
def test_a_missing_operand_makes_the_result_missing(text, fbs):
    assert parse_expression(text).evaluate({"num": None, "age": 1, "fbs": fbs}) is None


def test_an_expression_knows_the_columns_it_reads():
    assert parse_expression("num > 0 and not fbs or age == 3").columns == {"num", "fbs", "age"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("__import__('os')", "__import__"),
        ("num.real", "num.real"),
        ("num[0]", "num[0]"),
        ("[num]", "[num]"),
        ("num ** 2", "num ** 2"),
        ("num % 2", "num % 2"),
        ("0 < num < 3", "0 < num < 3"),
        ("num is 3", "num is 3"),
        ("num in age", "num in age"),
        ("num if fbs else age", "num if fbs else age"),
        ("lambda: 1", "lambda"),
        ("f'{num}'", "{num}"),
        ("None", "None"),
        ("b'x'", "b'x'"),
        ("1j", "1j"),
        ("~num", "~num"),
        ("num > 0 and (age := 3)", "age := 3"),
    ],
)
def test_what_is_not_in_the_language_is_refused_by_name(text, part):
    with pytest.raises(ValueError, match="is not allowed") as caught:
        parse_expression(text)
    assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "num >", "num > 0; age", "num = 3", "num > 0 age"])
def test_what_is_no_expression_is_refused_with_what_came(text):
    with pytest.raises(ValueError, match=r"not an expression: .*received"):
        parse_expression(text)


@pytest.mark.parametrize("text", ["num > 1e-39", "num < 3.5e38"])
def test_a_number_that_float32_has_not_is_refused(text):
    with pytest.raises(ValueError, match=r"from 1\.2e-38 to 3\.4e38 in size; received"):
        parse_expression(text)


@pytest.mark.parametrize("text", ["-" * 5000 + "1", "(" * 5000 + "1" + ")" * 5000, "1" + "+1" * 5000])
def test_an_expression_too_long_to_walk_is_refused(text):
    with pytest.raises(ValueError, match="at most 200 characters"):
        parse_expression(text)


@pytest.mark.parametrize("text", ["-" * 199 + "1", "not " * 49 + "fbs", "1" + "+1" * 99])
def test_the_longest_expressions_are_still_computed(text):
    expression = parse_expression(text)
    assert expression.kind(KINDS) in set(Kind)
    assert expression.evaluate({"fbs": True}) is not None


@pytest.mark.parametrize("text", ["num / 0", "num / (age - age)", "1 / num * 0"])
def test_an_expression_without_a_value_says_so(text):
    with pytest.raises(ValueError, match="has no value: "):
        parse_expression(text).evaluate({"num": 0, "age": 2})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("num > 0", Kind.TRUTH),
        ("num + fbs", Kind.NUMBER),
        ("-num", Kind.NUMBER),
        ('thal == "7" or thal != "3"', Kind.TRUTH),
        ("seen > seen", Kind.TRUTH),
        ("fbs == 1", Kind.TRUTH),
        ("not fbs and True", Kind.TRUTH),
        ("thal", Kind.TEXT),
    ],
)
def test_what_an_expression_gives_is_known_before_a_row_is_seen(text, kind):
    assert parse_expression(text).kind(KINDS) is kind


@pytest.mark.parametrize(
    "text",
    [
        # Never equal, and so silently false in every row.
        "thal == 7",
        # Text is ordered by letters: "10" is less than "3".
        'thal > "3"',
        # A result without bound.
        'thal * 1000000000 == "x"',
        "num > seen",
        "num and fbs",
        "not num",
        "-thal",
    ],
)
def test_operands_of_the_wrong_kind_are_refused_with_the_part_that_is_wrong(text):
    with pytest.raises(ValueError, match=r"the operator takes .*; received"):
        parse_expression(text).kind(KINDS)
