"""What a server is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mulgil.serving.limits import Limits
from mulgil.serving.tls import CertificateFiles


@dataclass(frozen=True)
class ServerOptions:
    """How one worker serves one bundle.

    Attributes:
        model_name: Name in the protocols' paths.
        model_path: The bundle's directory.
        model_version: Version that every response carries.
        host: Address to listen on.
        http_port: Where to listen for HTTP.
        grpc_port: Where to listen for gRPC; `None` for nowhere.
        drain_seconds: How long new requests are still answered after SIGTERM.
        log_url: Of the collector that predictions are recorded at; `None` for nowhere.
        namespace: The service's, in what is recorded.
        log_requests: Which prediction requests get a line in the log: `none`, `refused` or `all`.
        limits: What clients may take.
        token_path: File of bearer tokens; `None` where anybody may ask.
        is_metrics_open: Whether `/metrics` answers without a token.
        certificate: For TLS; `None` for none.
    """

    model_name: str
    model_path: Path
    model_version: str
    host: str
    http_port: int
    grpc_port: int | None
    drain_seconds: float
    log_url: str | None
    namespace: str
    log_requests: str
    limits: Limits
    token_path: Path | None
    is_metrics_open: bool
    certificate: CertificateFiles | None


@dataclass(frozen=True)
class WorkerPlace:
    """Which of several workers a process is.

    Attributes:
        place: From 0.
        workers: How many there are.
        memory: Descriptor of the numbers that they share.
    """

    place: int = 0
    workers: int = 1
    memory: int = -1

    @property
    def is_supervised(self) -> bool:
        """Whether there is a process above that starts it again."""
        return self.memory >= 0
