"""A compiled pipeline with what a cluster adds: resources, retries, images, and KFP's platform document.

The graph is the one that runs on a laptop. Everything here is a function of the compiled text and of the
settings, so that no pipeline needs to know of Kubernetes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as platform
from kfp.pipeline_spec import pipeline_spec_pb2

from mulgil.cluster.pipeline_settings import Amounts, PipelineSettings, StepSettings
from mulgil.errors import InputError, describe

_BACKOFF = {"backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "600s"}
# The images' own.
_USER = 65532
# What stands before a step's command. It imports from the image what every image has.
_SHIPPED = """\
import os, sys
from mulgil.project_location import project_folder
code, command = sys.argv[1], sys.argv[2:]
os.environ["PYTHONPATH"] = os.pathsep.join([str(project_folder(code)), os.environ.get("PYTHONPATH", "")])
os.execvp(command[0], command)
"""
_KUBERNETES_API = "pipelines.kubeflow.org/v2beta1"


def adapt_to_cluster(
    compiled: str, settings: PipelineSettings, *, registry: str = "", digests: Mapping[str, str] | None = None
) -> str:
    """Add what a cluster needs to a compiled pipeline.

    Args:
        compiled: As the KFP compiler writes it.
        settings: What holds for its steps.
        registry: Put before each of our images, such as `ghcr.io/acme`; none where it is empty.
        digests: By image, with its registry; an image that is there is named by its digest.

    Returns:
        The `PipelineSpec` and KFP's platform document, in one YAML of two.

    Raises:
        InputError: The settings are about steps that the pipeline does not have.
    """
    spec = yaml.safe_load(compiled)
    own = _adapt_containers(spec, settings, registry, digests or {})
    for task in _tasks(spec):
        label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
        if label in own and own[label].retries:
            task["retryPolicy"] = {"maxRetryCount": own[label].retries, **_BACKOFF}
        if label in own and own[label].is_cached is False:
            task["cachingOptions"] = {}
    configured = {label: _executor_configuration(settings, step) for label, step in own.items()}
    documents = [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": configured}}}}]
    _check(*documents)
    return yaml.safe_dump_all(documents, sort_keys=True)


def adapt_to_engine(compiled: str, settings: PipelineSettings, *, registry: str = "") -> str:
    """Add what a container engine needs to a compiled pipeline: the images' names, and what steps may use.

    Args:
        compiled: As the KFP compiler writes it.
        settings: What holds for its steps. Names of ConfigMaps and secrets are Kubernetes' and stay out, and
            so do retries, which answer nodes that go away.
        registry: Put before each of our images.

    Returns:
        The `PipelineSpec`.

    Raises:
        InputError: The settings are about steps that the pipeline does not have.
    """
    spec = yaml.safe_load(compiled)
    _adapt_containers(spec, settings, registry, {})
    return yaml.safe_dump(spec, sort_keys=True)


def run_shipped_code(compiled: str, address: str) -> str:
    """Let the steps of an adapted pipeline run packed code, in the images that there are.

    Args:
        compiled: As `adapt_to_cluster` returns it.
        address: Of the packed code.

    Returns:
        Both documents; each of our steps first fetches the code, and then becomes its command.
    """
    spec, *platforms = yaml.safe_load_all(compiled)
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor.get("container")
        if container is not None and container.get("command", [])[:2] == ["python", "-m"]:
            container["command"] = ["python", "-c", _SHIPPED, address, *container["command"]]
    return yaml.safe_dump_all([spec, *platforms], sort_keys=True)


def native_manifests(compiled: str, *, name: str, namespace: str, fingerprint: str) -> list[dict[str, Any]]:
    """Write a pipeline as the objects that KFP takes from `kubectl apply`.

    Args:
        compiled: As `adapt_to_cluster` returns it.
        name: The pipeline's.
        namespace: Where KFP looks for pipelines.
        fingerprint: Of the compiled text; a version cannot be changed, so it is in the version's name.

    Returns:
        A `Pipeline` and a `PipelineVersion`.
    """
    spec, *platforms = yaml.safe_load_all(compiled)
    description = spec["pipelineInfo"].get("description", "")
    metadata = {"namespace": namespace, "labels": {"app.kubernetes.io/part-of": "mulgil"}}
    version_name = f"{name}-{fingerprint[:12]}"
    version = {
        "pipelineName": name,
        "displayName": version_name,
        "description": description,
        "pipelineSpec": spec,
        **({"platformSpec": platforms[0]} if platforms else {}),
    }
    return [
        {
            "apiVersion": _KUBERNETES_API,
            "kind": "Pipeline",
            "metadata": {"name": name, **metadata},
            "spec": {"displayName": name, "description": description},
        },
        {
            "apiVersion": _KUBERNETES_API,
            "kind": "PipelineVersion",
            "metadata": {"name": version_name, **metadata},
            "spec": version,
        },
    ]


def images_of(compiled: str) -> set[str]:
    """Return the images that a compiled pipeline names."""
    spec = next(iter(yaml.safe_load_all(compiled)))
    executors = spec["deploymentSpec"]["executors"].values()
    return {executor["container"]["image"] for executor in executors if "container" in executor}


def _adapt_containers(
    spec: dict[str, Any], settings: PipelineSettings, registry: str, digests: Mapping[str, str]
) -> dict[str, StepSettings]:
    """Set images and resources of a pipeline's containers in place, and return what holds for each."""
    executors = {
        label: executor["container"]
        for label, executor in spec["deploymentSpec"]["executors"].items()
        if "container" in executor
    }
    components = {label: _component_of(container["image"], label) for label, container in executors.items()}
    _refuse_unknown(settings, set(components.values()))
    own = {label: settings.of(component) for label, component in components.items()}
    for label, container in executors.items():
        container["resources"] = _resources(own[label])
        container["image"] = _image(container["image"], registry, digests)
    return own


def _component_of(image: str, label: str = "") -> str:
    """Return the component of one of our images; for any other one what its executor is called."""
    before, ours, name = image.partition("mulgil/")
    is_ours = ours and (not before or before.endswith("/"))
    name = name.partition("@")[0].partition(":")[0] if is_ours else label.removeprefix("exec-")
    return name.replace("-", "_")


def _refuse_unknown(settings: PipelineSettings, components: set[str]) -> None:
    unknown = settings.steps.keys() - components
    if unknown:
        raise InputError(
            describe(
                "The settings are about steps that the pipeline does not have",
                expected=", ".join(sorted(components)),
                received=", ".join(sorted(unknown)),
            )
        )


def _image(image: str, registry: str, digests: Mapping[str, str]) -> str:
    if registry and _component_of(image):
        image = f"{registry.rstrip('/')}/{image}"
    return f"{image.rpartition(':')[0]}@{digests[image]}" if image in digests else image


def _tasks(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for graph in (spec["root"], *spec["components"].values()):
        yield from graph.get("dag", {}).get("tasks", {}).values()


def _resources(own: StepSettings) -> dict[str, Any]:
    resources = {**_amounts("Request", own.requests), **_amounts("Limit", own.limits)}
    if own.accelerator is not None:
        resources["accelerator"] = {
            "resourceType": own.accelerator.type,
            "resourceCount": str(own.accelerator.count),
        }
    return resources


def _amounts(kind: str, amounts: Amounts) -> dict[str, str]:
    names = {f"resourceCpu{kind}": amounts.cpu, f"resourceMemory{kind}": amounts.memory}
    return {name: value for name, value in names.items() if value is not None}


def _executor_configuration(settings: PipelineSettings, own: StepSettings) -> dict[str, Any]:
    configuration = platform.KubernetesExecutorConfig(
        image_pull_policy=settings.image_pull_policy,
        image_pull_secret=[_named(platform.ImagePullSecret, n) for n in settings.image_pull_secrets],
        secret_as_env=[
            *(_secret(name, keys) for name, keys in own.secrets.items()),
            *(_secret(name, keys, is_optional=True) for name, keys in own.optional_secrets.items()),
        ],
        config_map_as_env=[_config_map(settings.config_map, settings.config_map_keys)],
        pvc_mount=[_volume(claim, path) for claim, path in own.volumes.items()],
        tolerations=[
            platform.Toleration(**taint.model_dump(exclude_none=True, exclude_defaults=False))
            for taint in own.tolerations
        ],
        security_context=platform.SecurityContext(
            run_as_user=_USER, run_as_group=_USER, run_as_non_root=True
        ),
    )
    if own.node_selector:
        configuration.node_selector.labels.update(own.node_selector)
    if own.timeout_seconds is not None:
        configuration.active_deadline_seconds = own.timeout_seconds
    return dict(json_format.MessageToDict(configuration))


def _constant(value: str) -> pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec:
    parameter = pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec()
    parameter.runtime_value.constant.string_value = value
    return parameter


def _named(kind: Any, name: str) -> Any:
    # The plain field is what backends before 2.5 read.
    return kind(secret_name=name, secret_name_parameter=_constant(name))


def _secret(name: str, keys: tuple[str, ...], *, is_optional: bool = False) -> platform.SecretAsEnv:
    pairs = [platform.SecretAsEnv.SecretKeyToEnvMap(secret_key=key, env_var=key) for key in keys]
    return platform.SecretAsEnv(
        secret_name=name,
        secret_name_parameter=_constant(name),
        key_to_env=pairs,
        optional=is_optional or None,
    )


def _config_map(name: str, keys: tuple[str, ...]) -> platform.ConfigMapAsEnv:
    pairs = [platform.ConfigMapAsEnv.ConfigMapKeyToEnvMap(config_map_key=key, env_var=key) for key in keys]
    return platform.ConfigMapAsEnv(
        config_map_name=name, config_map_name_parameter=_constant(name), key_to_env=pairs
    )


def _volume(claim: str, path: str) -> platform.PvcMount:
    return platform.PvcMount(constant=claim, pvc_name_parameter=_constant(claim), mount_path=path)


def _check(spec: dict[str, Any], platforms: dict[str, Any]) -> None:
    """Hold both documents against KFP's own messages; a field that they lack is a defect here."""
    parse = functools.partial(json_format.ParseDict, ignore_unknown_fields=False)
    parse(spec, pipeline_spec_pb2.PipelineSpec())
    parse(platforms, pipeline_spec_pb2.PlatformSpec())
