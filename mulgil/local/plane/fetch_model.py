"""`python -m mulgil.local.plane.fetch_model`: fetch a model, then become its server.

KServe runs its storage initializer before the server's container; here both are one process after another, so
that the supervisor waits for nothing.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mulgil.program import run_program

# In the server's command: where the model lies.
MODEL_PATH = "{model_path}"


def build_parser() -> argparse.ArgumentParser:
    """Return the flags; each one's destination is a parameter of `fetch_and_serve`."""
    parser = argparse.ArgumentParser(prog="python -m mulgil.local.plane.fetch_model", description=__doc__)
    parser.add_argument("--storage-uri", required=True, help="where the model lies")
    parser.add_argument(
        "--cache-path", required=True, type=Path, help="folder of the models that were fetched"
    )
    parser.add_argument(
        "command", nargs="+", help=f"the server's command, with {MODEL_PATH} where the model's folder stands"
    )
    return parser


def fetch_and_serve(*, storage_uri: str, cache_path: Path, command: Sequence[str]) -> None:
    """Fetch a model that is not yet there, and become its server.

    Args:
        storage_uri: Where the model lies.
        cache_path: Folder of the models that were fetched.
        command: The server's.

    Raises:
        InputError: There is no such model.
        TemporaryError: It cannot be fetched now.
    """
    from mulgil.local.plane.storage import fetch

    model = fetch(storage_uri, cache_path)
    print(f"fetched {storage_uri} into {model}", flush=True)
    os.execv(command[0], [argument.replace(MODEL_PATH, str(model)) for argument in command])


def load_core() -> Callable[..., Any]:
    """Return what fetches."""
    return fetch_and_serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), load_core, argv)


if __name__ == "__main__":
    raise SystemExit(main())
