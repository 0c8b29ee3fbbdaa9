"""Which model version has an alias, read from MLflow's database without MLflow.

Importing MLflow takes a second or two, and whoever only wants to know who is the champion should not wait for
it. The tables are those of the MLflow that the lock pins; a test holds the answers against MLflow's own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

# MLflow writes in short transactions.
_WAIT_SECONDS = 30.0

_VERSION_BY_ALIAS = """
SELECT name, version, source, value
FROM registered_model_aliases
JOIN model_versions USING (workspace, name, version)
JOIN model_version_tags USING (workspace, name, version)
WHERE name = :name AND alias = :alias AND key = :tag
"""


class VersionRow(NamedTuple):
    """A model version as the tables have it.

    Attributes:
        name: The registered model.
        version: Its number.
        source: Where its artifacts are.
        tag: The value of the tag that was asked for.
    """

    name: str
    version: int
    source: str
    tag: str


def read_version(database: Path, name: str, alias: str, tag: str) -> VersionRow | None:
    """Return the version that has an alias; `None` where none has.

    Args:
        database: MLflow's SQLite file, which must exist.
        name: The registered model.
        alias: The alias.
        tag: A tag that every version has.

    Raises:
        sqlite3.Error: The file is not such a database.
    """
    # For reading alone: looking makes no file.
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS)) as connection:
        values = {"name": name, "alias": alias, "tag": tag}
        row = connection.execute(_VERSION_BY_ALIAS, values).fetchone()
    return None if row is None else VersionRow(*row)
