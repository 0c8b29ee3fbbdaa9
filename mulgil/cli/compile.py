"""`mulgil compile`: a pipeline as Kubeflow Pipelines takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from mulgil.artifacts import fingerprint_bytes, write_text
from mulgil.cli.console import output
from mulgil.errors import InputError, describe

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="ConfigMap with `pipeline.yaml`, or a rendered overlay that has one."),
]
RegistryOption = Annotated[str, typer.Option(help="Put before each image, such as ghcr.io/acme.")]
PinOption = Annotated[
    bool,
    typer.Option("--pin-digests", help="Name each image by the digest that its registry has for its tag."),
]


def compile_command(
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name.")] = "training",
    path: Annotated[
        Path | None, typer.Option("--output", help="File to write; the terminal where it is not given.")
    ] = None,
    settings: SettingsFile = None,
    registry: RegistryOption = "",
    is_pinned: PinOption = False,
    is_native: Annotated[
        bool,
        typer.Option(
            "--kubernetes-manifests", help="Write `Pipeline` and `PipelineVersion` for kubectl apply."
        ),
    ] = False,
    namespace: Annotated[
        str, typer.Option(help="Where KFP looks for pipelines kept in Kubernetes.")
    ] = "kubeflow",
) -> None:
    """Compile PIPELINE to KFP v2's intermediate representation (YAML).

    With any option about a cluster, the cluster's settings go into it: resources, secrets by name, images.
    """
    from pipelines.compile import PIPELINES, compile_pipeline

    if pipeline not in PIPELINES:
        raise InputError(
            describe("There is no such pipeline", expected=", ".join(PIPELINES), received=pipeline)
        )
    if settings or registry or is_pinned or is_native:
        text = compile_for_cluster(pipeline, settings, registry, is_pinned=is_pinned)
    else:
        text = compile_pipeline(pipeline)
    if is_native:
        from pipelines.kubernetes import native_manifests

        manifests = native_manifests(
            text, name=pipeline, namespace=namespace, fingerprint=fingerprint_bytes(text.encode())
        )
        text = yaml.safe_dump_all(manifests, sort_keys=False)
    if path is None:
        output.out(text, highlight=False, end="")
    else:
        write_text(path, text)
        output.print(f"wrote {path}", markup=False)


def compile_for_cluster(pipeline: str, settings: Path | None, registry: str, *, is_pinned: bool) -> str:
    """Compile a pipeline with what a cluster adds to it.

    Raises:
        InputError: The settings are wrong, or an image is not in its registry.
    """
    from mulgil.cluster.image_registry import find_digest
    from mulgil.cluster.pipeline_settings import DEFAULT_SETTINGS, read_settings
    from pipelines.compile import compile_pipeline
    from pipelines.kubernetes import adapt_to_cluster, images_of

    read = read_settings(settings or DEFAULT_SETTINGS)
    compiled = compile_pipeline(pipeline)
    text = adapt_to_cluster(compiled, read, registry=registry)
    if not is_pinned:
        return text
    digests = {image: find_digest(image) for image in sorted(images_of(text))}
    return adapt_to_cluster(compiled, read, registry=registry, digests=digests)
