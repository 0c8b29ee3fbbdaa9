"""`python -m mulgil.serving`: serve one model bundle over KServe's protocols."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.errors import InputError, describe
from mulgil.program import run_program
from mulgil.serving.limits import Limits
from mulgil.serving.options import ServerOptions, WorkerPlace
from mulgil.serving.tls import CertificateFiles

# What stands in a path, a header and a metric's label without escaping.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected letters, digits, `.`, `_` and `-`; received {text!r}")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1; received {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"expected a number of seconds; received {text!r}")
    return seconds


def build_parser() -> argparse.ArgumentParser:
    """Return the flags; each one's destination is a parameter of `serve`."""
    parser = argparse.ArgumentParser(prog="python -m mulgil.serving", description=__doc__)
    parser.add_argument("--model-name", required=True, type=_plain, help="name in the protocols' paths")
    parser.add_argument("--model-path", required=True, type=Path, help="the bundle's directory")
    parser.add_argument(
        "--model-version", required=True, type=_plain, help="version that every response carries"
    )
    parser.add_argument("--http-port", type=int, default=8080, help="where to listen (default: %(default)s)")
    parser.add_argument(
        "--grpc-port", type=int, help="where to listen for V2 over gRPC, which is off without this flag"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--workers", type=_count, default=1, help="processes that share the port (default: %(default)s)"
    )
    parser.add_argument(
        "--log-url",
        help=(
            "collector that every prediction is recorded at, `python -m mulgil.prediction_log`; "
            "nothing is recorded without this flag"
        ),
    )
    parser.add_argument(
        "--namespace", default="default", help="the service's, in what is recorded (default: %(default)s)"
    )
    parser.add_argument(
        "--drain-seconds",
        type=_seconds,
        default=5.0,
        help="how long new requests are still answered after SIGTERM (default: %(default)s)",
    )
    parser.add_argument(
        "--log-requests",
        choices=("none", "refused", "all"),
        default="refused",
        help="which prediction requests get a line in the log (default: %(default)s)",
    )
    _add_access(parser.add_argument_group("who may ask"))
    _add_limits(parser.add_argument_group("limits of a worker", "Beyond them a client is told so."))
    # How the supervisor starts a worker.
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker-memory", type=int, help=argparse.SUPPRESS)
    return parser


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--token-path", type=Path, help="file of bearer tokens, one a line; without it anybody may ask"
    )
    group.add_argument("--open-metrics", action="store_true", help="answer /metrics without a token")
    group.add_argument("--tls-certificate-path", type=Path, help="chain of the certificate, PEM")
    group.add_argument("--tls-key-path", type=Path, help="its private key, PEM")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    default = Limits()
    bytes_and_counts = {
        "--max-body-bytes": (default.body_bytes, "of a request's body"),
        "--max-held-bytes": (default.held_bytes, "of all requests that have not arrived whole"),
        "--max-connections": (default.connections, "open at once"),
    }
    for flag, (number, text) in bytes_and_counts.items():
        group.add_argument(flag, type=_count, default=number, help=f"{text} (default: %(default)s)")
    times = {
        "--wait-seconds": (default.wait_seconds, "a prediction waits behind others at most"),
        "--head-seconds": (default.head_seconds, "for a request's line and headers"),
        "--body-seconds": (default.body_seconds, "for its body, and for its answer to be read"),
        "--idle-seconds": (default.idle_seconds, "a connection stays open without a request"),
    }
    for flag, (seconds, text) in times.items():
        group.add_argument(flag, type=_seconds, default=seconds, help=f"{text} (default: %(default)s)")


def serve(
    *,
    workers: int,
    worker: int | None,
    worker_memory: int | None,
    tls_certificate_path: Path | None,
    tls_key_path: Path | None,
    open_metrics: bool,
    max_body_bytes: int,
    max_held_bytes: int,
    max_connections: int,
    wait_seconds: float,
    head_seconds: float,
    body_seconds: float,
    idle_seconds: float,
    **plain: Any,
) -> None:
    """Serve in this process, or in several below it.

    Raises:
        InputError: The certificate comes without its key, or the key without its certificate; or as
            `serve_model` raises.
    """
    if (tls_certificate_path is None) != (tls_key_path is None):
        raise InputError(
            describe("TLS needs both", expected="--tls-certificate-path and --tls-key-path, or neither")
        )
    certificate = None
    if tls_certificate_path is not None and tls_key_path is not None:
        certificate = CertificateFiles(tls_certificate_path, tls_key_path)
    limits = Limits(
        body_bytes=max_body_bytes,
        held_bytes=max_held_bytes,
        connections=max_connections,
        wait_seconds=wait_seconds,
        head_seconds=head_seconds,
        body_seconds=body_seconds,
        idle_seconds=idle_seconds,
    )
    options = ServerOptions(limits=limits, is_metrics_open=open_metrics, certificate=certificate, **plain)
    if workers > 1 and worker is None:
        from mulgil.serving.workers import Supervisor, find_command

        Supervisor(options, workers, find_command()).run()
        return
    from mulgil.serving.server import serve_model

    place = WorkerPlace()
    if worker is not None and worker_memory is not None:
        place = WorkerPlace(worker, workers, worker_memory)
    serve_model(options, place)


def load_core() -> Callable[..., Any]:
    """Return what serves; it imports the rest, once the flags are known to be right."""
    return serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
