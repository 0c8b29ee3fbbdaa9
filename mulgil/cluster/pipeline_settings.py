"""What a cluster adds to a compiled pipeline: where steps run, with what, and under which names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mulgil.errors import InputError, describe
from mulgil.home import SOURCE_ROOT

DEFAULT_SETTINGS = SOURCE_ROOT / "manifests" / "settings" / "settings.yaml"
# Of the ConfigMap's data, those that are about pipelines; a later one (by name) goes over an earlier one.
_MAIN_KEY = "pipeline.yaml"
_KEY_PREFIX = "pipeline"

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Amounts(_Part):
    """Processor and memory, as Kubernetes writes quantities."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Accelerator(_Part):
    """Devices of one kind, such as `nvidia.com/gpu`."""

    type: str
    count: Annotated[int, Field(ge=1)] = 1


class Toleration(_Part):
    """A taint that a step accepts."""

    key: str
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class StepSettings(_Part):
    """Of one step, or of all.

    Attributes:
        requests: What is kept free for it.
        limits: What it cannot pass.
        secrets: By secret, the keys that become environment variables of the same names.
        optional_secrets: Likewise; where a secret is not there the step runs without its variables.
        volumes: By PersistentVolumeClaim, where it is mounted.
        node_selector: Labels of the nodes that it may run on.
        tolerations: Taints of the nodes that it may run on too.
        accelerator: Devices.
        retries: How often a failed attempt is made again.
        timeout_seconds: Longest time of an attempt.
        is_cached: Whether KFP takes outputs of an earlier run for it; what the pipeline says, if not given.
    """

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()
    secrets: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    optional_secrets: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    volumes: Mapping[str, str] = Field(default_factory=dict)
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    accelerator: Accelerator | None = None
    retries: Annotated[int, Field(ge=0)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    is_cached: bool | None = None


class PipelineSettings(_Part):
    """Of a whole pipeline.

    Attributes:
        config_map: The ConfigMap of addresses, in the namespace in which steps run.
        config_map_keys: Those of its keys that become environment variables.
        secrets: As in `StepSettings`, for every step.
        image_pull_policy: When the node looks for an image of the same name.
        image_pull_secrets: Secrets for a private registry.
        allows_code_sync: Whether `mulgil submit --sync-code` may run code that is in no image.
        defaults: For steps that say nothing else.
        steps: By component.
    """

    config_map: str
    config_map_keys: tuple[str, ...] = ()
    secrets: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    allows_code_sync: bool = True
    defaults: StepSettings = StepSettings()
    steps: Mapping[str, StepSettings] = Field(default_factory=dict)

    def of(self, component: str) -> StepSettings:
        """Return what holds for a component: its own word over the defaults, amount by amount."""
        own = self.steps.get(component, StepSettings())
        merged = _merge(self.defaults.model_dump(exclude_unset=True), own.model_dump(exclude_unset=True))
        merged["secrets"] = {**self.secrets, **merged.get("secrets", {})}
        return StepSettings.model_validate(merged)


def read_settings(path: Path = DEFAULT_SETTINGS) -> PipelineSettings:
    """Read the settings out of a ConfigMap, alone in a file or among a rendered overlay's objects.

    Raises:
        InputError: There is none in the file, or it says what is not understood.
    """
    return parse_settings(read_config_map(path), str(path))


def read_config_map(path: Path = DEFAULT_SETTINGS) -> Mapping[str, str]:
    """Return the data of the ConfigMap that holds addresses and pipeline settings.

    Raises:
        InputError: There is none in the file.
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as exc:
        raise InputError(describe(f"The settings in {path} cannot be read", received=str(exc))) from exc
    found = [data for document in documents if _MAIN_KEY in (data := _data_of(document))]
    if not found:
        raise InputError(
            describe(
                f"There are no pipeline settings in {path}",
                expected=f"a ConfigMap with the key {_MAIN_KEY}",
                next_step=f"begin with {DEFAULT_SETTINGS.relative_to(SOURCE_ROOT)}",
            )
        )
    if any(data != found[0] for data in found):
        raise InputError(
            describe(f"The ConfigMaps with pipeline settings in {path} differ", expected="one, or equal ones")
        )
    return found[0]


def parse_settings(data: Mapping[str, str], origin: str) -> PipelineSettings:
    """Merge and check the parts of a ConfigMap that are about pipelines.

    Raises:
        InputError: Naming each field that is wrong or unknown.
    """
    keys = [_MAIN_KEY, *sorted(k for k in data if k.startswith(_KEY_PREFIX) and k != _MAIN_KEY)]
    try:
        parts = [yaml.safe_load(data[key]) or {} for key in keys]
        return PipelineSettings.model_validate(functools.reduce(_merge, parts))
    except yaml.YAMLError as exc:
        raise InputError(
            describe(f"The pipeline settings of {origin} are not YAML", received=str(exc))
        ) from exc
    except ValidationError as exc:
        raise InputError(
            "\n".join(
                describe(
                    f"{origin}: {'.'.join(map(str, error['loc']))}: {error['msg']}",
                    received=f"{error['input']!r:.200}",
                )
                for error in exc.errors(include_url=False)
            )
        ) from exc


def _data_of(document: Any) -> Mapping[str, str]:
    if isinstance(document, dict) and document.get("kind") == "ConfigMap":
        return document.get("data") or {}
    return {}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        is_deeper = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if is_deeper else value
    return merged
