"""Whether an error says that the disk is full, whichever library says it in its own way."""

from __future__ import annotations

import errno

from mulgil.errors import TemporaryError, describe

# No room, no room for this user, and a file that would be larger than this process may write.
_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# SQLite, TensorFlow and MLflow hand on the text alone.
_TEXTS = ("No space left on device", "Disk quota exceeded", "database or disk is full")
# SQLite calls it an I/O error where the index of its write-ahead log cannot grow.
_SQLITE_NAMES = frozenset({"SQLITE_IOERR_SHMSIZE"})


def as_full_disk(error: BaseException) -> TemporaryError | None:
    """Return what to tell the user where a full disk is behind an error; else `None`."""
    cause: BaseException | None = error
    while cause is not None:
        if _is_full_disk(cause):
            named = getattr(cause, "filename", None)
            return TemporaryError(
                describe(
                    "There is no room left where Mulgil writes",
                    received=f"{named}: {cause}" if named else str(cause).strip().partition("\n")[0],
                    next_step="make room, with `mulgil runs prune` or `mulgil cache prune`, or set "
                    "MULGIL_HOME to a place on another disk",
                )
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _is_full_disk(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    if getattr(error, "sqlite_errorname", None) in _SQLITE_NAMES:
        return True
    return any(text in str(error) for text in _TEXTS)
