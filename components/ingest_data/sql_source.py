"""The rows that a database gives for a query, read into a raw table as they come."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from components.ingest_data.cells import read_typed_cell
from components.ingest_data.table import BATCH_ROWS, Cells, RawTable, number_batches
from components.ingest_data.typed_cells import plain
from mulgil.contract.queries import without_end
from mulgil.contract.sources import SqlSource
from mulgil.errors import InputError, TemporaryError, describe

_NAME = re.compile(r"\$\{(\w+)\}")
_PASSWORD = re.compile(r"(?<=:)\$\{(\w+)\}(?=@)")

# SQLAlchemy's own choice is psycopg2; ours is its successor, which is installed.
_DRIVERS = {"postgresql": "postgresql+psycopg"}
# By these PostgreSQL's library finds what a URL leaves out.
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGOPTIONS")

# What PostgreSQL and MySQL say of a user or a database that they do not know; waiting helps with neither.
# Of what happens before anybody is let in, PostgreSQL's library hands on the text alone.
_REFUSALS = (
    *("authentication failed", "no password supplied", "no pg_hba.conf entry", "Access denied"),
    *("does not exist", "Unknown database"),
)


def read_sql(source: SqlSource, folder: Path, bounds: Mapping[str, date] | None = None) -> RawTable:
    """Ask a database, and take its rows in batches; nothing is kept of what the query may change.

    Args:
        source: The database's URL and the query.
        folder: Of the project, where a relative file of SQLite lies.
        bounds: Of a span, by their names in the query.

    Raises:
        InputError: The URL, its environment, the user or the query is wrong, or there is no row.
        TemporaryError: The database cannot be reached; or, while rows are read: it broke off.
    """
    results = _results(source, folder, bounds)
    header = next(results)
    assert all(isinstance(name, str) for name in header)
    columns = chain([first] if (first := next(results, None)) else [], results)
    if first is None:
        raise InputError(
            describe(
                f"The query gives columns and no rows: {source.url}",
                expected="rows",
                received=f"query={source.query}",
            )
        )
    return RawTable(source.url, tuple(map(str, header)), number_batches(columns), read_typed_cell)


def _results(
    source: SqlSource, folder: Path, bounds: Mapping[str, date] | None
) -> Iterator[tuple[Cells, ...]]:
    """Yield the names of the columns, then batches of their cells."""
    engine = connectable(source, folder)
    try:
        # Not committed, so rolled back in the end.
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(statement_of(source, bounds))
            yield tuple(result.keys())  # type: ignore[misc]
            for rows in result.partitions(BATCH_ROWS):
                yield tuple([plain(cell) for cell in column] for column in zip(*rows, strict=True))
    except (sa.exc.SQLAlchemyError, ValueError) as exc:
        raise describe_failure(engine, exc, f"url={source.url} query={source.query}") from exc
    finally:
        engine.dispose()


def statement_of(source: SqlSource, bounds: Mapping[str, date] | None = None) -> sa.TextClause:
    """Return a source's query, with the bounds of a span as its parameters."""
    # It may stand within another one, where no semicolon and no comment may end it. Of spans' queries,
    # `explain_bounds` lets none through that has another semicolon.
    statement = sa.text(without_end(source.query) + "\n")
    # Each database is sent a date as it has dates; SQLite, which has none, as text.
    dates = [sa.bindparam(name, day, sa.Date()) for name, day in (bounds or {}).items()]
    return statement.bindparams(*dates)


def describe_failure(engine: sa.Engine, exc: Exception, received: str) -> InputError | TemporaryError:
    """Return the error that tells why a database gives no rows, or no more.

    Args:
        engine: Of the database.
        exc: What its driver said.
        received: The URL as the project has it, and the query.
    """
    said = str(exc).splitlines()[0]
    # SQLite says this of a query that is wrong, too; others of a server that is not there.
    is_of_server = isinstance(exc, sa.exc.OperationalError | sa.exc.InterfaceError)
    is_of_server = is_of_server and engine.dialect.name != "sqlite"
    if is_of_server and any(words in said for words in _REFUSALS):
        return InputError(
            describe(
                f"The database does not let this user in: {said}",
                expected="a user, a password and a database that it knows",
                received=received,
                next_step="correct the URL, or what the environment has for its ${…}",
            )
        )
    return (TemporaryError if is_of_server else InputError)(
        describe(
            f"The database did not answer the query: {said}",
            expected="rows",
            received=received,
            next_step="see whether the database is there, and run again"
            if is_of_server
            else "correct `source` in project.yaml",
        )
    )


def name_database(source: SqlSource, folder: Path) -> str:
    """Return what no other database has, nor another user of it, whatever names stand in a source's URL.

    A password is no part of it: it changes, and the rows stay.

    Raises:
        InputError: The URL or its environment is wrong.
    """
    url = _url_of(source)
    backend, database = url.get_backend_name(), url.database
    if backend == "sqlite" and database:
        database = str((folder / database).resolve())
    options = {name: value for name, value in url.query.items() if "pass" not in name and "pwd" not in name}
    by_library = {name: os.environ.get(name) for name in _LIBPQ} if backend == "postgresql" else {}
    return json.dumps([backend, url.host, url.port, database, url.username, options, by_library])


def connectable(source: SqlSource, folder: Path) -> sa.Engine:
    """Return what connects to a source's database; a file of SQLite is only read.

    Raises:
        InputError: The URL or its environment is wrong, or the file is not there.
    """
    url = _url_of(source)
    if url.get_backend_name() == "sqlite" and url.database:
        path = folder / url.database
        # SQLite makes a database where there is none.
        if not path.is_file():
            raise InputError(
                describe(
                    "The source cannot be read: No such file or directory",
                    expected="a database of SQLite",
                    received=str(path),
                )
            )
        # Read only: of a change to its tables SQLite would not wait for a commit.
        url = url.set(database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    try:
        return sa.create_engine(url.set(drivername=_DRIVERS.get(url.drivername, url.drivername)))
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as exc:
        raise _describe_url(source, exc) from exc


def _url_of(source: SqlSource) -> sa.URL:
    """Return a source's URL, with what the environment has for the names in it."""
    unset = [name for name in _NAME.findall(source.url) if name not in os.environ]
    if unset:
        raise InputError(
            describe(
                f"The environment lacks what the source's URL needs: {', '.join(unset)}",
                received=source.url,
                next_step=f"export {unset[0]}=…",
            )
        )
    try:
        # A password may have signs that divide a URL; a part of it would be shown as the host.
        quoted = _PASSWORD.sub(lambda name: quote(os.environ[name[1]], safe=""), source.url)
        return sa.make_url(_NAME.sub(lambda name: os.environ[name[1]], quoted))
    # SQLAlchemy's own, and of a port that is no number Python's.
    except (sa.exc.ArgumentError, ValueError) as exc:
        raise _describe_url(source, exc) from exc


def _describe_url(source: SqlSource, exc: Exception) -> InputError:
    return InputError(
        describe(
            f"The source's URL cannot be used: {exc}",
            expected="such as sqlite:///rows.db; for other databases, with their driver installed",
            received=source.url,
        )
    )
