"""A source in spans: only what is new is read, and the dataset is what all files at once would give."""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import fsspec
import pyarrow.parquet as pq
import pytest
from growing_shop import DAYS, DICTIONARY, Shop, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.ingest_data import rows as rows_module
from components.ingest_data import span_store
from mulgil import source_code
from mulgil.artifacts import SPLITS, SUMMARY, QuarantineSummary, SpanNews
from mulgil.contract.spans import ROWS_OF_SPAN
from mulgil.errors import InputError
from mulgil.home import SOURCE_ROOT


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


def test_only_what_is_new_is_read_and_a_second_run_says_that_nothing_is(shop, capsys):
    for day in DAYS[:3]:
        shop.write(day)
    first = shop.ingest()
    assert "3 spans, 2026-11-01 to 2026-11-03: read 3, took over 0" in capsys.readouterr().out
    shop.ingest()
    said = capsys.readouterr().out
    assert "read 0, took over 3" in said
    assert "nothing new since the last ingestion" in said
    shop.write(DAYS[3])
    more = shop.ingest()
    said = capsys.readouterr().out

    assert "read 1, took over 3" in said
    assert "new: 2026-11-04" in said
    assert shop.statuses(more) == {"01": "known", "02": "known", "03": "known", "04": "new"}
    assert (first.rows_read, more.rows_read) == (93, 124)
    for span in more.spans:
        assert (
            span.rows_read == sum(span.rows.values()) + span.rows_quarantined + span.rows_deduplicated == 31
        )
    assert {split: sum(span.rows[split] for span in more.spans) for split in SPLITS} == more.rows


def test_a_span_that_changed_is_read_anew_and_one_that_vanished_is_left_out_and_both_are_told(shop, capsys):
    for day in DAYS[:3]:
        shop.write(day)
    shop.ingest()
    shop.write(DAYS[0], rows_of(1, count=20))
    (shop.folder / "sales" / f"{DAYS[1]}.csv").unlink()
    (shop.folder / "sales" / "notes.csv").write_text("none")
    capsys.readouterr()
    manifest = shop.ingest()
    said = capsys.readouterr().out

    assert "changed, and read anew: 2026-11-01" in said
    assert "vanished, and left out: 2026-11-02" in said
    assert "of no span, and not read: " in said
    assert "notes.csv" in said
    assert shop.news().vanished == (DAYS[1],)
    assert shop.statuses(manifest) == {"01": "changed", "03": "known"}
    assert manifest.rows_read == 21 + 31
    shop.ingest()
    assert shop.news().vanished == ()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(0, 61), min_size=1, max_size=30), min_size=1, max_size=4),
    st.sampled_from(["random", "stratified", "group", "time", "predefined"]),
)
def test_spans_one_after_the_other_give_what_all_files_at_once_give(tmp_path, drawn, kind):
    shutil.rmtree(tmp_path, ignore_errors=True)
    shop = Shop(tmp_path / "shop", kind=kind)
    # Rows that repeat others within a day and across days, wrong ones among them.
    pool = [*rows_of(1), *rows_of(2)]
    shop.write(DAYS[0], pool)
    shop.ingest()
    for day, places in zip(DAYS[1:], drawn, strict=False):
        shop.write(day, [pool[place] for place in places])
    grown, aside = shop.ingest(), shop.set_aside()
    shop.declare("sales/*.csv", kind)
    at_once = shop.ingest()

    assert grown.fingerprint == at_once.fingerprint
    assert (grown.rows, grown.rows_read) == (at_once.rows, at_once.rows_read)
    assert aside == shop.set_aside()


def test_the_spans_that_were_read_survive_that_the_step_is_killed(shop, home, capsys):
    for day in DAYS:
        shop.write(day, rows_of(int(day[-2:]), count=3000))
    command = [sys.executable, "-m", "components.ingest_data"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in shop.flags().items()]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    while not kept(home):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    survived = kept(home)
    assert 0 < survived < len(DAYS)
    assert not (shop.folder / "dataset").exists()

    manifest = shop.ingest()
    assert f"read {len(DAYS) - survived}, took over {survived}" in capsys.readouterr().out
    assert set(shop.statuses(manifest).values()) == {"new"}
    shop.declare("sales/*.csv")
    assert shop.ingest().fingerprint == manifest.fingerprint


def test_an_ingestion_that_ends_before_it_told_what_is_new_tells_it_the_next_time(shop, monkeypatch):
    shop.write(DAYS[0])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SpanNews, "write", Mock(side_effect=KeyboardInterrupt))
        shop.ingest()
    shop.ingest()

    assert shop.news().new == (DAYS[0],)


def kept(home):
    return len(list(home.glob("spans/*/*/span.json")))


def test_a_span_that_is_damaged_where_it_is_kept_is_read_anew(shop, home, capsys):
    for day in DAYS[:3]:
        shop.write(day)
    whole = shop.ingest()
    damaged = sorted(home.glob("spans/*/*/rows.parquet"))[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    capsys.readouterr()

    assert shop.ingest().fingerprint == whole.fingerprint
    assert "read 1, took over 2" in capsys.readouterr().out


def test_of_a_spans_files_of_one_name_each_counts_and_not_the_last_alone(shop):
    shop.declare("sales/{date}/*/part-0.csv")
    for number, place in enumerate(("eu", "us"), start=1):
        (shop.folder / "sales" / DAYS[0] / place).mkdir(parents=True)
        shop.write(f"{DAYS[0]}/{place}/part-0", rows_of(number))
    assert shop.ingest().rows_read == 62
    shop.write(f"{DAYS[0]}/eu/part-0", rows_of(3))

    assert shop.statuses(shop.ingest()) == {"01": "changed"}


@pytest.mark.parametrize(
    "changed",
    [
        *(f"components/ingest_data/{name}.py" for name in ("rows", "sources", "spans", "table")),
        *(f"mulgil/contract/{name}.py" for name in ("sources", "spans", "values")),
        *(f"mulgil/{name}.py" for name in ("preprocessing/rows", "images", "broken_rules")),
        *("pandas", "pillow", "tzdata"),
    ],
)
def test_a_change_of_what_reads_a_span_reads_it_anew(changed, monkeypatch):
    def fingerprint(changed):
        with monkeypatch.context() as patch:
            patch.setattr(source_code.metadata, "version", lambda name: str(name == changed))
            patch.setattr(source_code, "fingerprint_file", lambda file: str(file == SOURCE_ROOT / changed))
            return source_code.fingerprint_source.__wrapped__(span_store._CODE, span_store._LIBRARIES)

    assert fingerprint("nothing") == fingerprint("nothing") != fingerprint(changed)


def test_another_dictionary_reads_every_span_anew(shop, capsys):
    for day in DAYS[:3]:
        shop.write(day)
    shop.ingest()
    dictionary = shop.folder / "data_dictionary.yaml"
    dictionary.write_text(dictionary.read_text().replace("type: float", "type: float, missing_codes: [-1]"))
    capsys.readouterr()
    manifest = shop.ingest()

    assert "read 3, took over 0" in capsys.readouterr().out
    assert set(shop.statuses(manifest).values()) == {"known"}


def test_a_row_from_the_future_is_looked_at_again_when_its_time_has_come(shop, home, monkeypatch, capsys):
    in_three_days = datetime.now(UTC) + timedelta(days=3)
    shop.write(DAYS[0])
    shop.write(DAYS[1], [*rows_of(2), f"late,{in_three_days.isoformat()},1,train,yes"])
    assert shop.ingest().rows_quarantined == 3
    due = QuarantineSummary.read(shop.folder / "quarantine" / SUMMARY).due
    assert due == in_three_days - timedelta(days=1)
    capsys.readouterr()
    assert shop.ingest().rows_quarantined == 3
    assert "read 0, took over 2" in capsys.readouterr().out
    # So it is two days later.
    monkeypatch.setattr(rows_module, "_AHEAD", timedelta(days=5))
    for place in home.glob("spans/*/*/span.json"):
        record = span_store.SpanRecord.read(place)
        if record.due is not None:
            record.model_copy(update={"due": datetime.now(UTC)}).write(place)

    assert shop.ingest().rows_quarantined == 2
    assert "read 1, took over 1" in capsys.readouterr().out
    assert QuarantineSummary.read(shop.folder / "quarantine" / SUMMARY).due is None


def test_a_generated_number_stays_with_its_row_and_a_generated_time_is_the_spans_date(shop):
    (shop.folder / "data_dictionary.yaml").write_text(
        DICTIONARY.replace("type: text", "type: integer, generated: row_number", 1)
        .replace("type: timestamp", "type: timestamp, generated: span")
        .replace("role: ignore", "missing: new_category")
    )
    for day in DAYS[:3]:
        lines = [",".join(row.split(",")[2:]) for row in rows_of(int(day[-2:]))]
        text = "\n".join(["size,part,bought", *lines]) + "\n"
        (shop.folder / "sales" / f"{day}.csv").write_text(text)
    shop.ingest()
    before = numbers(shop)
    shop.declare('sales/{date}.csv", spans: {newest: 2}, encoding: "utf-8')
    shop.ingest()
    after = numbers(shop)

    assert len(before) == 90
    assert after == {number: row for number, row in before.items() if row[0].day > 1}
    first = (datetime(2026, 11, 2, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    assert min(after) == first * ROWS_OF_SPAN + 1
    shop.declare("sales/*.csv")
    with pytest.raises(InputError, match="which is `generated: span`"):
        shop.ingest()


@pytest.mark.parametrize(("form", "prefix"), [("{date}", "2026-11-"), ("{span}", "")])
def test_a_window_that_is_longer_than_the_spans_that_are_read_is_told(shop, capsys, form, prefix):
    for day in ("01", "02", "03", "04"):
        shop.write(f"{prefix}{day}")

    def told(over, spans):
        made = f"aggregate: {{function: count, over: {over}}}"
        column = f"  - {{name: visits, type: float, {made}, description: d}}\n"
        (shop.folder / "data_dictionary.yaml").write_text(DICTIONARY + column)
        shop.declare(f'sales/{form}.csv", spans: {{{spans}}}, encoding: "utf-8', kind="group")
        shop.ingest()
        return [line.strip() for line in capsys.readouterr().out.splitlines() if "warning" in line]

    warning = (
        "warning: windows go back beyond 2026-11-03: visits (over 2 days); "
        "2 older spans are not read: widen `source.spans`"
    )
    assert told("2 days", "newest: 2") == [warning]
    assert told("1 day", "newest: 2") == []
    assert told("9 days", "") == []


def numbers(shop):
    parts = [pq.read_table(shop.folder / "dataset" / f"{split}.parquet").to_pylist() for split in SPLITS]
    return {row["who"]: (row["seen"], row["size"]) for part in parts for row in part}


def test_spans_of_an_object_store_are_fetched_once_and_kept_in_another_one(
    shop, home, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MULGIL_SPANS_URI", f"file://{tmp_path}/bucket/spans")
    files = fsspec.filesystem("memory")
    for day in DAYS[:3]:
        shop.write(day)
        files.put_file(str(shop.folder / "sales" / f"{day}.csv"), f"/span-test/{day}/rows.csv")
    try:
        at_once = shop.ingest()
        shop.declare("memory://span-test/{date}/*.csv")
        assert shop.ingest().fingerprint == at_once.fingerprint
        monkeypatch.setattr(type(files), "get_file", lambda *_, **__: pytest.fail("fetched again"))
        capsys.readouterr()
        again = shop.ingest()
    finally:
        files.rm("/span-test", recursive=True)

    assert "read 0, took over 3" in capsys.readouterr().out
    assert (again.fingerprint, set(shop.statuses(again).values())) == (at_once.fingerprint, {"known"})
    assert not (home / "spans").exists()


def test_a_ledger_that_is_torn_in_an_object_store_stops_no_ingestion(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_SPANS_URI", f"file://{tmp_path}/bucket/spans")
    for day in DAYS[:2]:
        shop.write(day)
    shop.ingest()
    (ledger,) = tmp_path.glob("bucket/spans/*/ledger.json")
    ledger.write_bytes(ledger.read_bytes()[:20])

    assert set(shop.statuses(shop.ingest()).values()) == {"new"}
    assert set(shop.statuses(shop.ingest()).values()) == {"known"}


def test_no_span_and_a_span_of_another_table_are_told_by_name(shop):
    with pytest.raises(InputError, match=r"(?s)There is no span to read.*correct `source\.location`"):
        shop.ingest()
    for day in DAYS[:2]:
        shop.write(day)
    (shop.folder / "sales" / f"{DAYS[2]}.csv").write_text("who,seen,colour,part,bought\na,b,c,d,e\n")
    with pytest.raises(InputError, match=r"2026-11-03\.csv is not the table") as told:
        shop.ingest()
    assert "colour" in str(told.value)
    with pytest.raises(InputError, match=r"received \{day\}"):
        shop.ingest(source="sales/{day}.csv")


def test_a_replacement_of_the_source_can_be_in_spans_too(shop, monkeypatch):
    for day in DAYS[:2]:
        shop.write(day)
    shop.declare("rows.csv")
    monkeypatch.chdir(shop.folder)

    assert list(shop.statuses(shop.ingest(source="sales/{date}.csv"))) == ["01", "02"]
