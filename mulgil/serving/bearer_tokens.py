"""Who may ask: the bearer tokens of a file.

Source:
    RFC 6750, section 2.1 (the Authorization request header field) and section 3 (WWW-Authenticate).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from pathlib import Path

from mulgil.errors import InputError, describe
from mulgil.serving.logs import write_event
from mulgil.serving.messages import RequestError

# A new token is known this long after its file was written.
_LOOK_SECONDS = 1.0


class BearerTokens:
    """The tokens of a file, one a line, read again when the file changes.

    A mounted Kubernetes secret is such a file; two lines let clients change from one token to the next.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or holds no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = time.monotonic()
        self._state = self._look()
        self._digests = self._read()

    def check(self, authorization: bytes | None) -> RequestError | None:
        """Return what is wrong with a request's `Authorization`, or `None`."""
        self._refresh()
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() == b"bearer":
            digest = hashlib.sha256(token.strip()).digest()
            # Every token is compared, each in constant time.
            if sum([hmac.compare_digest(digest, known) for known in self._digests]):
                return None
            return RequestError(
                401, "The bearer token is not one of this server's.", _challenge(b', error="invalid_token"')
            )
        return RequestError(401, "Expected the header `Authorization: Bearer <token>`.", _challenge())

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            state = self._look()
            if state != self._state:
                self._digests = self._read()
                self._state = state
                write_event("read the tokens again", tokens=len(self._digests))
        except InputError as exc:
            # Those that were known stay: half a file is no reason to turn everybody away.
            write_event("kept the tokens of before", level="error", error=str(exc))

    def _look(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - of a link's target, as a mounted secret is
        except OSError as exc:
            raise InputError(describe(f"Cannot read the tokens of {self._path}", received=str(exc))) from exc
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> tuple[bytes, ...]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError as exc:
            raise InputError(describe(f"Cannot read the tokens of {self._path}", received=str(exc))) from exc
        tokens = [line.strip() for line in lines if line.strip()]
        if not tokens:
            raise InputError(describe(f"{self._path} holds no token", expected="one a line"))
        return tuple(hashlib.sha256(token).digest() for token in tokens)


def _challenge(error: bytes = b"") -> bytes:
    return b'WWW-Authenticate: Bearer realm="mulgil"%b\r\n' % error
