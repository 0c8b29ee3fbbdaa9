"""Where one version's online rows are, and how their next state takes their place."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import redis

from feature_repo.layout import StoreLayout
from feature_repo.redis_online_store import connect, publish_hash, stage_hash
from mulgil.errors import TemporaryError, describe
from mulgil.online_rows import table_name
from mulgil.online_stores import StoreKind, find_redis

# Feast's project, as in feature_store.yaml; it stands in the tables' names.
FEAST_PROJECT = "mulgil"
# A holder that is gone keeps others waiting for so long. Chosen by eye.
_LOCK_SECONDS = 30.0
# How long a run waits for another one's features: minutes for millions of rows. Chosen by eye.
_PATIENCE_SECONDS = 600.0


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

    def held(self) -> AbstractContextManager[None]:
        """Keep all others from changing them, on other machines too.

        Raises:
            TemporaryError: Another changes them, and does not come to an end.
        """

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

    def held(self) -> AbstractContextManager[None]:
        """Nothing more: who changes the files of a home holds its lock."""
        return contextlib.nullcontext()

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

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold a lock in Redis, which ends soon after its holder, however that ends.

        Raises:
            TemporaryError: Another run writes features of this version, and does not come to an end.
        """
        with connect(self.url) as client:
            lock = client.lock(f"{self.location}:lock", timeout=_LOCK_SECONDS, thread_local=False)
            if not lock.acquire(blocking_timeout=_PATIENCE_SECONDS):
                raise TemporaryError(
                    describe(
                        f"Another run is writing the features in {self.location}",
                        received=f"still so after {_PATIENCE_SECONDS:.0f} s",
                    )
                )
            is_over = threading.Event()
            renewal = threading.Thread(target=_renew, args=(lock, is_over), daemon=True)
            renewal.start()
            try:
                yield
            finally:
                is_over.set()
                renewal.join()
                # It may have run out while the machine stood still.
                with contextlib.suppress(redis.exceptions.LockError):
                    lock.release()

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


def _renew(lock: redis.lock.Lock, is_over: threading.Event) -> None:
    while not is_over.wait(_LOCK_SECONDS / 3):
        # One that Redis does not answer now may be renewed the next time.
        with contextlib.suppress(redis.RedisError):
            lock.reacquire()


def find_place(layout: StoreLayout, project: str, version: str, view: str) -> OnlinePlace:
    """Return where a version's rows are: in Redis where the environment says so, else in a file.

    Args:
        layout: Where files are.
        project: The project's name.
        version: Of its definitions.
        view: The feature view.
    """
    url = find_redis()
    if url is not None:
        return RedisPlace(url, table_name(FEAST_PROJECT, view))
    return SqlitePlace(layout.online(project, version))
