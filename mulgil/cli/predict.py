"""`mulgil predict`: ask a deployed model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from mulgil.artifacts import BUNDLE_EXAMPLE, WarmUpExample
from mulgil.cli.console import output
from mulgil.contract import load_project
from mulgil.errors import InputError, TemporaryError, describe
from mulgil.local.plane.client import ServingPlane
from mulgil.serving.requests import predict_url


def predict_command(
    project: Annotated[Path, typer.Argument(help="The project's folder.")] = Path("projects/breast_cancer"),
    file: Annotated[
        Path | None,
        typer.Option(
            help="JSON: one row by column, or a list of rows. The model's own example if not given."
        ),
    ] = None,
) -> None:
    """Ask PROJECT's deployed model for predictions."""
    settings = load_project(project).project
    rows = _read_rows(file) if file else None
    service = ServingPlane().get(settings.name, settings.serving.namespace)
    url = service.get("status", {}).get("url")
    if not url:
        raise TemporaryError(
            describe(
                f"{settings.name} is not ready", next_step=f"see `mulgil get isvc {settings.name} -o yaml`"
            )
        )
    instances = [_example(service)] if rows is None else rows
    try:
        answer = httpx.post(predict_url(url, settings.name), json={"instances": instances}, timeout=30)
    except httpx.HTTPError as exc:
        raise TemporaryError(
            describe(f"{settings.name} does not answer at {url}: {exc}", next_step="run `mulgil up`")
        ) from exc
    if answer.status_code >= 500:
        raise TemporaryError(f"{settings.name} answered {answer.status_code}: {answer.text}")
    if answer.status_code >= 400:
        raise InputError(f"{settings.name} refused the request ({answer.status_code}): {answer.text}")
    for instance, prediction in zip(instances, answer.json()["predictions"], strict=True):
        output.out(json.dumps({"instance": instance, "prediction": prediction}), highlight=False)
    output.print(f"model version {answer.headers.get('x-model-version', 'unknown')}")


def _read_rows(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        # Python reads NaN and numbers beyond a float's range too, and neither can be sent.
        json.dumps(rows, allow_nan=False)
    except OSError as exc:
        raise InputError(
            describe(
                f"Cannot read {path}: {exc.strerror}", expected="a JSON file with a row, or a list of rows"
            )
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(
            describe(
                f"{path} is not JSON: {exc}",
                expected="a row, or a list of rows; null is a missing value",
            )
        ) from exc
    return rows if isinstance(rows, list) else [rows]


def _example(service: dict[str, Any]) -> dict[str, Any]:
    """Read the example in the deployed bundle."""
    storage_uri = service["spec"]["predictor"]["model"]["storageUri"]
    return WarmUpExample.read(Path(storage_uri.removeprefix("file://")) / BUNDLE_EXAMPLE).instance
