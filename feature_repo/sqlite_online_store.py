"""The online store on a laptop: a table a feature view in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from feature_repo.row_online_store import RowOnlineStore
from mulgil.online_rows import TIMES_BYTES, TIMES_START

# Pages that SQLite keeps while it sorts. Chosen by eye.
_CACHE_KIBIBYTES = 1 << 16


class SqliteRowOnlineStoreConfig(FeastConfigBaseModel):
    """The section `online_store` of feature_store.yaml.

    Attributes:
        type: The class.
        path: The file; a relative one counts from the folder of feature_store.yaml.
    """

    type: Literal["feature_repo.sqlite_online_store.SqliteRowOnlineStore"]
    path: str


class SqliteRowOnlineStore(RowOnlineStore):
    """Rows in SQLite."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None

    def write_rows(self, config: RepoConfig, table: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put rows by key in one transaction, each unless a newer one is there."""
        with self._connect(config) as connection:
            # In the order of the tree, which then grows at its end.
            connection.executemany(
                f"INSERT INTO {_quote(table)} VALUES (?, ?) {_unless_newer(table)}", sorted(rows)
            )

    def load_rows(self, config: RepoConfig, table: str, rows: Iterable[list[tuple[bytes, bytes]]]) -> None:
        """Put many rows by key in one transaction, each unless a newer one is there.

        Each part of them by itself would be scattered over the whole tree, which is then read and written
        once a part. So they are all put aside, in a file of SQLite's own, and sorted there.
        """
        connection = self._connect(config)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        connection.execute("CREATE TEMP TABLE aside (entity_key BLOB NOT NULL, row BLOB NOT NULL)")
        try:
            with connection:
                for some in rows:
                    connection.executemany("INSERT INTO aside VALUES (?, ?)", some)
                connection.execute(
                    # `WHERE true`, or SQLite takes ON for that of a join.
                    f"INSERT INTO {_quote(table)} SELECT entity_key, row FROM aside WHERE true "
                    f"ORDER BY entity_key {_unless_newer(table)}"
                )
        finally:
            connection.execute("DROP TABLE aside")

    def read_rows(self, config: RepoConfig, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read rows by key; `None` for one that there is not."""
        connection = self._connect(config)
        query = f"SELECT row FROM {_quote(table)} WHERE entity_key = ?"
        found = (connection.execute(query, (key,)).fetchone() for key in keys)
        return [None if row is None else row[0] for row in found]

    def make_table(self, config: RepoConfig, table: str) -> None:
        """See to it that there is a table."""
        with self._connect(config) as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_quote(table)} "
                "(entity_key BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID"
            )

    def drop_table(self, config: RepoConfig, table: str) -> None:
        """See to it that there is none."""
        with self._connect(config) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {_quote(table)}")

    def _connect(self, config: RepoConfig) -> sqlite3.Connection:
        if self._connection is None:
            path = Path(config.online_store.path)
            if config.repo_path is not None:
                path = config.repo_path / path
            path.parent.mkdir(parents=True, exist_ok=True)
            # Feast's own server reads from several threads, and SQLite serializes them.
            self._connection = sqlite3.connect(path, check_same_thread=False)
        return self._connection


def _unless_newer(table: str) -> str:
    # SQLite counts from 1. A row of other fields is of no use, however new.
    times, head = f"{TIMES_START + 1}, {TIMES_BYTES}", f"1, {TIMES_START}"
    name = _quote(table)
    return (
        "ON CONFLICT(entity_key) DO UPDATE SET row = excluded.row "
        f"WHERE substr(excluded.row, {times}) >= substr({name}.row, {times}) "
        f"OR substr(excluded.row, {head}) <> substr({name}.row, {head})"
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
