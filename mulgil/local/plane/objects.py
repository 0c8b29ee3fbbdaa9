"""The InferenceService as this plane takes it: every field is honoured, or refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mulgil.artifacts import fingerprint_json
from mulgil.contract.project import ResourceName
from mulgil.errors import InputError, describe

API_VERSION = "serving.kserve.io/v1beta1"
KIND = "InferenceService"
RUNTIME: Final = "mulgil-model-server"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _local_path(value: Any) -> Any:
    """Read a storage URI into the path that it names on this machine."""
    if not isinstance(value, str):
        return value
    # Taken as it is, nothing unescaped: so does KServe's storage initializer.
    path = value.removeprefix("file://")
    if not path.startswith("/"):
        raise ValueError("expected file:///… or an absolute path")
    return path


class EnvironmentVariable(_Part):
    """A variable of the server's process."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: str = ""


class ModelFormat(_Part):
    """What the storage holds."""

    name: Literal["mulgil"]


class Model(_Part):
    """`spec.predictor.model`."""

    modelFormat: ModelFormat  # noqa: N815 - KServe's name
    runtime: Literal["mulgil-model-server"] = RUNTIME
    # The server speaks both, whichever is named.
    protocolVersion: Literal["v1", "v2"] = "v1"  # noqa: N815
    storageUri: Annotated[str, BeforeValidator(_local_path)]  # noqa: N815
    env: tuple[EnvironmentVariable, ...] = ()


class Predictor(_Part):
    """`spec.predictor`: what a change of makes a new revision."""

    # One server a revision.
    minReplicas: Literal[1] = 1  # noqa: N815
    model: Model

    @property
    def fingerprint(self) -> str:
        """Hash of everything that a revision is made from."""
        return fingerprint_json(self.model_dump(mode="json"))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the server's process."""
        return {variable.name: variable.value for variable in self.model.env}


class Specification(_Part):
    """`spec`."""

    predictor: Predictor


class Metadata(BaseModel):
    """`metadata`, of which a cluster fills in more than is read here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: ResourceName
    namespace: ResourceName = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class InferenceService(_Part):
    """An object as a user applies it."""

    apiVersion: Literal["serving.kserve.io/v1beta1"]  # noqa: N815
    kind: Literal["InferenceService"]
    metadata: Metadata
    spec: Specification
    # An object that was read back may be applied again.
    status: Any = None


def parse_inference_service(manifest: object) -> InferenceService:
    """Check a manifest.

    Raises:
        InputError: Naming each field that is wrong, unknown, or not honoured by this plane.
    """
    try:
        return InferenceService.model_validate(manifest)
    except ValidationError as exc:
        raise InputError(
            "\n".join(_explain(error) for error in exc.errors(include_url=False, include_input=True))
        ) from exc


def _explain(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"]) or "the manifest"
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            wrong, expected = f"{path} is not honoured by the local serving plane", "the field to be left out"
        case "missing":
            return describe(f"{path} is missing", expected="a value")
        case "literal_error":
            wrong, expected = f"{path} is not what the local serving plane runs", str(context["expected"])
        case _:
            wrong, expected = f"{path} is wrong", str(error["msg"]).removeprefix("Value error, expected ")
    return describe(wrong, expected=expected, received=f"{path}={error['input']!r:.200}")
