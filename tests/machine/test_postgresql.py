"""A real PostgreSQL as a source: what it gives is read, and what it refuses is told."""

import os
import signal

import pyarrow.parquet as pq
import pytest
from failing_sources import completes, fails, write_project
from postgres_server import PASSWORD, run_postgres

import components.ingest_data.sql_source as sql_source
from mulgil import cli
from mulgil.artifacts import SPLITS
from mulgil.contract import load_project

ROWS = 6_000
TABLE = f"""
CREATE TABLE patients AS SELECT
  'p' || i AS who, timestamptz '2024-01-01 00:00+09' + i * interval '1 second' AS seen,
  (i / 8.0)::numeric(12, 3) AS size, i % 2 = 1 AS ill
FROM generate_series(1, {ROWS}) AS i
"""


@pytest.fixture(scope="module")
def server():
    with run_postgres() as server:
        server.execute(TABLE)
        yield server


@pytest.fixture
def project(tmp_path, server, monkeypatch):
    monkeypatch.setenv("MULGIL_TEST_PASSWORD", PASSWORD)
    ask(tmp_path, server)
    return tmp_path


def ask(folder, server, query="SELECT * FROM patients", url=None):
    write_project(folder, f'{{kind: sql, url: "{url or server.url}", query: "{query}"}}')


def test_a_query_is_read_with_its_types(project, server):
    completes(project, "")

    parts = [pq.read_table(project / "out" / "dataset" / f"{name}.parquet") for name in SPLITS]
    rows = {row["who"]: row for part in parts for row in part.to_pylist()}
    assert len(rows) == ROWS
    assert rows["p9"]["size"] == 1.125
    assert rows["p9"]["ill"] is True
    assert rows["p9"]["seen"].isoformat() == "2023-12-31T15:00:09+00:00"


def test_a_query_is_asked_for_its_days_and_late_rows_are_read(project, server, capsys, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(project / "home"))
    server.execute("CREATE TABLE visits AS SELECT * FROM patients")
    bounds = "seen >= :span_begin AND seen < :span_end"
    source = (
        f'{{kind: sql, url: "{server.url}", query: "SELECT who, seen, size, ill FROM visits WHERE {bounds}"'
    )
    checksum = "count(*) FILTER (WHERE size::text LIKE '7%')"
    window = f'{{since: 2023-12-25, until: 2024-01-31, checksum: "{checksum}"}}'
    write_project(project, f"{source}, spans: {window}}}")
    completes(project, "")
    assert "span 2023-12-31: read 1, took over 0" in capsys.readouterr().out
    server.execute("INSERT INTO visits VALUES ('late', '2023-12-31 23:00+00', 1, true)")
    server.execute("INSERT INTO visits VALUES ('next', '2024-01-02 00:00+00', 1, false)")
    completes(project, "")
    said = capsys.readouterr().out

    assert "2 spans, 2023-12-31 to 2024-01-02: read 2, took over 0" in said
    assert "new: 2024-01-02" in said
    assert "changed, and read anew: 2023-12-31" in said
    completes(project, "")
    assert "read 0, took over 2" in capsys.readouterr().out
    server.execute("UPDATE visits SET size = 7 WHERE who = 'late'")
    completes(project, "")
    assert "changed, and read anew: 2023-12-31" in capsys.readouterr().out
    # Another test drafts from the only table that there is.
    server.execute("DROP TABLE visits")


def test_a_query_that_deletes_changes_nothing(project, server, capsys):
    completes(project, "")
    ask(project, server, "WITH gone AS (DELETE FROM patients RETURNING *) SELECT * FROM gone")

    fails(project, "", capsys, 2, "must not contain data-modifying statements")

    assert server.execute("SELECT count(*) FROM patients") == [(ROWS,)]


def test_a_wrong_password_is_the_users_to_correct_and_is_not_shown(project, capsys, monkeypatch):
    completes(project, "")
    monkeypatch.setenv("MULGIL_TEST_PASSWORD", "wrong/and@secret")

    said = fails(project, "", capsys, 2, "does not let this user in", 'failed for user "owner"', "To do")
    assert not any(word in said for word in ("wrong", "secret"))


@pytest.mark.parametrize(
    ("query", "url", "words"),
    [
        ("SELECT * FROM nowhere", None, 'relation "nowhere" does not exist'),
        ("SELECT nothing FROM patients", None, 'column "nothing" does not exist'),
        ("SELECT * FROM patients", "/nowhere", 'database "nowhere" does not exist'),
    ],
)
def test_what_is_not_there_is_named(project, server, capsys, query, url, words):
    completes(project, "")
    ask(project, server, query, url and server.url.replace("/postgres", url))

    fails(project, "", capsys, 2, words, "Received", "To do")


# The driver's own, of a cursor that can be closed on no server any longer.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_a_query_that_is_cut_midway_is_temporary_and_the_next_run_completes(
    project, server, capsys, monkeypatch
):
    completes(project, "")
    plain, seen = sql_source.plain, []

    def end_the_server(cell):
        seen.append(cell)
        if len(seen) == 1:
            server.end(signal.SIGQUIT)
        return plain(cell)

    with monkeypatch.context() as patched:
        # While the first of six batches is looked at.
        patched.setattr(sql_source, "BATCH_ROWS", ROWS // 6)
        patched.setattr(sql_source, "plain", end_the_server)
        fails(project, "", capsys, 75, "The database did not answer the query", "run again")
    assert len(seen) == 4 * ROWS // 6
    # A server that is not there any longer.
    fails(project, "", capsys, 75, "Connection refused", "run again")

    server.start()
    completes(project, "")


def test_a_project_is_drafted_from_the_only_table(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MULGIL_TEST_PASSWORD", PASSWORD)
    words = ["init", str(tmp_path / "drafted"), "--from", server.url, "--target", "ill"]
    monkeypatch.setattr("sys.argv", ["mulgil", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()

    assert not left.value.code, capsys.readouterr()
    project = load_project(tmp_path / "drafted")
    assert project.project.source.query == "SELECT * FROM patients"
    assert {column.name for column in project.dictionary.columns} >= {"who", "seen", "size", "ill"}
    assert os.environ["MULGIL_TEST_PASSWORD"] not in (tmp_path / "drafted" / "project.yaml").read_text()
    completes(tmp_path / "drafted", "")
