"""`mulgil delete`: remove objects, as kubectl does."""

from __future__ import annotations

from typing import Annotated

import typer

from mulgil.cli.console import output
from mulgil.cli.objects import RESOURCE, Files, Namespace, read_manifests, split_name
from mulgil.errors import InputError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.objects import parse_inference_service


def delete_command(
    kind: Annotated[str | None, typer.Argument(help="`isvc`, or `isvc/NAME`.")] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which ones.")] = None,
    files: Files = None,
    namespace: Namespace = "default",
) -> None:
    """Remove InferenceServices, by name or by file, and wait until their servers have ended."""
    plane = ServingPlane()
    if (kind is None) == (not files):
        raise InputError(
            describe("What is to be deleted is not clear", expected="either isvc NAME or -f FILE")
        )
    keys = []
    if files:
        services = [parse_inference_service(manifest) for manifest in read_manifests(files)]
        keys = [(service.metadata.name, service.metadata.namespace) for service in services]
    elif kind is not None:
        keys = [(split_name(kind, name), namespace) for name in names or (None,)]
    missing = []
    for found in keys:
        try:
            plane.delete(*found)
        except InputError as exc:
            # As kubectl: one that is not there keeps nobody from removing the others.
            missing.append(str(exc))
        else:
            output.print(f'{RESOURCE} "{found[0]}" deleted')
    if missing:
        raise InputError("\n".join(missing))
