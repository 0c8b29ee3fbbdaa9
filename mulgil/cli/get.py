"""`mulgil get`: the objects of the local serving plane, as kubectl shows them."""

from __future__ import annotations

import contextlib
import json
import time
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml

from mulgil.cli.console import output
from mulgil.cli.objects import RESOURCE, Namespace, age
from mulgil.cli.tables import align
from mulgil.local.plane.client import ServingPlane

get_app = typer.Typer(help="Show objects of the local serving plane.", no_args_is_help=True)

_LOOK_SECONDS = 0.1


class Format(StrEnum):
    """How an object is written."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"


@get_app.command("isvc")
@get_app.command("inferenceservice", hidden=True)
@get_app.command("inferenceservices", hidden=True)
def isvc_command(
    name: Annotated[
        str | None, typer.Argument(help="One InferenceService; all where it is not given.")
    ] = None,
    namespace: Namespace = "default",
    is_everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Those of every namespace.")
    ] = False,
    format_: Annotated[Format, typer.Option("--output", "-o", help="Form of the answer.")] = Format.TABLE,
    is_watching: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on with every change, until interrupted.")
    ] = False,
) -> None:
    """Show InferenceServices: `kubectl get isvc` for this machine."""
    plane = ServingPlane()

    def objects() -> list[dict[str, Any]]:
        return [plane.get(name, namespace)] if name else plane.list(None if is_everywhere else namespace)

    found = objects()
    is_list = format_ in (Format.YAML, Format.JSON) and not name and not is_watching
    if not found and not is_list and format_ is not Format.NAME:
        output.print(f"No resources found{'' if is_everywhere else f' in {namespace} namespace'}.")
    elif is_list:
        _write([{"apiVersion": "v1", "kind": "List", "items": found}], format_, is_everywhere)
    elif found:
        _write(found, format_, is_everywhere)
    with contextlib.suppress(KeyboardInterrupt):
        while is_watching:
            time.sleep(_LOOK_SECONDS)
            before, found = found, plane.list(namespace) if name else objects()
            if name:
                found = [item for item in found if item["metadata"]["name"] == name]
            changed = [item for item in found if item not in before]
            if changed:
                _write(changed, format_, is_everywhere, has_header=not before)
            there = {item["metadata"]["uid"] for item in found}
            # kubectl writes the object once more, as it was; a person wants to know that it is gone.
            for item in before if format_ in (Format.TABLE, Format.WIDE) else ():
                if item["metadata"]["uid"] not in there:
                    output.print(f'{RESOURCE} "{item["metadata"]["name"]}" deleted')


def _write(
    objects: list[dict[str, Any]], format_: Format, is_everywhere: bool, *, has_header: bool = True
) -> None:
    match format_:
        case Format.YAML:
            output.out(yaml.safe_dump_all(objects, sort_keys=False), highlight=False, end="")
        case Format.JSON:
            output.out("\n".join(json.dumps(item, indent=2) for item in objects), highlight=False)
        case Format.NAME:
            output.out(
                "\n".join(f"{RESOURCE}/{item['metadata']['name']}" for item in objects), highlight=False
            )
        case _:
            rows = [_row(item, format_, is_everywhere) for item in objects]
            table = align(_header(format_, is_everywhere), *rows)
            output.out(table if has_header else table.partition("\n")[2], highlight=False)


# The columns that KServe's CRD prints (`additionalPrinterColumns` of v1beta1).
_HEADER = ("URL", "READY", "PREV", "LATEST", "PREVROLLEDOUTREVISION", "LATESTREADYREVISION", "AGE")


def _header(format_: Format, is_everywhere: bool) -> tuple[str, ...]:
    return (
        *(("NAMESPACE",) if is_everywhere else ()),
        "NAME",
        *_HEADER,
        *(("MODE", "CANARIES", "SERVERS") if format_ is Format.WIDE else ()),
    )


def _row(item: dict[str, Any], format_: Format, is_everywhere: bool) -> tuple[str, ...]:
    metadata, status = item["metadata"], item.get("status", {})
    traffic = status.get("components", {}).get("predictor", {}).get("traffic", [])
    ready = next((c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"), "")
    previous: dict[str, Any] = next((target for target in traffic if target.get("tag") == "prev"), {})
    latest: dict[str, Any] = next((target for target in traffic if target.get("latestRevision")), {})
    return (
        *((metadata["namespace"],) if is_everywhere else ()),
        metadata["name"],
        status.get("url", ""),
        ready,
        str(previous.get("percent", "")),
        str(latest.get("percent", "")),
        previous.get("revisionName", ""),
        latest.get("revisionName", ""),
        age(metadata["creationTimestamp"]),
        *(_more(status) if format_ is Format.WIDE else ()),
    )


def _more(status: dict[str, Any]) -> tuple[str, ...]:
    canaries = status.get("canaryStatuses", [])
    return (
        status.get("deploymentMode", ""),
        ",".join(f"{canary['name']}={canary['trafficPercent']}%" for canary in canaries),
        str(status.get("modelStatus", {}).get("copies", {}).get("totalCopies", 0)),
    )
