"""`mulgil logs`: what the servers of an InferenceService write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from mulgil.cli.console import output
from mulgil.cli.objects import Namespace, split_name
from mulgil.errors import InputError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.revisions import ServerKey

_LOOK_SECONDS = 0.2


def logs_command(
    kind: Annotated[str, typer.Argument(metavar="NAME", help="`NAME`, `isvc NAME` or `isvc/NAME`.")],
    name: Annotated[str | None, typer.Argument(hidden=True)] = None,
    revision: Annotated[str | None, typer.Option(help="One revision's servers alone.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written next.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="So many lines of each server at the most.")] = 100,
    namespace: Namespace = "default",
) -> None:
    """Show what the servers of an InferenceService write, each line with its server if there are several."""
    service = kind if name is None and "/" not in kind else split_name(kind, name)
    plane = ServingPlane()

    def paths() -> dict[ServerKey, Path]:
        found = plane.log_paths(service, namespace)
        return {key: path for key, path in found.items() if revision in (None, key.revision)}

    chosen = paths()
    if revision is not None and not chosen:
        there = sorted({key.revision for key in plane.log_paths(service, namespace)})
        raise InputError(
            describe(
                f"{service} has no server of that revision",
                expected=f"one of {', '.join(there) or 'none'}",
                received=f"revision={revision}",
            )
        )
    offsets: dict[ServerKey, int] = {}
    _print_news(chosen, offsets, tail)
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            time.sleep(_LOOK_SECONDS)
            _print_news(paths(), offsets, None)


def _print_news(paths: Mapping[ServerKey, Path], offsets: dict[ServerKey, int], tail: int | None) -> None:
    """Print the whole lines that were written since the last look."""
    for key, path in paths.items():
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        start = offsets.get(key, 0)
        end = content.rfind(b"\n") + 1
        lines = content[start:end].decode(errors="replace").splitlines()
        offsets[key] = max(start, end)
        prefix = f"[{key.revision}-{key.number}] " if len(paths) > 1 else ""
        for line in lines if tail is None else lines[len(lines) - tail if tail < len(lines) else 0 :]:
            output.out(f"{prefix}{line}", highlight=False)
