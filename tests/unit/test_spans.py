"""How a location names the spans of a source, and which of them are read."""

from datetime import date
from itertools import pairwise

import pytest

from components.ingest_data.sources import choose_source
from mulgil.contract.sources import CsvSource, ImageFolderSource, SqlSource, files_at, keeps_repeated
from mulgil.contract.spans import ROWS_OF_SPAN, Window, explain_spans, gather_spans
from mulgil.errors import InputError


def names_of(location, *files):
    spans, others = gather_spans(location, files)
    return {span.name: span.files for span in spans}, others


@pytest.mark.parametrize(
    ("location", "file", "name"),
    [
        ("s/{date}.csv", "s/2026-11-24.csv", "2026-11-24"),
        ("s/{date}.csv", "s/20261124.csv", "2026-11-24"),
        ("s/{date}.csv", "s/2026-11.csv", "2026-11-01"),
        ("s/{date}", "s/2026-11-24/part-0.csv", "2026-11-24"),
        ("s/year={year}/month={month}/day={day}/*", "s/year=2026/month=1/day=09/a.parquet", "2026-01-09"),
        ("s/{year}-{month}.csv", "s/2026-02.csv", "2026-02-01"),
        ("s/{span}/**/x?.csv", "s/17/a/b/x1.csv", "17"),
        ("s/[ab]/{date}/sales-{date}.csv", "s/b/2026-11-24/sales-2026-11-24.csv", "2026-11-24"),
    ],
)  # fmt: skip
def test_a_placeholder_tells_which_span_a_file_is_of(location, file, name):
    assert names_of(location, file) == ({name: (file,)}, ())


def test_what_is_of_no_span_is_told_apart_and_spans_come_in_the_order_of_their_dates_and_numbers():
    spans, others = names_of("{span}.csv", "10.csv", "9.csv", "readme.csv", "9.txt")

    assert list(spans) == ["9", "10"]
    assert others == ("9.txt", "readme.csv")
    assert names_of("{date}/{date}.csv", "2026-01-01/2026-01-02.csv") == ({}, ("2026-01-01/2026-01-02.csv",))


def test_of_several_versions_the_greatest_counts_whole():
    spans, _ = names_of("{span}/v{version}/*.csv", "1/v9/a.csv", "1/v10/a.csv", "1/v10/b.csv", "2/v1/a.csv")

    assert spans == {"1": ("1/v10/a.csv", "1/v10/b.csv"), "2": ("2/v1/a.csv",)}


def test_a_date_that_there_is_not_is_refused_by_the_name_of_its_file():
    with pytest.raises(InputError, match=r"(?s)2026-02-30\.csv.*rename the file, or remove it"):
        names_of("{date}.csv", "2026-02-30.csv")
    with pytest.raises(InputError, match=r"(?s)\{date\} where it is a date.*20261124.*rename or remove"):
        names_of("{span}.csv", "20261124.csv")


def test_a_window_rolls_and_ends_where_it_is_told_to():
    spans, _ = gather_spans("{date}", [f"2026-11-{day:02}" for day in range(1, 11)])

    def chosen(**window):
        return [span.name[-2:] for span in Window(**window).choose(spans)]

    assert chosen(newest=2) == ["09", "10"]
    assert chosen(newest=2, until="2026-11-05") == ["04", "05"]
    assert chosen(since=date(2026, 11, 9)) == ["09", "10"]
    assert len(chosen()) == 10
    assert chosen(since="2027-01-01") == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("{YYYY}.csv", "received {YYYY}"),
        ("{month}.csv", "received {month}"),
        ("{date}-{span}.csv", "received {date} {span}"),
        ("v{version}.csv", "received {version}"),
        ("https://example.com/{date}.csv", "a web server cannot be asked"),
    ],
)
def test_placeholders_that_name_no_span_are_refused_in_words(location, words):
    assert words in (explain_spans(location) or "")
    with pytest.raises(ValueError, match="received"):
        CsvSource(kind="csv", location=location)


def test_rows_of_overlapping_spans_are_not_kept_twice_and_images_have_no_such_choice():
    query = "SELECT * FROM a WHERE t >= :span_begin AND t < :span_end"
    with pytest.raises(ValueError, match="goes with no spans"):
        CsvSource(kind="csv", location="{date}.csv", repeated_rows="keep")
    with pytest.raises(ValueError, match="goes with no spans"):
        SqlSource(
            kind="sql", url="sqlite:///a.db", query=query, spans={"since": "2026-01-01"}, repeated_rows="keep"
        )
    with pytest.raises(ValueError, match="repeated_rows"):
        ImageFolderSource(kind="image_folder", location="photos", repeated_rows="drop")
    whole = CsvSource(kind="csv", location="rows.csv", repeated_rows="keep")
    assert keeps_repeated(whole)
    with pytest.raises(InputError, match="goes with no spans"):
        choose_source(whole, "{date}.csv")


def test_a_window_is_refused_where_there_is_nothing_to_choose_from():
    with pytest.raises(ValueError, match="goes with a location such as"):
        CsvSource(kind="csv", location="rows.csv", spans={"newest": 2})
    with pytest.raises(ValueError, match="since at most until"):
        Window(since=3, until=2)


@pytest.mark.parametrize(
    ("location", "spans", "words"),
    [
        ("{date}.csv", {"until": 20261031}, r"is a date, such as 2026-10-31; received until=20261031"),
        ("{year}/{month}/*.csv", {"since": 2026}, r"is a date.* received since=2026"),
        ("{span}.csv", {"since": date(2026, 10, 1)}, r"is a number; received since=2026-10-01"),
        (
            "{date}.csv",
            {"since": "2026-10"},
            r"a day of the calendar, such as 2026-10-31.* received '2026-10'",
        ),
        ("{date}.csv", {"until": "2026-02-30"}, r"a day of the calendar.* received '2026-02-30'"),
        ("{span}.csv", {"since": -1}, r"or a span's number; received -1"),
        ("{span}.csv", {"since": True}, r"or a span's number; received True"),
    ],
)
def test_a_bound_that_says_nothing_of_the_spans_is_refused(location, spans, words):
    with pytest.raises(ValueError, match=words) as refused:
        CsvSource(kind="csv", location=location, spans=spans)
    assert refused.value.error_count() == 1


def test_spans_before_1970_are_chosen_too_and_number_their_rows_apart():
    spans, _ = gather_spans("{date}", ["1969-12-30", "1969-12-31", "1970-01-01"])

    assert Window(until=date(1969, 12, 31)).choose(spans) == spans[:2]
    assert Window().choose(spans) == spans
    firsts = [span.number * ROWS_OF_SPAN + 1 for span in spans]
    assert [later - earlier for earlier, later in pairwise(firsts)] == [ROWS_OF_SPAN] * 2


def test_only_files_of_the_window_decide_whether_the_step_runs_again(tmp_path):
    for name in ("2026-11-01.csv", "2026-11-02.csv", ".2026-11-03.csv", "notes.csv"):
        (tmp_path / name).write_text("")
    (tmp_path / "2026-11-04").mkdir()
    (tmp_path / "2026-11-04" / "part.csv").write_text("")

    assert [file.name for file in files_at(tmp_path / "{date}.csv", Window(newest=1))] == ["2026-11-02.csv"]
    assert [file.name for file in files_at(tmp_path / "{date}")] == ["part.csv"]
