"""What a database is asked for where nobody wrote it down yet."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from pydantic import ValidationError

from components.ingest_data.sql_source import connectable, describe_failure
from mulgil.contract.sources import SqlSource
from mulgil.errors import InputError, describe

_SECRET = re.compile(r"://[^/@]*@")

# By their names in SQLAlchemy; any other scheme is a file's.
_DATABASES = {
    *("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql", "duckdb", "snowflake", "bigquery"),
    *("redshift", "clickhouse", "cockroachdb", "trino", "databricks"),
}


def is_database(location: str) -> bool:
    """Whether a location is a database's URL."""
    scheme, _, rest = location.partition("://")
    return bool(rest) and scheme.partition("+")[0] in _DATABASES


def describe_query(url: str, query: str | None, base: Path) -> SqlSource:
    """Return a database and a query as `source` in project.yaml has them.

    Args:
        url: Of the database; a file of SQLite is relative to `base`.
        query: A SELECT; without one, every row of the only table.
        base: The working directory.

    Raises:
        InputError: The URL or the query cannot stand there, the user is not let in, or there are several
            tables to choose from.
        TemporaryError: The database cannot be reached.
    """
    scheme, _, path = url.partition(":///")
    if scheme.partition("+")[0] == "sqlite" and path and not path.startswith("/"):
        url = f"{scheme}:///{(base / path).resolve()}"
    try:
        source = SqlSource(kind="sql", url=url, query=query or "SELECT 1")
    except ValidationError as exc:
        raise InputError(
            describe(
                f"The database cannot be asked so: {exc.errors()[0]['msg']}",
                expected="a URL as SQLAlchemy has it, without a password, and a SELECT",
                received=f"{_SECRET.sub('://…@', url)}" + (f" --query {query}" if query else ""),
            )
        ) from exc
    if query is not None:
        return source
    return source.model_copy(update={"query": _every_row(source, base)})


def _every_row(source: SqlSource, base: Path) -> str:
    engine = connectable(source, base)
    try:
        inspector = sa.inspect(engine)
        tables = sorted([*inspector.get_table_names(), *inspector.get_view_names()])
    except sa.exc.SQLAlchemyError as exc:
        raise describe_failure(engine, exc, f"url={source.url}") from exc
    finally:
        engine.dispose()
    if len(tables) != 1:
        raise InputError(
            describe(
                "A query must say which rows",
                expected="a database of one table, or a query",
                received=f"the tables {', '.join(tables)}" if tables else "a database without a table",
                next_step=f"--query 'SELECT * FROM {tables[0]}'" if tables else "",
            )
        )
    return f"SELECT * FROM {engine.dialect.identifier_preparer.quote(tables[0])}"
