"""`mulgil apply`: make objects wanted, as kubectl does."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mulgil.cli.console import output
from mulgil.cli.objects import RESOURCE, Files, read_manifests
from mulgil.errors import InputError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.objects import parse_inference_service
from mulgil.rollout.store import RolloutStore


def apply_command(
    files: Files = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all are served.")] = False,
    timeout_seconds: Annotated[int, typer.Option(min=0, help="Longest wait of `--wait` for each.")] = 120,
) -> None:
    """Serve InferenceServices as some files have them: `kubectl apply` for this machine.

    The files are those that a cluster takes. All are checked before the first is applied. What a rollout is
    changing is left to it.
    """
    if not files:
        raise InputError(
            describe("There is nothing to apply", expected="-f FILE, or -f - for standard input")
        )
    manifests = read_manifests(files)
    services = [parse_inference_service(manifest) for manifest in manifests]
    plane = ServingPlane()
    names = [(service.metadata.name, service.metadata.namespace) for service in services]
    rollouts = RolloutStore()
    for name, namespace in names:
        # It writes the object at each step and at its end: what came in between would be lost in silence.
        rollouts.require_none_under_way(name, namespace)
    for manifest, (name, namespace) in zip(manifests, names, strict=True):
        before = plane.find(name, namespace)
        plane.apply(manifest)
        output.print(f"{RESOURCE}/{name} {_outcome(before, plane.get(name, namespace))}")
    if wait:
        for name, namespace in names:
            item = plane.wait_ready(name, namespace, timeout_seconds)
            output.print(f"{RESOURCE}/{name} is served at {item['status']['url']}")


def _outcome(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    if before is None:
        return "created"
    is_same = all(before[part] == after[part] for part in ("metadata", "spec"))
    return "unchanged" if is_same else "configured"
