"""The feature store's next state, built aside and swapped in.

Feast refuses to read a view while it is being materialized, and rewrites its registry file in place. So both
files are copied, Feast works on the copies, and they take their names at the end: whoever has the old file
open reads on in it, and whoever dies on the way leaves the old ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from feast import FeatureStore
from google.protobuf.message import DecodeError

from feature_repo.feature_store import open_feature_store
from feature_repo.layout import StoreLayout
from mulgil.errors import PermanentError, describe


@contextlib.contextmanager
def staged_store(layout: StoreLayout, online_path: Path) -> Iterator[FeatureStore]:
    """Give the feature store on copies of its files, which take their place if the block ends well.

    Another run waits until then: Feast's registry is one file, and the last to write it wins.

    Args:
        layout: Where the files are.
        online_path: The online store of the version at hand; it need not exist.

    Raises:
        PermanentError: A file of the store is broken.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Left by a run that was killed, if at all: its lock is gone with it.
        shutil.rmtree(layout.staging, ignore_errors=True)
        layout.staging.mkdir()
        staged = {path: layout.staging / path.name for path in (online_path, layout.registry)}
        try:
            for path, copy in staged.items():
                if path.exists():
                    shutil.copyfile(path, copy)
            # Feast reports its progress by print.
            with contextlib.redirect_stdout(io.StringIO()):
                yield open_feature_store(staged[layout.registry], staged[online_path])
            for path, copy in staged.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                copy.replace(path)
        except (DecodeError, sqlite3.DatabaseError) as exc:
            raise PermanentError(
                describe(
                    f"The feature store cannot be used: {exc}",
                    expected=f"a Feast registry in {layout.registry} and a SQLite database in {online_path}",
                    next_step="delete the broken one; a run of each project fills it again",
                )
            ) from exc
        finally:
            shutil.rmtree(layout.staging, ignore_errors=True)
