"""Pictures: pure functions of numbers, read back as XML."""

from xml.etree import ElementTree

import pytest

from mulgil.reports.charts import (
    Axis,
    IntervalRow,
    Line,
    axis_around,
    draw_arcs,
    draw_bars,
    draw_intervals,
    draw_lines,
    draw_shares,
)


def parts(picture, tag, style=None):
    """Return the elements of a picture, of one class where it is given."""
    found = ElementTree.fromstring(picture).iter(tag)
    return [part for part in found if style is None or style in part.get("class", "").split(" ")]


def test_an_axis_places_its_ends_at_the_ends_and_holds_what_is_beyond():
    axis = Axis(10, 20)

    assert [axis.place(value, 0, 100) for value in (10, 15, 20, 99, -5)] == [0, 50, 100, 100, 0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (28.5, 77.3, [40, 60]),
        (-0.03, 0.02, [-0.02, 0, 0.02]),
        (0, 1e6, [0, 500000, 1000000]),
    ],
)
def test_ticks_are_round_and_within_the_axis(low, high, expected):
    assert Axis(low, high).ticks(4) == expected


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [float("nan"), float("inf")], [-1e300, 1e300]])
def test_an_axis_around_whatever_there_is_has_a_length(values):
    axis = axis_around(values)

    assert axis.high > axis.low


def test_a_line_goes_through_its_points_from_corner_to_corner():
    picture = draw_lines(
        "ROC", "What it is.", [Line("model", "m", [(0, 0), (1, 1)])], x=Axis(0, 1), y=Axis(0, 1)
    )

    assert parts(picture, "path")[0].get("d") == "M40 226L350 8"


def test_a_stepped_line_goes_level_then_upright():
    line = Line("model", "m", [(0, 0), (1, 1)], is_stepped=True)
    picture = draw_lines("Share", "What it is.", [line], x=Axis(0, 1), y=Axis(0, 1))

    assert parts(picture, "path")[0].get("d") == "M40 226H350V8"


def test_bars_stand_on_each_other_and_tell_their_numbers():
    picture = draw_bars(
        "Age",
        "What it is.",
        [("yes", "y", [1, 0]), ("no", "n", [3, 2])],
        names=["young", "old"],
        x=Axis(0, 2),
    )
    young_yes, young_no, old_no = parts(picture, "rect", "y") + parts(picture, "rect", "n")

    assert float(young_no.get("y")) + float(young_no.get("height")) == pytest.approx(
        float(young_yes.get("y")), abs=0.2
    )
    assert float(young_no.get("height")) == pytest.approx(3 * float(young_yes.get("height")), abs=0.3)
    assert float(old_no.get("x")) > float(young_no.get("x"))
    assert young_no.find("title").text == "young, no: 3"


def test_an_interval_reaches_from_its_lower_to_its_upper_end():
    rows = [IntervalRow("model", "m", 0.5, 0.25, 1.0), IntervalRow("baseline", "b", 0.0, 0.0, 0.0)]
    picture = draw_intervals("AUC", "What it is.", rows, axis=Axis(0, 1), marked=0.5)
    whisker = parts(picture, "line", "m")[0]
    dot = parts(picture, "circle", "m")[0]
    guide = parts(picture, "line", "guide")[0]

    assert float(whisker.get("x1")) < float(dot.get("cx")) < float(whisker.get("x2"))
    assert guide.get("x1") == dot.get("cx")
    assert "0.500 [0.250, 1.000]" in [text.text for text in parts(picture, "text")]


def test_one_row_of_a_million_is_seen():
    picture = draw_shares("Rows", "What they are.", [("train", "t", 1e6), ("bad", "b", 1), ("none", "n", 0)])
    train, bad = parts(picture, "rect")

    assert float(bad.get("width")) >= 2
    assert float(train.get("x")) + float(train.get("width")) <= float(bad.get("x"))


def test_a_graph_has_a_dot_a_row_and_a_line_an_edge():
    picture = draw_arcs(3, [(0, 1), (1, 2), (0, 2)], ["a", "b", "c"], row=2)

    assert len(parts(picture, "circle")) == 3
    assert len(parts(picture, "line")) == 2
    assert len(parts(picture, "path")) == 1


def test_names_are_text_and_never_markup():
    evil = '"><script>'
    for picture in (
        draw_lines(evil, evil, [Line(evil, "m", [(0, 0)], has_dots=True)], x=Axis(0, 1, evil), y=Axis(0, 1)),
        draw_bars(evil, evil, [(evil, "m", [1])], names=[evil]),
        draw_intervals(evil, evil, [IntervalRow(evil, "m", 1, 1, 1)], axis=Axis(0, 1)),
        draw_shares(evil, evil, [(evil, "m", 1)]),
    ):
        assert parts(picture, "script") == []
        assert parts(picture, "title")[0].text == evil


def test_no_points_and_no_bars_are_no_mistake():
    axis = axis_around([])

    assert draw_lines("a", "b", [Line("c", "d", [])], x=axis, y=axis)
    assert draw_bars("a", "b", [("c", "d", [])], names=[])
    assert draw_bars("a", "b", [("c", "d", [0, 0])], names=["e", "f"])
