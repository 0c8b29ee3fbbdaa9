"""A real client against an S3 interface: what spans are read of a store, and what is kept of them in one."""

import os
import signal
import subprocess
import sys
import time

import fsspec
import pytest
from failing_sources import fails
from growing_shop import DAYS, Shop, rows_of
from object_store import BUCKET, run_object_store

from components.ingest_data import span_files
from components.ingest_data.locations import copy_names
from mulgil.home import SOURCE_ROOT

SALES = f"s3://{BUCKET}/sales/{{date}}.csv"


@pytest.fixture
def store(monkeypatch):
    with run_object_store() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        store = fsspec.filesystem("s3")
        store.mkdir(BUCKET)
        yield store


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shop(tmp_path, home):
    return Shop(tmp_path / "shop", SALES)


def put(store, shop, day, rows=None):
    shop.write(day, rows)
    store.put_file(str(shop.folder / "sales" / f"{day}.csv"), f"{BUCKET}/sales/{day}.csv")


def test_of_a_bucket_only_what_is_new_or_changed_is_fetched(store, shop, monkeypatch, capsys):
    for day in DAYS[:3]:
        put(store, shop, day)
    first = shop.ingest()
    fetched = []
    monkeypatch.setattr(
        span_files,
        "copy_names",
        lambda store, names, folder: fetched.extend(names) or copy_names(store, names, folder),
    )
    put(store, shop, DAYS[0], rows_of(1, count=20))
    put(store, shop, DAYS[3])
    store.rm(f"{BUCKET}/sales/{DAYS[1]}.csv")
    store.pipe_file(f"{BUCKET}/sales/notes.csv", b"none")
    capsys.readouterr()
    again = shop.ingest()
    said = capsys.readouterr().out

    assert first.rows_read == 93
    assert fetched == [f"{BUCKET}/sales/{day}.csv" for day in (DAYS[0], DAYS[3])]
    assert shop.statuses(again) == {"01": "changed", "03": "known", "04": "new"}
    assert shop.news().vanished == (DAYS[1],)
    assert "of no span, and not read: shop/sales/notes.csv" in said
    assert again.rows_read == 21 + 31 + 31


def test_spans_that_are_kept_in_a_bucket_serve_a_machine_without_a_disk_of_its_own(
    store, shop, home, monkeypatch, capsys
):
    monkeypatch.setenv("MULGIL_SPANS_URI", f"s3://{BUCKET}/kept")
    for day in DAYS[:3]:
        put(store, shop, day)
    whole = shop.ingest()
    assert not (home / "spans").exists()
    # A torn one is read anew; so is one whose upload did not come to its record.
    torn, unfinished, _ = sorted(
        name.rpartition("/")[0] for name in store.glob(f"{BUCKET}/kept/*/*/span.json")
    )
    store.pipe_file(f"{torn}/rows.parquet", store.cat_file(f"{torn}/rows.parquet")[:100])
    store.rm(f"{unfinished}/span.json")
    capsys.readouterr()

    again = shop.ingest()
    assert "read 2, took over 1" in capsys.readouterr().out
    assert (again.fingerprint, set(shop.statuses(again).values())) == (whole.fingerprint, {"known"})
    assert "read 0, took over 3" in (shop.ingest(), capsys.readouterr().out)[1]


def test_a_step_that_is_killed_leaves_in_the_bucket_what_it_had_read(store, shop, monkeypatch, capsys):
    monkeypatch.setenv("MULGIL_SPANS_URI", f"s3://{BUCKET}/kept")
    for day in DAYS:
        put(store, shop, day, rows_of(int(day[-2:]), count=3000))
    command = [sys.executable, "-m", "components.ingest_data"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in shop.flags().items()]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def kept():
        store.invalidate_cache()
        return len(store.glob(f"{BUCKET}/kept/*/*/span.json"))

    while not kept():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    survived = kept()
    assert 0 < survived < len(DAYS)

    manifest = shop.ingest()
    assert f"read {len(DAYS) - survived}, took over {survived}" in capsys.readouterr().out
    shop.declare("sales/*.csv")
    assert shop.ingest().fingerprint == manifest.fingerprint


@pytest.mark.parametrize(
    ("variable", "value", "location", "code", "words"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", SALES, 75, "cannot be reached"),
        ("AWS_DEFAULT_REGION", "us-east-1", "s3://nowhere/{date}.csv", 2, "no span to read"),
        ("AWS_DEFAULT_REGION", "us-east-1", f"s3://{BUCKET}/none-*.csv", 2, "cannot be fetched"),
    ],
)
def test_a_store_that_is_gone_and_a_bucket_that_is_not_are_told_in_words(
    store, shop, monkeypatch, capsys, variable, value, location, code, words
):
    put(store, shop, DAYS[0])
    (shop.folder / "out").mkdir()
    (shop.folder / "out" / "kept").write_text("")
    store.clear_instance_cache()
    monkeypatch.setenv(variable, value)
    shop.declare(location)

    fails(shop.folder, "", capsys, code, words)
