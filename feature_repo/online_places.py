"""Where one version's online rows are, and how their next state takes their place."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from feature_repo.layout import StoreLayout
from feature_repo.redis_online_store import connect, publish_hash, stage_hash
from mulgil.online_rows import table_name
from mulgil.online_stores import URL_VARIABLE, StoreKind

# Feast's project, as in feature_store.yaml; it stands in the tables' names.
FEAST_PROJECT = "mulgil"


class OnlinePlace(Protocol):
    """The rows of one version of the definitions."""

    @property
    def kind(self) -> StoreKind:
        """What keeps them."""

    @property
    def location(self) -> str:
        """Where in it: what a bundle says, and so without a password."""

    @property
    def configuration(self) -> dict[str, Any]:
        """Feast's section `online_store`."""

    def stage(self, folder: Path) -> OnlinePlace:
        """Copy them aside; a place that is empty where there are none yet."""

    def publish(self, staged: OnlinePlace) -> None:
        """Put what was staged in their place, at once for every reader."""


@dataclass(frozen=True)
class SqlitePlace:
    """A file.

    Attributes:
        path: Of the file.
    """

    path: Path
    kind: StoreKind = "sqlite"

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def configuration(self) -> dict[str, Any]:
        """Feast's section `online_store`."""
        return {
            "type": "feature_repo.sqlite_online_store.SqliteRowOnlineStore",
            "path": str(self.path),
        }

    def stage(self, folder: Path) -> SqlitePlace:
        """Copy the file."""
        staged = folder / self.path.name
        if self.path.exists():
            shutil.copyfile(self.path, staged)
        return replace(self, path=staged)

    def publish(self, staged: OnlinePlace) -> None:
        """Rename the copy: whoever has the old file open reads on in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        Path(staged.location).replace(self.path)


@dataclass(frozen=True)
class RedisPlace:
    """A hash in Redis.

    Attributes:
        url: Of Redis, with its password.
        table: The hash's name without the suffix.
        suffix: Behind it.
    """

    url: str
    table: str
    suffix: str = ""
    kind: StoreKind = "redis"

    @property
    def location(self) -> str:
        """The hash's name."""
        return self.table + self.suffix

    @property
    def configuration(self) -> dict[str, Any]:
        """Feast's section `online_store`."""
        return {
            "type": "feature_repo.redis_online_store.RedisRowOnlineStore",
            "url": self.url,
            "suffix": self.suffix,
        }

    def stage(self, folder: Path) -> RedisPlace:
        """Copy the hash."""
        staged = replace(self, suffix=f"{self.suffix}:staged")
        with connect(self.url) as client:
            stage_hash(client, self.location, staged.location)
        return staged

    def publish(self, staged: OnlinePlace) -> None:
        """Rename the copy."""
        with connect(self.url) as client:
            publish_hash(client, staged.location, self.location)


def find_place(layout: StoreLayout, project: str, version: str, view: str) -> OnlinePlace:
    """Return where a version's rows are: in Redis where the environment says so, else in a file.

    Args:
        layout: Where files are.
        project: The project's name.
        version: Of its definitions.
        view: The feature view.
    """
    url = os.environ.get(URL_VARIABLE)
    if url:
        return RedisPlace(url, table_name(FEAST_PROJECT, view))
    return SqlitePlace(layout.online(project, version))
