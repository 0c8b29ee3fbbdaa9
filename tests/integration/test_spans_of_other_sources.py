"""Spans that are no files of this machine: a query's periods, a web server's files, folders of images."""

import json
import sqlite3
import threading
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from growing_shop import DAYS, HEADER, Shop, rows_of
from image_projects import columns, draw

from components.ingest_data import span_web
from components.ingest_data.core import ingest_data
from components.ingest_data.described import read_described
from components.ingest_data.sql_source import name_database
from mulgil.artifacts import SPLITS, SpanNews, fingerprint_files
from mulgil.contract import load_project
from mulgil.contract.periods import periods_between
from mulgil.contract.queries import QueryWindow
from mulgil.contract.sources import SqlSource
from mulgil.errors import InputError, TemporaryError
from mulgil.images import encode_png
from mulgil.local.cache.project_inputs import read_project_inputs

BOUNDS = "seen >= :span_begin AND seen < :span_end"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


def insert(shop, rows, table="sales"):
    with closing(sqlite3.connect(shop.folder / "shop.db")) as base, base:
        base.execute(f"CREATE TABLE IF NOT EXISTS {table} ({HEADER})")
        base.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", [row.split(",") for row in rows])


def ask(shop, window, query=f"SELECT * FROM sales WHERE {BOUNDS}; ", url="sqlite:///shop.db"):
    shop.declare_source(f'{{kind: sql, url: "{url}", query: "{query}", spans: {window}}}')


def test_of_a_query_only_the_periods_that_are_new_are_read_and_late_rows_are_told(shop, capsys):
    for day in (1, 2, 4):
        insert(shop, rows_of(day)[:-1])
    ask(shop, "{since: 2026-11-01, until: 2026-11-30}")
    first = shop.ingest()

    assert [span.name for span in first.spans] == ["2026-11-01", "2026-11-02", "2026-11-04"]
    assert first.rows_read == 90
    insert(shop, rows_of(5)[:-1])
    insert(shop, ["late,2026-11-02T23:59:59,1.5,train,yes"])
    capsys.readouterr()
    grown = shop.ingest()
    said = capsys.readouterr().out
    assert "read 2, took over 2" in said
    assert shop.statuses(grown) == {"01": "known", "02": "changed", "04": "known", "05": "new"}
    assert grown.rows_read == 121
    # What all of them at once give.
    shop.declare_source('{kind: sql, url: "sqlite:///shop.db", query: "SELECT * FROM sales ORDER BY seen"}')
    assert shop.ingest().fingerprint == grown.fingerprint


@pytest.mark.parametrize("url", ["sqlite:///shop.db", "sqlite:///${SHOP_BASE}"])
def test_rows_of_another_database_are_not_taken_over_whatever_the_url_says(shop, tmp_path, monkeypatch, url):
    other = Shop(tmp_path / "other")
    insert(shop, rows_of(1)[:-1])
    # As many, and of the same times.
    insert(other, [row.replace("c1-", "other-") for row in rows_of(1)[:-1]])
    read = []
    for one in (shop, other):
        monkeypatch.setenv("SHOP_BASE", str(one.folder / "shop.db"))
        asking = shop if "SHOP_BASE" in url else one
        ask(asking, "{since: 2026-11-01}", url=url)
        read.append(asking.ingest().fingerprint)
        assert asking.news().new == ("2026-11-01",)

    assert read[0] != read[1]


def test_a_database_is_another_one_by_all_but_its_password(tmp_path, monkeypatch):
    for name in ("PGHOST", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)

    def name(url, **environment):
        with monkeypatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, value)
            return name_database(SqlSource(kind="sql", url=url, query="SELECT 1"), tmp_path)

    url = "postgresql://me:${WORD}@${HOST}/shop"
    named = name(url, HOST="a", WORD="secret")
    assert named == name("postgresql+psycopg://me:${WORD}@a/shop", WORD="an/other")
    assert "secret" not in named
    others = [name(url.replace(*change), HOST="a", WORD="") for change in (("me", "you"), ("shop", "stage"))]
    others += [name(url, HOST="b", WORD=""), name(url, HOST="a:5433", WORD="")]
    others += [name("postgresql:///shop", PGHOST=host) for host in ("a", "b")]
    assert len({named, *others}) == 7
    with pytest.raises(InputError, match=r"URL cannot be used(?s:.*)\$\{PORT\}"):
        name("postgresql://me@a:${PORT}/shop", PORT="none")


def test_the_first_day_that_there_is_may_begin_a_window():
    window = QueryWindow(since="0001-01-01", until="0001-12-31", every="year")
    assert [span.name for span in periods_between("year", window.first_day, window.until)] == ["0001-01-01"]


def test_a_checksum_tells_of_rows_that_are_others_where_their_number_and_times_are_not(shop):
    insert(shop, rows_of(1)[:-1])
    ask(shop, "{since: 2026-11-01, checksum: sum(size)}")
    shop.ingest()
    with closing(sqlite3.connect(shop.folder / "shop.db")) as base, base:
        base.execute("UPDATE sales SET size = size + 1 WHERE who = 'c1-7'")
    shop.ingest()
    assert shop.news().changed == ("2026-11-01",)
    ask(shop, "{since: 2026-11-01, checksum: sum(weight)}")
    with pytest.raises(InputError, match=r"no such column: weight(?s:.*)checksum=sum\(weight\)"):
        shop.ingest()


def test_the_earliest_time_of_a_period_tells_of_a_late_row_too(shop):
    insert(shop, rows_of(1)[:-1])
    ask(shop, "{since: 2026-11-01}")
    shop.ingest()
    with closing(sqlite3.connect(shop.folder / "shop.db")) as base, base:
        base.execute("UPDATE sales SET seen = '2026-11-01T00:07:30' WHERE seen = '2026-11-01T00:00:00'")
    shop.ingest()
    assert shop.news().changed == ("2026-11-01",)


def test_where_nothing_is_new_a_source_elsewhere_gives_the_very_same_dataset(shop):
    insert(shop, rows_of(1)[:-1])
    ask(shop, "{since: 2026-11-01}")
    shop.ingest()
    first = fingerprint_files(shop.folder / "dataset")
    assert shop.news().new == ("2026-11-01",)
    shop.ingest()

    assert shop.news() == SpanNews()
    assert fingerprint_files(shop.folder / "dataset") == first


def test_a_window_of_periods_asks_only_as_far_back_as_it_needs_to(shop, monkeypatch):
    months = [(month, i) for month in range(1, 12) for i in range(10)]
    insert(shop, [f"c{i},2026-{month:02}-03,{i}.5,train,{'ny'[i % 2]}" for month, i in months])
    ask(shop, "{since: 2020-01-01, every: month, newest: 2, until: 2026-10-31}")
    manifest = shop.ingest()
    assert [span.name for span in manifest.spans] == ["2026-09-01", "2026-10-01"]
    # Those before the window are taken to be there still.
    ask(shop, "{since: 2020-01-01, every: month, newest: 1, until: 2026-10-31}")
    shop.ingest()
    assert shop.news() == SpanNews()


def test_a_period_that_is_not_over_is_not_read(shop):
    insert(shop, rows_of(1)[:-1])
    insert(shop, ["early,2999-01-01,1.5,train,yes"])
    ask(shop, "{since: 2026-11-01}")
    assert [span.name for span in shop.ingest().spans] == ["2026-11-01"]
    ask(shop, "{since: 2999-01-01}")
    with pytest.raises(InputError, match=r"(?s)no span to read.*none in 0 of them.*correct `source\.spans`"):
        shop.ingest()


def test_a_query_in_spans_is_explored_with_its_newest_one(shop, tmp_path):
    for day in (1, 2):
        insert(shop, rows_of(day, count=20 + day)[:-1])
    ask(shop, "{since: 2026-11-01}")
    table = read_described(load_project(shop.folder), tmp_path)

    assert (table.newest_span, table.newest_rows) == ("2026-11-02", 22)
    assert len(table.columns["size"]) == 43


@pytest.mark.parametrize(
    ("window", "query", "words"),
    [
        ("{newest: 3}", f"SELECT * FROM sales WHERE {BOUNDS}", "expected `since: 2026-10-01`"),
        ("{since: 3}", f"SELECT * FROM sales WHERE {BOUNDS}", "received since=3"),
        ("{since: 2026-10-02, every: month}", f"SELECT * FROM sales WHERE {BOUNDS}", "expected 2026-10-01"),
        ("{since: 2026-10-01, every: week}", f"SELECT * FROM sales WHERE {BOUNDS}", "expected 2026-09-28"),
        ("{since: 2026-10-01, until: 2026-11-15, every: month}", "SELECT 1", "2026-10-31 or 2026-11-30"),
        ("{since: 2026-10-01, until: 2026-10-15, every: month}", "SELECT 1", "expected 2026-10-31; received"),
        ("{since: 2026-10-05, until: 2026-10-17, every: week}", "SELECT 1", "2026-10-11 or 2026-10-18"),
        ("{since: 2025-01-01, until: 2026-10-31, every: year}", "SELECT 1", "2025-12-31 or 2026-12-31"),
        ("{since: 2026-10-01}", f"SELECT * FROM sales WHERE {BOUNDS}; -- all", "received ; -- all"),
        ("{since: 2026-10-01}", f"SELECT ';' FROM sales WHERE {BOUNDS}; SELECT 1;", "received ; SELECT 1"),
        (
            "{since: 2026-10-01}",
            "SELECT * FROM sales WHERE seen >= ':span_begin' AND seen < :span_end",
            "in quotes or in a comment is no bound; expected it without quotes, and in a comment without its "
            "colon; received there :span_begin",
        ),
        ("{since: 2026-10-01}", f"SELECT * FROM sales -- {BOUNDS}", "received there :span_begin :span_end"),
        ("{since: 2026-10-01}", f"SELECT 1 /* {BOUNDS} */", "received there :span_begin :span_end"),
        ("{since: 2026-10-01}", "SELECT * FROM sales", "received neither"),
        ("{since: 2026-10-01}", "SELECT * FROM sales WHERE seen > :span_begin", "received :span_begin"),
        ("null", f"SELECT * FROM sales WHERE {BOUNDS}", "stand for the bounds of a span"),
    ],
)
def test_a_query_that_cannot_be_asked_in_spans_is_refused_in_words(shop, window, query, words):
    ask(shop, window, query)
    with pytest.raises(InputError) as told:
        load_project(shop.folder)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("sqlite:///shop.db", f"SELECT 'it''s; --', \"a;b\" FROM sales -- all; of them\nWHERE {BOUNDS};"),
        ("postgresql:///shop", f"SELECT E'it\\'s;', 'a\\', seen::date /* ; */ FROM sales WHERE {BOUNDS};"),
        ("mysql:///shop", f"SELECT 'it\\'s; ' # ;\nFROM sales WHERE {BOUNDS} AND part <> ''"),
    ],
)
def test_quotes_and_comments_may_hold_any_sign_in_a_query_of_spans(url, query):
    window = QueryWindow(since="2026-10-05", until="9999-12-31", every="week")
    assert SqlSource(kind="sql", url=url, query=query, spans=window).query == query


class Files(SimpleHTTPRequestHandler):
    """Serves a folder, if need be without dates and HEAD, forbids some of it, or has an answer to all."""

    without_validators = False
    forbidden: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    instead = ""

    def translate_path(self, path: str) -> str:
        found = super().translate_path(path)
        return super().translate_path(Files.instead) if Files.instead and not Path(found).exists() else found

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified" or not Files.without_validators:
            super().send_header(keyword, value)

    def do_HEAD(self) -> None:
        if Files.without_validators:
            self.send_error(405)
        elif self.path in Files.forbidden:
            self.send_error(403)
        else:
            super().do_HEAD()

    def do_GET(self) -> None:
        Files.asked = (*Files.asked, self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(shop, monkeypatch):
    for name, value in (("without_validators", False), ("forbidden", ()), ("asked", ()), ("instead", "")):
        monkeypatch.setattr(Files, name, value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(shop.folder / "sales")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(shop, location, window):
    shop.declare_source(f'{{kind: csv, location: "{location}", spans: {window}}}')


@pytest.mark.parametrize("without_validators", [False, True])
def test_of_a_web_server_each_date_is_asked_for_and_only_what_is_new_is_read(
    shop, web, capsys, without_validators
):
    Files.without_validators = without_validators
    for day in DAYS[:2]:
        shop.write(day)
    fetch(shop, f"{web}/{{date}}.csv", "{since: 2026-10-30, until: 2026-11-04}")
    first = shop.ingest()
    assert [span.name for span in first.spans] == DAYS[:2]
    assert first.rows_read == 62
    shop.write(DAYS[1], rows_of(2, count=40))
    shop.write(DAYS[3])
    capsys.readouterr()
    again = shop.ingest()

    assert "read 2, took over 1" in capsys.readouterr().out
    assert shop.statuses(again) == {"01": "known", "02": "changed", "04": "new"}
    assert again.rows_read == 31 + 41 + 31


def test_months_and_numbers_of_a_web_server_are_told_by_their_names(shop, web):
    for name, day in (("2026-09", 1), ("2026-10", 2), ("1", 3), ("2", 4), ("4", 5)):
        shop.write(name, rows_of(day))
    fetch(shop, f"{web}/{{year}}-{{month}}.csv", "{since: 2026-01-01, until: 2026-11-30, newest: 1}")
    assert [span.name for span in shop.ingest().spans] == ["2026-10-01"]
    fetch(shop, f"{web}/{{span}}.csv", "{since: 1}")
    assert [span.name for span in shop.ingest().spans] == ["1", "2"]
    fetch(shop, f"{web}/{{span}}.csv", "{since: 2, until: 9, newest: 2}")
    assert [span.name for span in shop.ingest().spans] == ["2", "4"]


def test_of_a_page_that_lists_files_only_they_are_asked_for(shop, web):
    for number, day in enumerate(DAYS[:3], start=1):
        (shop.folder / "sales" / day).mkdir()
        shop.write(f"{day}/v1", rows_of(9))
        shop.write(f"{day}/v2-{number}", rows_of(number))
    links = [f'<a href="{day}/v2-{number}.csv">it</a>' for number, day in enumerate(DAYS[:3], start=1)]
    (shop.folder / "sales" / "page.html").write_text("\n".join([*links, '<a href="2026-11-01/v1.csv">']))
    fetch(shop, f"{web}/{{date}}/v{{version}}*.csv", f'{{newest: 2, listing: "{web}/page.html"}}')
    manifest = shop.ingest()

    assert shop.statuses(manifest) == {"02": "new", "03": "new"}
    assert manifest.rows_read == 62
    (shop.folder / "sales" / DAYS[2] / "v2-3.csv").unlink()
    with pytest.raises(InputError, match=r"lists what is not there(?s:.*)v2-3\.csv"):
        shop.ingest()


def test_what_a_bucket_forbids_is_not_there_yet_but_never_a_gap(shop, web):
    for day in (DAYS[0], DAYS[2]):
        shop.write(day)
    Files.forbidden = (f"/{DAYS[3]}.csv", f"/{DAYS[4]}.csv")
    fetch(shop, f"{web}/{{date}}.csv", "{since: 2026-11-01, until: 2026-11-05}")
    assert [span.name[-2:] for span in shop.ingest().spans] == ["01", "03"]
    Files.forbidden = (f"/{DAYS[1]}.csv",)
    with pytest.raises(InputError, match="403"):
        shop.ingest()
    Files.forbidden = tuple(f"/{day}.csv" for day in DAYS)
    with pytest.raises(InputError, match=r"none of 5 dates, .*; the server answered 403 Forbidden for 5"):
        shop.ingest()


def test_what_is_forbidden_between_two_numbers_is_refused_and_after_the_last_is_not_there_yet(shop, web):
    for number in (1, 2, 3):
        shop.write(str(number), rows_of(number))
    Files.forbidden = ("/3.csv",)
    fetch(shop, f"{web}/{{span}}.csv", "{since: 1, until: 3}")
    assert [span.name for span in shop.ingest().spans] == ["1", "2"]
    Files.forbidden = ("/2.csv",)
    with pytest.raises(InputError, match=r"403(?s:.*)2\.csv"):
        shop.ingest()


@pytest.mark.parametrize(
    ("form", "window", "names"),
    [
        ("{span}", "{since: 1}", ["1", "2"]),
        ("{span}", "{since: 1, until: 4}", ["1", "2", "4"]),
        ("{date}", "{since: 2026-11-01, until: 2026-11-04}", []),
    ],
)
def test_a_page_that_a_server_has_for_whatever_is_not_there_is_no_span(shop, web, form, window, names):
    for number in (1, 2, 4):
        shop.write(str(number), rows_of(number))
    (shop.folder / "sales" / "page.html").write_text("<!doctype html><title>Not found</title>")
    Files.instead = "page.html"
    fetch(shop, f"{web}/{form}.csv", window)
    if names:
        assert [span.name for span in shop.ingest().spans] == names
    else:
        with pytest.raises(InputError, match="the server answered a page of a website for 4"):
            shop.ingest()


def test_a_table_that_a_server_calls_a_page_is_read(shop, web):
    shop.write("1", rows_of(1))
    (shop.folder / "sales" / "1.csv").rename(shop.folder / "sales" / "1.html")
    fetch(shop, f"{web}/{{span}}.html", "{since: 1}")
    assert [span.name for span in shop.ingest().spans] == ["1"]


def test_numbers_that_do_not_end_are_refused_and_their_last_is_asked_for(shop, web, monkeypatch):
    shop.write("1", rows_of(1))
    Files.instead = "1.csv"
    monkeypatch.setattr(span_web, "_MOST_NUMBERS", 5)
    fetch(shop, f"{web}/{{span}}.csv", "{since: 1}")
    with pytest.raises(InputError, match=r"do not end(?s:.*)from 1 to 5(?s:.*)`until` in `source\.spans`"):
        shop.ingest()
    fetch(shop, f"{web}/{{span}}.csv", "{since: 1, until: 20261031}")
    with pytest.raises(InputError, match=r"too many numbers(?s:.*)20,261,031, from 1 to 20261031"):
        shop.ingest()


@pytest.mark.parametrize(
    ("listing", "content"),
    [
        (
            "page.html",
            "<script>x = '//[^a]';</script>"
            "<a href='2026-11-01.csv?a=1&amp;b=2'></a><a href='2026-11-02.csv?a=1&amp;b=2'></a>"
            "<a href='old.csv'></a>",
        ),
        ("list.txt", "2026-11-01.csv?a=1&b=2,12\n2026-11-02.csv?a=1&b=2;13\nold.csv\n"),
    ],
)
def test_a_listing_is_read_as_it_is_written_and_what_is_of_no_span_is_named(
    shop, web, capsys, listing, content
):
    for day in DAYS[:2]:
        shop.write(day)
    (shop.folder / "sales" / listing).write_text(content)
    fetch(shop, f"{web}/{{date}}.csv?a=1&b=2", f'{{listing: "{web}/{listing}"}}')

    assert [span.name for span in shop.ingest().spans] == DAYS[:2]
    assert f"of no span, and not read: {web}/old.csv\n" in capsys.readouterr().out
    fetch(shop, f"{web}/{{date}}-of-us.csv", f'{{listing: "{web}/{listing}"}}')
    with pytest.raises(InputError, match=r"0 spans are named(?s:.*)another form: \S+\.csv"):
        shop.ingest()


def test_the_links_of_a_listing_that_moved_are_those_of_its_new_address(shop, web):
    (shop.folder / "sales" / "days").mkdir()
    shop.write(f"days/{DAYS[0]}", rows_of(1))
    fetch(shop, f"{web}/days/{{date}}.csv", f'{{listing: "{web}/days"}}')
    assert [span.name for span in shop.ingest().spans] == DAYS[:1]


@pytest.mark.parametrize(
    ("location", "window", "words"),
    [
        ("{date}.csv", "null", "expected `spans: {since: …}`"),
        ("{date}.csv", "{newest: 3}", "`spans: {listing: https://…}`"),
        ("{date}/*.csv", "{since: 2026-11-01}", "expected no {version} and no *"),
        ("{span}-{version}.csv", "{since: 1}", "expected no {version} and no *"),
        ("{span}.csv", "{since: 2026-11-01}", "a bound of these spans is a number"),
    ],
)
def test_a_web_servers_spans_that_cannot_be_told_are_refused_in_words(shop, location, window, words):
    fetch(shop, f"https://example.com/{location}", window)
    with pytest.raises(InputError) as told:
        load_project(shop.folder)
    assert words in str(told.value)


def test_a_web_server_that_is_gone_is_told_and_what_was_read_stays(shop, web, home):
    shop.write(DAYS[0])
    fetch(shop, f"{web}/{{date}}.csv", "{since: 2026-11-01, until: 2026-11-02}")
    whole = shop.ingest()
    fetch(shop, "http://127.0.0.1:1/{date}.csv", "{since: 2026-11-01, until: 2026-11-02}")
    with pytest.raises(TemporaryError, match="cannot be reached"):
        shop.ingest()
    fetch(shop, f"{web}/{{date}}.csv", "{since: 2026-11-01, until: 2026-11-02}")
    assert shop.ingest().fingerprint == whole.fingerprint
    assert Files.asked.count(f"/{DAYS[0]}.csv") == 1
    fetch(shop, f"{web}/{{date}}.csv", "{since: 2027-01-01, until: 2027-01-03}")
    with pytest.raises(InputError, match="none of 0 dates"):
        shop.ingest()


class Gallery:
    """A project whose images come in a folder a day, and in it a folder a class."""

    def __init__(self, folder, location="photos/{date}"):
        self.folder = folder
        folder.mkdir()
        described = [
            {"name": "path", "role": "entity", "type": "text", "description": "d"},
            *(column for column in columns() if column["name"] != "key"),
        ]
        (folder / "data_dictionary.yaml").write_text(json.dumps({"columns": described}))
        self.declare(location)

    def declare(self, location):
        source = {"kind": "image_folder", "location": location}
        project = {
            "name": "gallery",
            "problem": {"goal": "g", "success_measure": "s"},
            "task": "multiclass_classification",
            "source": source,
        }
        (self.folder / "project.yaml").write_text(json.dumps(project))

    def write(self, day, numbers):
        for number in numbers:
            picture, label = draw(number)
            file = self.folder / "photos" / day / label / f"{number % 40}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_png(picture))

    def ingest(self):
        return ingest_data(
            project_path=self.folder,
            source="",
            dataset_path=self.folder / "dataset",
            quarantine_path=self.folder / "quarantine",
        )

    def rows(self):
        parts = [pq.read_table(self.folder / "dataset" / f"{split}.parquet").to_pylist() for split in SPLITS]
        return {row["path"]: row["label"] for part in parts for row in part}


def test_a_new_dated_folder_of_images_is_read_alone_and_its_classes_are_its_own_folders(tmp_path, capsys):
    gallery = Gallery(tmp_path / "gallery")
    gallery.write(DAYS[0], range(40))
    gallery.write(DAYS[1], range(40, 80))
    gallery.ingest()
    gallery.write(DAYS[2], range(80, 90))
    capsys.readouterr()
    manifest = gallery.ingest()

    assert "read 1, took over 2" in capsys.readouterr().out
    assert manifest.rows_read == 90
    rows = gallery.rows()
    assert rows["2026-11-01/across/0.png"] == rows["2026-11-02/across/0.png"] == "across"
    assert rows["2026-11-03/down/1.png"] == "down"
    inputs = read_project_inputs("ingest_data", gallery.folder, "")
    assert (len(inputs.files), inputs.is_known) == (90, True)
    gallery.declare("photos/{year}/*")
    with pytest.raises(InputError, match="spans of images are folders"):
        gallery.ingest()


@pytest.mark.parametrize("location", ["", "/{date}"])
def test_images_in_an_object_store_are_what_the_same_folders_here_are(tmp_path, location):
    here = Gallery(tmp_path / "here", f"photos{location}")
    for day, numbers in ((DAYS[0], range(40)), (DAYS[1], range(40, 60))):
        here.write(day if location else "", numbers)
    classes = here.folder / "photos" / (DAYS[0] if location else "")
    some = (classes / "across" / "0.png").read_bytes()
    for name in ("across/_1000.png", "across/.1000.png", ".thumbs/0.png"):
        (classes / name).parent.mkdir(exist_ok=True)
        (classes / name).write_bytes(some)
    files = fsspec.filesystem("memory")
    there = Gallery(tmp_path / "there", f"memory://gallery{location}")
    for file in (here.folder / "photos").rglob("*.png"):
        files.put_file(str(file), f"/gallery/{file.relative_to(here.folder / 'photos')}")
    try:
        assert (there.ingest().fingerprint, there.rows()) == (here.ingest().fingerprint, here.rows())
        assert [path for path in here.rows() if "1000" in path or ".thumbs" in path] == [
            f"{DAYS[0]}/across/_1000.png" if location else "across/_1000.png"
        ]
    finally:
        files.rm("/gallery", recursive=True)
