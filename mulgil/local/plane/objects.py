"""The InferenceService as this plane takes it: every field is honoured, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mulgil.contract.project import ResourceName
from mulgil.errors import InputError, describe
from mulgil.kserve_modes import MODE_ANNOTATION, MODES, DeploymentMode
from mulgil.local.plane import kserve_fields
from mulgil.local.plane.storage import check_uri
from mulgil.local.resources import parse_quantity

API_VERSION = "serving.kserve.io/v1beta1"
KIND = "InferenceService"
RUNTIME: Final = "mulgil-model-server"
# On a cluster another one: a container has one port that is reached from outside.
GRPC_RUNTIME: Final = "mulgil-model-server-grpc"

# Of a predictor: its servers run in containers of that image, where a cluster has the runtime's.
IMAGE_ANNOTATION = "mulgil.dev/server-image"
TAGS_ANNOTATION = "serving.kserve.io/enable-tag-routing"
# Those that mean something to KServe or Knative, and so must mean it here or be refused.
_MEANINGFUL = re.compile(r"(.+\.)?(serving\.kserve\.io|serving\.knative\.dev|autoscaling\.knative\.dev)/.+")
_AUTOSCALER_ANNOTATION = "serving.kserve.io/autoscalerClass"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Percent = Annotated[int, Field(ge=0, le=100, strict=True)]
# `predictor.name` in the CRD.
VariantName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class EnvironmentVariable(_Part):
    """A variable of the server's process."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: str = ""


class ModelFormat(_Part):
    """What the storage holds."""

    name: Literal["mulgil"]


def _quantity(value: Any) -> Any:
    """Read a Kubernetes quantity as text, which YAML may give as a number."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if isinstance(text, str):
        try:
            parse_quantity(text)
        except InputError as exc:
            raise ValueError("expected a Kubernetes quantity, such as 500m or 2Gi") from exc
    return text


Quantity = Annotated[str, BeforeValidator(_quantity)]


class Amounts(_Part):
    """`resources.requests` or `resources.limits`."""

    cpu: Quantity | None = None
    memory: Quantity | None = None

    @property
    def cores(self) -> float | None:
        """Of the machine's; `None` where nothing is said."""
        return None if self.cpu is None else parse_quantity(self.cpu)

    @property
    def bytes(self) -> float | None:
        """Of its memory; `None` where nothing is said."""
        return None if self.memory is None else parse_quantity(self.memory)


class Resources(_Part):
    """`spec.predictor.model.resources`."""

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()


StorageUri = Annotated[str, AfterValidator(check_uri)]

# Where a server is found, and what it serves, is the plane's to say.
_PLANE_FLAGS = ("--host", "--http-port", "--grpc-port", "--model-name", "--model-path")
# Envoy and the plane itself ask a server on 127.0.0.1, without TLS and without a token for its health.
_CLUSTER_FLAGS = ("--tls-certificate-path", "--tls-key-path")


def _check_argument(argument: str) -> str:
    flag = argument.partition("=")[0]
    if flag in _PLANE_FLAGS:
        raise ValueError(f"expected arguments without {', '.join(_PLANE_FLAGS)}, which the plane gives")
    # The server takes what begins a flag's name for the flag.
    if flag.startswith("--tls") and any(name.startswith(flag) for name in _CLUSTER_FLAGS):
        raise ValueError(
            f"expected arguments without {', '.join(_CLUSTER_FLAGS)}: here servers are asked in the clear"
        )
    return argument


Argument = Annotated[str, AfterValidator(_check_argument)]


class CanaryModel(_Part):
    """`spec.canary[].predictor.model`: what it does not say, the stable predictor says."""

    # The CRD asks for the container's name here, and KServe has one for it.
    name: Literal["kserve-container"] = "kserve-container"
    modelFormat: ModelFormat  # noqa: N815 - KServe's name
    runtime: Literal["mulgil-model-server", "mulgil-model-server-grpc"] = RUNTIME
    # Over REST the server speaks both, whichever is named.
    protocolVersion: Literal["v1", "v2", "grpc-v2"] = "v1"  # noqa: N815
    storageUri: StorageUri | None = None  # noqa: N815
    env: tuple[EnvironmentVariable, ...] = ()
    args: tuple[Argument, ...] = ()
    resources: Resources = Resources()

    @property
    def speaks_grpc(self) -> bool:
        """Whether it is to be reached over gRPC."""
        return self.protocolVersion == "grpc-v2"

    @property
    def runtime_name(self) -> str:
        """The runtime that KServe chooses for the protocol."""
        return GRPC_RUNTIME if self.speaks_grpc else RUNTIME


class Model(CanaryModel):
    """`spec.predictor.model`."""

    storageUri: StorageUri  # noqa: N815


class Logger(_Part):
    """`spec.predictor.logger`."""

    url: Annotated[str, Field(pattern=r"^https?://[^/]+")] | None = None
    # A record is of a request and its response together.
    mode: Literal["all"] = "all"


class Predictor(_Part):
    """`spec.predictor`."""

    name: VariantName | Literal[""] = ""
    minReplicas: Annotated[int, Field(ge=1, strict=True)] = 1  # noqa: N815
    maxReplicas: Annotated[int, Field(strict=True)] | None = None  # noqa: N815
    canaryTrafficPercent: Percent | None = None  # noqa: N815
    timeout: Annotated[int, Field(ge=1, strict=True)] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    logger: Logger | None = None
    model: Model

    @model_validator(mode="after")
    def _scales_to_nothing_else(self) -> Self:
        # Nothing scales here: as many as there are at least are as many as there are at most.
        if self.maxReplicas not in (None, 0, self.minReplicas):
            raise _wrong(f"maxReplicas={self.maxReplicas}", f"minReplicas={self.minReplicas}, or left out")
        return self

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the server's process."""
        return {variable.name: variable.value for variable in self.model.env}

    @property
    def server_image(self) -> str | None:
        """The image whose containers its servers are; `None` where they are processes of this machine."""
        return self.annotations.get(IMAGE_ANNOTATION)

    @property
    def needs_collector(self) -> bool:
        """Whether its predictions are recorded by the plane's own collector."""
        return self.logger is not None and self.logger.url is None


class CanaryPredictor(_Part):
    """`spec.canary[].predictor`."""

    name: VariantName
    minReplicas: Annotated[int, Field(ge=0, strict=True)] | None = None  # noqa: N815
    timeout: Annotated[int, Field(ge=1, strict=True)] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    logger: Logger | None = None
    model: CanaryModel


class Canary(_Part):
    """`spec.canary[]`."""

    predictor: CanaryPredictor
    trafficPercent: Percent  # noqa: N815

    @property
    def replicas(self) -> int | None:
        """Its servers, where it says so."""
        return self.predictor.minReplicas

    def merged_into(self, stable: Predictor) -> Predictor:
        """Return the predictor that runs: the stable one's, and over it what the canary says.

        KServe's `buildCanaryPredictor`. A list is replaced whole, and an empty value says nothing.
        """
        over = self.predictor.model_dump(exclude_unset=True, exclude={"minReplicas": True, "model": {"name"}})
        return Predictor.model_validate(_merge(stable.model_dump(exclude_unset=True), over))


class Specification(_Part):
    """`spec`."""

    predictor: Predictor
    canary: tuple[Canary, ...] = ()

    @model_validator(mode="after")
    def _protocols_fit(self) -> Self:
        stable = self.predictor.model
        models: list[tuple[str, CanaryModel]] = [("predictor.model", stable)]
        for index, canary in enumerate(self.canary):
            model = canary.predictor.model
            if "protocolVersion" not in model.model_fields_set:
                model = model.model_copy(update={"protocolVersion": stable.protocolVersion})
            models.append((f"canary.{index}.predictor.model", model))
            if model.speaks_grpc != stable.speaks_grpc:
                raise _wrong(
                    f"canary.{index}.predictor.model.protocolVersion={model.protocolVersion}",
                    f"the stable predictor's, {stable.protocolVersion}: both are reached at one address",
                )
        for path, model in models:
            if "runtime" in model.model_fields_set and model.runtime != model.runtime_name:
                raise _wrong(
                    f"{path}.runtime={model.runtime} with protocolVersion={model.protocolVersion}",
                    f"{model.runtime_name}, or no runtime",
                )
        return self

    @model_validator(mode="after")
    def _canaries_fit(self) -> Self:
        names = [self.predictor.name, *(canary.predictor.name for canary in self.canary)]
        for index, name in enumerate(names[1:]):
            if name in names[: index + 1]:
                raise _wrong(f"canary.{index}.predictor.name={name}", "a name that no other predictor has")
        total = sum(canary.trafficPercent for canary in self.canary)
        if total > 100:
            raise _wrong(f"trafficPercent={total} in all canaries together", "at most 100")
        for index, canary in enumerate(self.canary):
            if (canary.replicas or 0) > self.predictor.minReplicas:
                raise _wrong(
                    f"canary.{index}.predictor.minReplicas={canary.replicas}",
                    f"at most the stable predictor's minReplicas={self.predictor.minReplicas}",
                )
        return self


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

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        _check_annotations(self.metadata.annotations, "metadata", (MODE_ANNOTATION, TAGS_ANNOTATION))
        predictor = self.spec.predictor
        _check_annotations(predictor.annotations, "spec.predictor")
        for index, canary in enumerate(self.spec.canary):
            _check_annotations(canary.predictor.annotations, f"spec.canary.{index}.predictor")
        if self.mode is DeploymentMode.KNATIVE:
            standard_form = f"annotation {MODE_ANNOTATION}: {DeploymentMode.STANDARD}"
            if self.spec.canary:
                raise _wrong(
                    "spec.canary in the Knative form", f"canaryTrafficPercent, or the {standard_form}"
                )
            if predictor.name:
                raise _wrong("spec.predictor.name in the Knative form", f"no name, or the {standard_form}")
        elif predictor.canaryTrafficPercent is not None:
            # KServe ignores it without a word.
            raise _wrong(
                "spec.predictor.canaryTrafficPercent in the Standard form", "spec.canary[].trafficPercent"
            )
        return self

    @property
    def mode(self) -> DeploymentMode:
        """Which form it has; Knative's where it does not say."""
        return MODES[self.metadata.annotations.get(MODE_ANNOTATION, DeploymentMode.KNATIVE)]

    @property
    def has_tags(self) -> bool:
        """Whether the latest revision too has an address of its own."""
        return self.metadata.annotations.get(TAGS_ANNOTATION) == "true"


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


def _check_annotations(annotations: Mapping[str, str], path: str, honoured: tuple[str, ...] = ()) -> None:
    mode = annotations.get(MODE_ANNOTATION)
    if MODE_ANNOTATION in honoured and mode is not None and mode not in MODES:
        raise _wrong(f"{MODE_ANNOTATION}={mode}", " or ".join(DeploymentMode))
    for name, value in annotations.items():
        is_honoured = name in honoured or (
            # Who scales, where nobody does.
            name == _AUTOSCALER_ANNOTATION and value in ("none", "external")
        )
        if _MEANINGFUL.fullmatch(name) and not is_honoured:
            raise _wrong(
                f"{path}.annotations.{name}={value}",
                "the annotation to be left out: the local serving plane does not honour it",
            )


def _wrong(received: str, expected: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{expected}", {"received": received, "expected": expected})


def _merge(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    said = {key: value for key, value in over.items() if value not in (None, "", (), [], {})}
    return {**base, **{key: _merge(base.get(key), value) for key, value in said.items()}}


def _explain(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"]) or "the manifest"
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden" if kserve_fields.is_known(error["loc"]):
            wrong = f"{path} is a field of KServe that the local serving plane does not honour"
            expected = "the field to be left out"
        case "extra_forbidden":
            wrong = f"{path} is not a field of KServe's InferenceService"
            meant = kserve_fields.suggest(error["loc"])
            expected = f"{meant}, or the field to be left out" if meant else "the field to be left out"
        case "missing":
            return describe(f"{path} is missing", expected="a value")
        case "wrong":
            return describe(
                f"{path} is not what the local serving plane runs",
                expected=context["expected"],
                received=context["received"],
            )
        case "literal_error":
            wrong, expected = f"{path} is not what the local serving plane runs", str(context["expected"])
        case _:
            wrong, expected = f"{path} is wrong", str(error["msg"]).removeprefix("Value error, expected ")
    return describe(wrong, expected=expected, received=f"{path}={error['input']!r:.200}")
