"""Which runs may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulgil.errors import InputError
from mulgil.local.retention import KeptRun, choose_expendable, format_size, parse_age, parse_size

DAY = 86400.0
OLD, MIDDLE, NEW = KeptRun("old", 0, 500), KeptRun("middle", 10 * DAY, 300), KeptRun("new", 20 * DAY, 200)
RUNS = [NEW, OLD, MIDDLE]


def chosen(needed=(), **limits):
    gone = choose_expendable(RUNS, dict.fromkeys(needed, "because"), now=20 * DAY, **limits)
    return [run.run_id for run in gone]


def test_what_is_old_enough_goes():
    assert chosen(older_than=10 * DAY) == ["old", "middle"]
    assert chosen(older_than=10 * DAY + 1) == ["old"]


def test_the_oldest_go_until_the_rest_fits():
    assert chosen(keep_size=1000) == []
    assert chosen(keep_size=999) == ["old"]
    assert chosen(keep_size=499) == ["old", "middle"]
    assert chosen(keep_size=0) == ["old", "middle", "new"]


def test_what_is_needed_stays_however_old_and_large():
    assert chosen(needed=["old"], older_than=0.0, keep_size=0) == ["middle", "new"]
    assert chosen(needed=["old", "middle", "new"], older_than=0.0, keep_size=0) == []


def test_the_needed_count_towards_the_size():
    assert chosen(needed=["old"], keep_size=700) == ["middle"]


def test_nothing_asked_is_nothing_gone():
    assert chosen() == []


@given(
    runs=st.lists(
        st.builds(KeptRun, st.uuids().map(str), st.floats(0, 1e9), st.integers(0, 10**12)),
        unique_by=lambda run: run.run_id,
    ),
    chance=st.randoms(),
    older_than=st.none() | st.floats(0, 1e9),
    keep_size=st.none() | st.integers(0, 10**12),
)
def test_none_that_is_needed_ever_goes_and_the_limits_hold(runs, chance, older_than, keep_size):
    needed = {run.run_id: "because" for run in runs if chance.random() < 0.3}

    gone = choose_expendable(runs, needed, now=1e9, older_than=older_than, keep_size=keep_size)

    assert not {run.run_id for run in gone} & needed.keys()
    assert len(set(gone)) == len(gone)
    left = [run for run in runs if run not in gone]
    if keep_size is not None and not all(run.run_id in needed for run in left):
        assert sum(run.size for run in left) <= keep_size


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * DAY), ("1.5h", 5400), ("2w", 14 * DAY), ("0s", 0)]
)
def test_an_age_is_read(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("5GB", 5 * 10**9), ("1.5 mb", 1500000), ("7B", 7)])
def test_a_size_is_read_and_written(text, size):
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "30 days", "1y"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(InputError, match="such as 30d"):
        parse_age(text)


@pytest.mark.parametrize("text", ["", "5", "GB", "-1GB", "5PB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match="such as 5GB"):
        parse_size(text)
