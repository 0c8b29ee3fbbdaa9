"""What is told of a source's file that the system does not give."""

from __future__ import annotations

import errno

from mulgil.errors import InputError, TemporaryError, describe

# Reading again will fail again: it is not there, is not for us, or is no file.
_FOR_GOOD = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP})


def describe_unreadable(location: str, exc: OSError) -> InputError | TemporaryError:
    """Return the error that tells why a file cannot be read, or cannot any longer.

    Args:
        location: What messages call it.
        exc: What the system said, with its number.
    """
    if exc.errno in _FOR_GOOD:
        return InputError(
            describe(
                f"The source cannot be read: {exc.strerror}",
                expected="a file, for as long as it is read",
                received=location,
                next_step="correct `source` in project.yaml, or give another file: --source PATH",
            )
        )
    return TemporaryError(
        describe(
            f"The source broke off while it was read: {exc.strerror}",
            received=location,
            next_step="see whether its disk or its server is there, and run again",
        )
    )
