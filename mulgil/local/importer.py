"""An artifact from outside the pipeline, taken as it stands."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mulgil.errors import InputError, UnsupportedPipelineError, describe
from mulgil.local.pipeline_spec import Component, Importer
from mulgil.local.results import Values


def import_artifact(importer: Importer, component: Component, inputs: Values) -> Values:
    """Return the artifact that an importer names, under the name of its one output.

    Raises:
        UnsupportedPipelineError: It is not on this machine.
        InputError: It does not exist.
    """
    uri = importer.artifact_uri.constant or str(inputs.parameters[importer.artifact_uri.runtime_parameter])
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc:
        raise UnsupportedPipelineError(
            describe(
                "An artifact to import is not on this machine",
                expected="file:///path",
                received=f"artifactUri={uri}",
                next_step="copy it to this machine and give its path",
            )
        )
    place = Path(unquote(parts.path))
    if not place.exists():
        raise InputError(
            describe(
                "An artifact to import does not exist", expected=str(place), received=f"artifactUri={uri}"
            )
        )
    (name,) = component.output_definitions.artifacts
    return Values(artifacts={name: place})
