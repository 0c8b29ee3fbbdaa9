"""The server's certificate, for HTTPS and for gRPC."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from mulgil.errors import InputError, describe
from mulgil.serving.logs import write_event


@dataclass(frozen=True)
class CertificateFiles:
    """Where the certificate's chain and its private key are, both PEM."""

    certificate: Path
    key: Path

    def read_times(self) -> tuple[int, ...]:
        """Return when each was written; nothing where one is not there."""
        try:
            return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key))
        except OSError:
            return ()


class ServerTls:
    """TLS 1.2 and 1.3 with a certificate that may be renewed while the server runs.

    Args:
        files: The certificate's.

    Attributes:
        files: The certificate's.
        context: For the event loop.

    Raises:
        InputError: They are no certificate with its key.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self.files = files
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._times = files.read_times()
        try:
            self._load()
        except (OSError, ssl.SSLError) as exc:
            raise InputError(
                describe(
                    f"Cannot use the certificate {files.certificate} with the key {files.key}",
                    expected="a chain and its private key without a password, both PEM",
                    received=str(exc),
                )
            ) from exc

    def refresh(self) -> None:
        """Load the files again if they changed; connections that are open keep what they began with."""
        times = self.files.read_times()
        if not times or times == self._times:
            return
        self._times = times
        try:
            self._load()
            write_event("read the certificate again")
        except (OSError, ssl.SSLError) as exc:
            write_event("kept the certificate of before", level="error", error=str(exc))

    def _load(self) -> None:
        # A key with a password would else ask the terminal for it.
        self.context.load_cert_chain(self.files.certificate, self.files.key, password="")
