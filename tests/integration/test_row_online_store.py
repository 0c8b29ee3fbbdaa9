"""Our online store behind Feast's interface, beside Feast's own."""

from datetime import timedelta

import pyarrow as pa
import pytest
from feast import ValueType
from row_stores import OTHER_ROWS, OTHERS, PLAIN, ROWS, START, RowStore, table

from mulgil.online_rows import OtherFormError, RowForm

OURS = "feature_repo.sqlite_online_store.SqliteRowOnlineStore"


def make(folder, kind=OURS, **options):
    return RowStore(
        folder / kind.rpartition(".")[2], {"type": kind, "path": str(folder / f"{kind}.db")}, **options
    )


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [(ValueType.INT64, [1, -2, 0, 2**53 - 1, 128]), (ValueType.STRING, ["a", "물길", "", "x" * 300, "-2"])],
)
def test_feast_reads_the_same_values_and_times_from_ours_as_from_its_own(tmp_path, key_type, keys):
    rows = table(ROWS, keys, [START + timedelta(days=i) for i in range(5)])
    answers = []
    for kind in (OURS, "sqlite"):
        store = make(tmp_path, kind, key_type=key_type)
        store.materialize(rows)
        answers.append(store.read([*keys, *keys[:1]]))

    assert repr(answers[0]) == repr(answers[1])
    assert answers[0]["stage"][2] == "물길" and answers[0]["weight"][1] is None


def test_types_that_a_row_has_as_feasts_messages_come_back_too(tmp_path):
    rows = table(ROWS | OTHER_ROWS, [1, 2, 3, 4, 5])
    answers = []
    for kind in (OURS, "sqlite"):
        store = make(tmp_path, kind, fields=PLAIN | OTHERS)
        store.materialize(rows)
        answers.append(store.read([1, 2, 3, 4, 5]))

    assert repr(answers[0]) == repr(answers[1])


def test_an_entity_that_is_not_there_and_one_past_its_age_are_as_feasts_own(tmp_path):
    answers = []
    for kind in (OURS, "sqlite"):
        store = make(tmp_path, kind, ttl=timedelta(days=1))
        store.materialize(table(ROWS, [1, 2]))
        answers.append(store.read([1, 99]))

    assert repr(answers[0]) == repr(answers[1])
    assert answers[0]["stage"][1] is None


def test_of_two_rows_the_newer_stays_whichever_is_written_last_and_writing_again_changes_nothing(tmp_path):
    store = make(tmp_path)
    new = {"person": 1, "weight": 2.0, "visits": 2, "smoker": True, "stage": "new"}
    old = {**new, "weight": 1.0, "stage": "old"}
    store.push([new], START + timedelta(days=1))
    before = store.read([1])

    store.push([old], START)
    store.push([new], START + timedelta(days=1))
    store.push([old], START - timedelta(days=20_000))

    assert store.read([1]) == before
    assert before["stage"] == ["new"]

    store.push([{**new, "stage": "newest"}], START + timedelta(days=1, microseconds=1))
    assert store.read([1])["stage"] == ["newest"]


def test_of_two_rows_of_one_time_the_one_that_was_written_down_later_stays(tmp_path):
    store = make(tmp_path, created="created")
    row = {"person": 1, "weight": 2.0, "visits": 2, "smoker": True}
    store.push([{**row, "stage": "corrected"}], START, START + timedelta(days=2))
    store.push([{**row, "stage": "first"}], START, START + timedelta(days=1))
    assert store.read([1])["stage"] == ["corrected"]

    rows = table(ROWS, [1, 2]).append_column(
        "created", pa.array([START + timedelta(days=3), START], pa.timestamp("us", "UTC"))
    )
    store.materialize(rows)
    assert store.read([1])["stage"] == [ROWS["stage"][0]]


def test_what_was_pushed_and_what_was_materialized_are_one_form(tmp_path):
    store = make(tmp_path)
    store.materialize(table(ROWS, [1, 2, 3, 4, 5]))
    materialized = store.read([1, 3])
    values = [{"person": 10 * key, **{n: ROWS[n][key - 1] for n in ROWS}} for key in (1, 3)]
    store.push(values, START)
    pushed = store.read([10, 30])

    assert {n: pushed[n] for n in ROWS} == {n: materialized[n] for n in ROWS}


def test_what_was_pushed_since_stays_when_older_rows_are_materialized(tmp_path):
    store = make(tmp_path)
    pushed = {"person": 1, "weight": 2.0, "visits": 2, "smoker": True, "stage": "pushed"}
    store.push([pushed], START + timedelta(days=1))

    store.materialize(table(ROWS, [1, 2]))

    assert store.read([1, 2])["stage"] == ["pushed", ""]


def test_rows_of_other_fields_are_refused_and_replaced_by_whatever_is_written_next(tmp_path):
    store = make(tmp_path)
    store.materialize(table(ROWS, [1, 2]))
    fewer = {name: PLAIN[name] for name in ("weight", "stage")}
    again = RowStore(tmp_path / "again", dict(store.store.config.online_store), fields=fewer)

    with pytest.raises(OtherFormError, match="materialize them again"):
        again.read([1])
    again.materialize(table({name: ROWS[name] for name in fewer}, [1, 2], START - timedelta(days=1)))

    assert again.read([1])["weight"] == [0.1]


def test_a_torn_row_is_refused():
    form = RowForm([("a", "Float64"), ("b", "String")])
    row = form.pack(0, None, [1.0, "x"])
    assert form.unpack(row) == (0, [1.0, "x"])

    for torn in (b"", row[:3], row[:20], row[:-1], row + b"\x01", form.pack(0, None, [1.0])):
        with pytest.raises(OtherFormError):
            form.unpack(torn)
