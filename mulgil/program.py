"""The edge that every component shares: flags in, exit code out, no traceback for a user's mistake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mulgil.errors import MulgilError
from mulgil.full_disk import as_full_disk
from mulgil.project_location import project_folder


def run_program(
    parser: argparse.ArgumentParser,
    load_core: Callable[[], Callable[..., Any]],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the flags, call the core with them as keyword arguments, and translate the outcome.

    Args:
        parser: Its destinations are the core's parameters.
        load_core: Imports and returns the core. Called after parsing, so that `--help` and a wrong flag
            answer at once, without a heavy library.
        argv: The flags; those of the process where `None`.

    Returns:
        The exit code: 0, or the one of the error's branch. A defect of ours keeps its traceback.
    """
    arguments = vars(parser.parse_args(argv))
    try:
        # On a cluster a project is an address; the cores know folders alone.
        if "project_path" in arguments:
            arguments["project_path"] = project_folder(arguments["project_path"])
        load_core()(**arguments)
    except MulgilError as exc:
        return _tell(exc)
    except Exception as exc:
        full = as_full_disk(exc)
        if full is None:
            raise
        return _tell(full)
    return 0


def _tell(error: MulgilError) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return error.exit_code
