"""From a registered model and a verdict to an endpoint that answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from components.deploy_model import PROJECT_SECTIONS
from components.deploy_model.manifest import build_manifest
from components.deploy_model.platform import InferencePlatform, applied
from components.deploy_model.smoke import ask, converse
from mulgil.artifacts import (
    BUNDLE_DICTIONARY,
    BUNDLE_EXAMPLE,
    BundleManifest,
    Check,
    Endpoint,
    RegisteredModel,
    Verdict,
    WarmUpExample,
    read_bundle,
    require_approval,
    write_text,
)
from mulgil.contract import DataDictionary, Task, load_project
from mulgil.contract.answers import AnswerForm
from mulgil.contract.rollout import Rollout
from mulgil.errors import InputError, MulgilError, PermanentError, describe
from mulgil.registry import CHAMPION, STAGING

GATE = "evaluate_model"


def deploy_model(
    *,
    project_path: Path,
    registered_model_path: Path,
    evaluation_verdict_path: Path,
    manifest_path: Path,
    endpoint_path: Path,
    timeout_seconds: int,
    platform: InferencePlatform,
    give_alias: Callable[[str, str, str, Verdict], None],
    locate: Callable[[RegisteredModel], Path],
    reason_for_rollout: Callable[[Rollout, dict[str, Any]], str | None],
) -> Endpoint:
    """Put a model version into staging, deploy it, see it answer, and call it the champion.

    A deployment that fails leaves the platform as it was: the version before goes on serving. One that is
    repeated changes nothing. A version that is to be rolled out step by step is written down and not applied.

    Args:
        project_path: Folder with the project's files.
        registered_model_path: What `register_model` registered.
        evaluation_verdict_path: Verdict of `evaluate_model`; without its approval nothing is deployed.
        manifest_path: Where the InferenceService is written, as applied.
        endpoint_path: Where it answers, and what it answered.
        timeout_seconds: Longest wait for readiness.
        platform: Where the model is to run.
        give_alias: Gives a version of a registered model an alias, with the verdict that it has it for.
        locate: Returns where a registered model's bundle is here.
        reason_for_rollout: Says why a version is to be rolled out step by step; `None` where it is not.

    Returns:
        The endpoint.

    Raises:
        GateRejectedError: There is no approval of this very bundle.
        InputError: The bundle is not what was registered.
        PermanentError: The server says that it cannot run, or its answer is wrong.
        TemporaryError: It is not ready in time, or does not answer.
    """
    project = load_project(project_path, PROJECT_SECTIONS).project
    registered = RegisteredModel.read(registered_model_path)
    approval = require_approval(evaluation_verdict_path, gate=GATE, subject=registered.bundle_fingerprint)
    bundle_path = locate(registered)
    bundle = _read_registered_bundle(bundle_path, registered)
    example = WarmUpExample.read(bundle_path / BUNDLE_EXAMPLE)
    dictionary = DataDictionary.model_validate_json((bundle_path / BUNDLE_DICTIONARY).read_bytes())
    expected = AnswerForm.of(Task(bundle.task), dictionary).tell(example.prediction)
    manifest = platform.adapt(build_manifest(project, registered, bundle))
    write_text(manifest_path, yaml.safe_dump(manifest, sort_keys=False))

    evaluated = Check(
        name="evaluated", is_passed=True, reason=f"{GATE} approved it by {len(approval.checks)} checks"
    )
    staged = Verdict.of("deploy_model", registered.bundle_fingerprint, [evaluated])
    give_alias(registered.name, registered.version, STAGING, staged)
    namespace = project.serving.namespace
    reason = reason_for_rollout(project.rollout, manifest)
    if reason is not None:
        endpoint = _describe_serving(platform, project.name, namespace, example)
        endpoint.write(endpoint_path)
        print(f"{project.name} version {registered.version} is to be rolled out. {reason}")
        return endpoint
    with applied(platform, manifest, timeout_seconds):
        service = platform.wait_ready(project.name, namespace, timeout_seconds)
        url = _address(service["status"])
        try:
            prediction = ask(
                url,
                name=project.name,
                version=registered.version,
                instance=example.instance,
                expected=expected,
            )
        except MulgilError as exc:
            log = platform.read_log_tail(project.name, namespace)
            raise type(exc)(f"{exc}\n  The end of the server's log:\n{log}") from exc
    answered = Check(name="answered", is_passed=True, reason="it serves, and answered as its bundle says")
    serving = Verdict.of("deploy_model", registered.bundle_fingerprint, [evaluated, answered])
    give_alias(registered.name, registered.version, CHAMPION, serving)
    endpoint = Endpoint(
        name=project.name,
        namespace=namespace,
        url=url,
        model_version=registered.version,
        example=example.instance,
        prediction=prediction,
    )
    endpoint.write(endpoint_path)
    print(f"{project.name} version {registered.version} serves at {url}")
    print(f"smoke request: prediction {prediction}, as the bundle says")
    return endpoint


def _describe_serving(
    platform: InferencePlatform, name: str, namespace: str, example: WarmUpExample
) -> Endpoint:
    """Ask the version that serves for the new one's example."""
    service = next(item for item in platform.list(namespace) if item["metadata"]["name"] == name)
    url = _address(service["status"])
    try:
        prediction, version = converse(url, name=name, instance=example.instance)
    except PermanentError as exc:
        raise PermanentError(
            describe(
                "The version that serves refuses the new one's example: who calls it cannot call the new one",
                received=str(exc),
                next_step="deploy it under another name, or set `rollout: {strategy: immediate}`",
            )
        ) from exc
    return Endpoint(
        name=name,
        namespace=namespace,
        url=url,
        model_version=version,
        example=example.instance,
        prediction=prediction,
    )


def _address(status: dict[str, Any]) -> str:
    """Return where the service answers from here: inside a cluster its outer name may lead nowhere."""
    return str((status.get("address") or {}).get("url") or status["url"])


def _read_registered_bundle(path: Path, registered: RegisteredModel) -> BundleManifest:
    bundle = read_bundle(path)
    if bundle.fingerprint != registered.bundle_fingerprint:
        raise InputError(
            describe(
                f"The bundle at {path} is not the one that was registered",
                expected=f"fingerprint={registered.bundle_fingerprint[:12]}",
                received=f"fingerprint={bundle.fingerprint[:12]}",
                next_step="register the model again",
            )
        )
    return bundle
