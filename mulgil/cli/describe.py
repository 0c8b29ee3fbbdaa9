"""`mulgil describe`: one InferenceService for a person who reads, with its servers and what happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from mulgil.cli.console import output
from mulgil.cli.objects import Namespace, age, split_name
from mulgil.cli.tables import align
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.envoy_config import service_host
from mulgil.local.plane.revisions import ServiceState
from mulgil.local.plane.status import write_time


def describe_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="`isvc`, or `isvc/NAME`.")],
    name: Annotated[str | None, typer.Argument(help="Which one.")] = None,
    namespace: Namespace = "default",
) -> None:
    """Tell of an InferenceService: what is asked for, who serves it, and what happened lately."""
    plane = ServingPlane()
    service = split_name(kind, name)
    item, state = plane.get(service, namespace), plane.state(service, namespace)
    output.out("\n".join(_lines(item, state)), highlight=False)


def _lines(item: dict[str, Any], state: ServiceState) -> Iterator[str]:
    metadata, status = item["metadata"], item["status"]
    yield from _facts(
        Name=metadata["name"],
        Namespace=metadata["namespace"],
        Labels=_pairs(metadata["labels"]),
        Annotations=_pairs(metadata["annotations"]),
        Generation=f"{metadata['generation']}, observed {status.get('observedGeneration', 'never')}",
        Mode=status.get("deploymentMode", "<unknown>"),
        URL=status.get("url", "<none>"),
        **_authority(item),
        Storage=item["spec"]["predictor"]["model"]["storageUri"],
    )
    yield from _section("Conditions", ("TYPE", "STATUS", "AGE", "REASON", "MESSAGE"), _conditions(status))
    yield from _section("Traffic", ("REVISION", "PERCENT", "TAG"), _traffic(state))
    yield from _section("Servers", ("SERVER", "PHASE", "PID", "PORT", "RESTARTS"), _servers(state))
    failure = status.get("modelStatus", {}).get("lastFailureInfo")
    if failure:
        yield "Last failure:"
        yield f"  {failure['modelRevisionName']} at {failure['time']}: {failure['reason']}"
        yield from (f"  {line}" for line in failure["message"].splitlines())
    yield from _section("Events", ("TYPE", "REASON", "AGE", "MESSAGE"), _events(state))


def _authority(item: dict[str, Any]) -> dict[str, str]:
    """Return how gRPC clients call it, where it speaks gRPC."""
    if item["spec"]["predictor"]["model"].get("protocolVersion") != "grpc-v2" or "url" not in item["status"]:
        return {}
    address = urlsplit(item["status"]["url"]).netloc
    host = service_host(item["metadata"]["namespace"], item["metadata"]["name"])
    return {"gRPC": f"{address}, authority {host}"}


def _facts(**facts: str) -> Iterator[str]:
    for name, value in facts.items():
        first, *others = value.splitlines() or ["<none>"]
        yield f"{name + ':':<14}{first}"
        yield from (f"{'':<14}{other}" for other in others)


def _pairs(values: dict[str, str]) -> str:
    return "\n".join(f"{key}={value}" for key, value in sorted(values.items())) or "<none>"


def _section(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        yield f"{title}: <none>"
        return
    yield f"{title}:"
    yield from (f"  {line}" for line in align(header, *rows).splitlines())


def _conditions(status: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (c["type"], c["status"], age(c["lastTransitionTime"]), c.get("reason", ""), c.get("message", ""))
        for c in status.get("conditions", [])
    ]


def _traffic(state: ServiceState) -> list[tuple[str, ...]]:
    return [(target.revision, str(target.percent), target.tag or target.variant) for target in state.traffic]


def _servers(state: ServiceState) -> list[tuple[str, ...]]:
    return [
        (
            f"{key.revision}-{key.number}",
            server.phase.value,
            str(server.process.pid) if server.process else "",
            str(server.port or ""),
            str(server.failures),
        )
        for key, server in state.servers.items()
    ]


def _events(state: ServiceState) -> list[tuple[str, ...]]:
    return [
        (
            "Warning" if event.is_warning else "Normal",
            event.reason,
            age(write_time(event.at)) + (f" (x{event.count})" if event.count > 1 else ""),
            event.message,
        )
        for event in state.events
    ]
