"""`mulgil predict`: ask a deployed model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from mulgil.artifacts import BUNDLE_EXAMPLE, WarmUpExample
from mulgil.cli.asked_rows import read_rows
from mulgil.cli.console import output
from mulgil.contract import load_project
from mulgil.errors import InputError, TemporaryError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.serving.requests import explain_url, predict_url

# What is sent at a time: of explanations the most that the server takes, of predictions a moment's work.
_MOST_EXPLAINED = 64
_MOST_PREDICTED = 500


def predict_command(
    project: Annotated[Path, typer.Argument(help="The project's folder.")] = Path("projects/breast_cancer"),
    file: Annotated[
        Path | None,
        typer.Option(
            help="JSON (a row by column, or a list of rows), a CSV file written as the project's own, or an "
            "image. The model's own example if not given."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell each column's share in each prediction.")
    ] = False,
) -> None:
    """Ask PROJECT's deployed model for predictions."""
    folder = load_project(project)
    settings = folder.project
    rows = read_rows(file, folder) if file else None
    service = ServingPlane().get(settings.name, settings.serving.namespace)
    url = service.get("status", {}).get("url")
    if not url:
        raise TemporaryError(
            describe(
                f"{settings.name} is not ready", next_step=f"see `mulgil get isvc {settings.name} -o yaml`"
            )
        )
    instances = [_example(service)] if rows is None else rows
    ask = explain_url if explain else predict_url
    version = "unknown"
    for some in _divide(instances, _MOST_EXPLAINED if explain else _MOST_PREDICTED):
        answer = _ask(ask(url, settings.name), settings.name, url, some)
        version = answer.headers.get("x-model-version", version)
        content = answer.json()
        told = content["explanations"] if explain else [{"prediction": one} for one in content["predictions"]]
        for instance, one in zip(some, told, strict=True):
            output.out(json.dumps({"instance": instance, **one}, ensure_ascii=False), highlight=False)
    output.print(f"model version {version}")


def _divide(instances: list[Any], most: int) -> Iterator[list[Any]]:
    # Of none the server says what is wrong with that.
    for start in range(0, max(1, len(instances)), most):
        yield instances[start : start + most]


def _ask(address: str, name: str, url: str, instances: list[Any]) -> httpx.Response:
    try:
        answer = httpx.post(address, json={"instances": instances}, timeout=30)
    except httpx.HTTPError as exc:
        raise TemporaryError(
            describe(f"{name} does not answer at {url}: {exc}", next_step="run `mulgil up`")
        ) from exc
    if answer.status_code >= 500:
        raise TemporaryError(f"{name} answered {answer.status_code}: {answer.text}")
    if answer.status_code >= 400:
        raise InputError(f"{name} refused the request ({answer.status_code}): {answer.text}")
    return answer


def _example(service: dict[str, Any]) -> dict[str, Any]:
    """Read the example in the deployed bundle."""
    storage_uri = service["spec"]["predictor"]["model"]["storageUri"]
    return WarmUpExample.read(Path(storage_uri.removeprefix("file://")) / BUNDLE_EXAMPLE).instance
