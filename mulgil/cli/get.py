"""`mulgil get`: the objects of the local serving plane, as kubectl shows them."""

from __future__ import annotations

import json
import time
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml

from mulgil.cli.console import output
from mulgil.cli.tables import align
from mulgil.local.plane.client import ServingPlane

get_app = typer.Typer(help="Show objects of the local serving plane.", no_args_is_help=True)


class Format(StrEnum):
    """How an object is written."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


@get_app.command("isvc")
@get_app.command("inferenceservice", hidden=True)
def isvc_command(
    name: Annotated[
        str | None, typer.Argument(help="One InferenceService; all where it is not given.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The namespace.")] = "default",
    format_: Annotated[Format, typer.Option("--output", "-o", help="Form of the answer.")] = Format.TABLE,
) -> None:
    """Show InferenceServices: `kubectl get isvc` for this machine."""
    plane = ServingPlane()
    objects = [plane.get(name, namespace)] if name else plane.list(namespace)
    if format_ is Format.TABLE:
        if not objects:
            output.print(f"No resources found in {namespace} namespace.")
            return
        output.out(align(_HEADER, *map(_row, objects)), highlight=False)
        return
    document = objects[0] if name else {"apiVersion": "v1", "kind": "List", "items": objects}
    if format_ is Format.YAML:
        output.out(yaml.safe_dump(document, sort_keys=False), highlight=False, end="")
    else:
        output.out(json.dumps(document, indent=2), highlight=False)


# The columns that KServe's CRD prints (`additionalPrinterColumns` of v1beta1).
_HEADER = ("NAME", "URL", "READY", "PREV", "LATEST", "LATESTREADYREVISION", "AGE")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    status = item.get("status", {})
    predictor = status.get("components", {}).get("predictor", {})
    traffic = predictor.get("traffic", [])
    ready = next((c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"), "Unknown")
    previous = next((str(t["percent"]) for t in traffic if t.get("tag") == "prev"), "")
    latest = next((str(t["percent"]) for t in traffic if t.get("latestRevision")), "")
    created = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
    return (
        item["metadata"]["name"],
        status.get("url", ""),
        ready,
        previous,
        latest,
        predictor.get("latestReadyRevision", ""),
        _age(time.time() - created.timestamp()),
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"
