"""The feature store's next state, built aside and swapped in.

Feast refuses to read a view while it is being materialized, and rewrites its registry file in place. So
online values (a file, or a hash in Redis) and registry are copied, Feast works on the copies, and they take
their names at the end: whoever reads the old ones reads on in them, and whoever dies on the way leaves them.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import sqlite3
from collections.abc import Iterator

import redis
from feast import FeatureStore
from google.protobuf.message import DecodeError

from feature_repo.feature_store import open_feature_store
from feature_repo.layout import StoreLayout
from feature_repo.online_places import OnlinePlace
from feature_repo.sql_registry import publish_definitions
from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.full_disk import as_full_disk
from mulgil.online_stores import ADDRESS_VARIABLE, REGISTRY_VARIABLE, URL_VARIABLE


@contextlib.contextmanager
def staged_store(layout: StoreLayout, place: OnlinePlace) -> Iterator[FeatureStore]:
    """Give the feature store on copies of its files, which take their place if the block ends well.

    Another run waits until then: Feast's registry is one file, and the last to write it wins. Where it is a
    database, Feast works on an empty file, whose definitions join those in the database at the end.

    Args:
        layout: Where the files are.
        place: The online values of the version at hand; there need not be any.

    Raises:
        PermanentError: A file of the store is broken.
        TemporaryError: Redis cannot be reached.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Left by a run that was killed, if at all: its lock is gone with it.
        shutil.rmtree(layout.staging, ignore_errors=True)
        layout.staging.mkdir()
        registry = layout.staging / layout.registry.name
        registry_url = os.environ.get(REGISTRY_VARIABLE)
        try:
            if registry_url is None and layout.registry.exists():
                shutil.copyfile(layout.registry, registry)
            # Feast reports its progress by print.
            with place.held(), contextlib.redirect_stdout(io.StringIO()):
                staged = place.stage(layout.staging)
                store = open_feature_store(registry, staged.configuration)
                yield store
                # The values first: definitions without values would answer that no entity is known.
                place.publish(staged)
                if registry_url is None:
                    registry.replace(layout.registry)
                else:
                    publish_definitions(store, registry_url, place.configuration)
        except redis.RedisError as exc:
            raise TemporaryError(
                describe(
                    "Redis does not keep the features",
                    expected=f"{URL_VARIABLE} or {ADDRESS_VARIABLE} to name a Redis that answers",
                    received=f"{type(exc).__name__}: {exc}",
                    next_step="start Redis, or correct its address; the store in service was not changed",
                )
            ) from exc
        except (DecodeError, sqlite3.DatabaseError) as exc:
            if as_full_disk(exc):
                # Nothing is broken, and nothing must be deleted.
                raise
            raise PermanentError(
                describe(
                    f"The feature store cannot be used: {exc}",
                    expected=f"a Feast registry in {layout.registry}, rows in {place.location}",
                    next_step="delete the broken one; a run of each project fills it again",
                )
            ) from exc
        finally:
            shutil.rmtree(layout.staging, ignore_errors=True)
