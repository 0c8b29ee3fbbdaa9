"""`python -m mulgil.serving`: serve one model bundle over KServe's protocols."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program

# What stands in a path, a header and a metric's label without escaping.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected letters, digits, `.`, `_` and `-`; received {text!r}")
    return text


def build_parser() -> argparse.ArgumentParser:
    """Return the flags; each one's destination is a parameter of `serve_model`."""
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
        type=float,
        default=5.0,
        help="how long new requests are still answered after SIGTERM (default: %(default)s)",
    )
    return parser


def load_core() -> Callable[..., Any]:
    """Import what serves, once the flags are known to be right."""
    from mulgil.serving.server import serve_model

    return serve_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
