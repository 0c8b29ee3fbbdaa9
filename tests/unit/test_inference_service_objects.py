"""Which InferenceServices the local plane takes, and how it refuses the others."""

import copy
from pathlib import Path

import pytest
from kserve import models
from kubernetes.client import V1EnvVar, V1ResourceRequirements

from mulgil.errors import InputError
from mulgil.kserve_modes import MODE_ANNOTATION, DeploymentMode
from mulgil.local.plane.kserve_fields import FIELDS
from mulgil.local.plane.objects import Amounts, parse_inference_service
from mulgil.local.plane.requests import check_requests
from mulgil.local.plane.storage import local_path
from mulgil.local.plane.wanted import read_wanted

MANIFEST = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "heart", "labels": {"a": "b"}, "resourceVersion": "12"},
    "spec": {
        "predictor": {
            "minReplicas": 1,
            "logger": {"mode": "all"},
            "model": {
                "modelFormat": {"name": "mulgil"},
                "runtime": "mulgil-model-server",
                "protocolVersion": "v2",
                "storageUri": "file:///models/heart",
                "env": [{"name": "MODEL_VERSION", "value": "3"}],
            },
        }
    },
}


@pytest.mark.parametrize("argument", ["--tls-certificate-path=/a.pem", "--tls-key-path", "--tls-c"])
def test_a_server_that_nobody_here_could_ask_is_refused_by_name(argument):
    with pytest.raises(InputError, match=r"args\.0 is wrong\.\n.*--tls-certificate-path.*in the clear"):
        parse_inference_service(changed("spec.predictor.model.args", [argument]))


def changed(path, value):
    manifest = copy.deepcopy(MANIFEST)
    *parents, last = path.split(".")
    part = manifest
    for name in parents:
        part = part[name]
    part[last] = value
    return manifest


@pytest.mark.parametrize(
    "argument", ["--host", "--host=0.0.0.0", "--http-port", "--grpc-port=1", "--model-name=other"]
)
def test_what_the_plane_says_to_its_servers_no_argument_says_otherwise(argument):
    with pytest.raises(InputError, match=r"args\.0 is wrong\.\n  Expected: arguments without --host"):
        parse_inference_service(changed("spec.predictor.model.args", [argument]))


def test_an_object_of_this_version_is_taken():
    service = parse_inference_service(MANIFEST)

    assert service.metadata.namespace == "default"
    assert service.spec.predictor.model.storageUri == "file:///models/heart"
    assert service.mode is DeploymentMode.KNATIVE
    assert service.spec.predictor.environment == {"MODEL_VERSION": "3"}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/models/heart", "/models/heart"),
        ("file:///models/a heart", "/models/a heart"),
        ("file:///models/a%20heart", "/models/a%20heart"),
        ("pvc://models/heart/3", "VOLUMES/models/heart/3"),
        ("pvc://models", "VOLUMES/models"),
    ],
)
def test_a_storage_uri_is_a_path_on_this_machine(uri, path, tmp_path):
    (tmp_path / "models").mkdir()
    model = parse_inference_service(changed("spec.predictor.model.storageUri", uri)).spec.predictor.model

    assert local_path(model.storageUri, tmp_path) == Path(path.replace("VOLUMES", str(tmp_path)))


def test_a_claim_that_is_not_on_this_machine_is_named(tmp_path):
    with pytest.raises(InputError, match="There is no volume models on this machine"):
        local_path("pvc://models/heart", tmp_path)


def test_what_was_read_back_may_be_applied_again():
    assert parse_inference_service({**MANIFEST, "status": {"url": "http://h"}})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("apiVersion", "serving.kserve.io/v1alpha1", "serving.kserve.io/v1beta1"),
        ("kind", "InferenceGraph", "InferenceService"),
        ("metadata.name", "Heart", "pattern"),
        ("metadata.name", "../heart", "pattern"),
        ("metadata.namespace", "a/b", "pattern"),
        ("spec.transformer", {}, "left out"),
        ("spec.predictor.batcher", {}, "left out"),
        ("spec.predictor.sklearn", {}, "left out"),
        ("spec.predictor.minReplicas", 0, "1"),
        ("spec.predictor.minReplicas", "2", "integer"),
        ("spec.predictor.canaryTrafficPercent", 101, "100"),
        ("spec.predictor.canaryTrafficPercent", -1, "0"),
        ("spec.predictor.canaryTrafficPercent", 2.5, "integer"),
        ("spec.predictor.logger.mode", "request", "'all'"),
        ("spec.predictor.logger.batchSize", 5, "left out"),
        ("spec.predictor.logger.url", "kafka://a", "pattern"),
        ("spec.predictor.model.resources", {"limits": {"nvidia.com/gpu": 1}}, "left out"),
        ("spec.predictor.model.resources", {"limits": {"cpu": "much"}}, "500m or 2Gi"),
        ("spec.predictor.model.runtimeVersion", "1", "left out"),
        ("spec.predictor.model.runtime", "kserve-tritonserver", "mulgil-model-server"),
        ("spec.predictor.model.protocolVersion", "grpc-v1", "'v1', 'v2' or 'grpc-v2'"),
        ("spec.predictor.model.modelFormat.name", "sklearn", "mulgil"),
        ("spec.predictor.model.storageUri", "gs://bucket/heart", "s3://BUCKET/PATH"),
        ("spec.predictor.model.storageUri", "s3://bucket", "s3://BUCKET/PATH"),
        ("spec.predictor.model.storageUri", "models/heart", "file:///… or an absolute path"),
        ("spec.predictor.model.storageUri", "file://host/heart", "file:///… or an absolute path"),
        ("spec.predictor.model.storageUri", "pvc://models/../other", "pvc://CLAIM/PATH"),
        ("spec.predictor.model.storageUri", 3, "string"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(path, value, expected):
    with pytest.raises(InputError) as refusal:
        parse_inference_service(changed(path, value))

    message = str(refusal.value)
    while isinstance(value, dict) and value:
        ((name, value),) = value.items()
        path += f".{name}"
    assert message.startswith(f"{path} is ")
    assert expected in message
    assert f"Received: {path}={value!r}" in message


def test_a_field_of_kserve_is_told_from_one_that_is_none():
    with pytest.raises(InputError) as refusal:
        parse_inference_service(changed("spec.predictor.tolerations", []))
    assert (
        "spec.predictor.tolerations is a field of KServe that the local serving plane does not honour"
        in str(refusal.value)
    )

    with pytest.raises(InputError) as refusal:
        parse_inference_service(changed("spec.predictor.canaryTraficPercent", 10))
    assert "spec.predictor.canaryTraficPercent is not a field of KServe's InferenceService" in str(
        refusal.value
    )
    assert "Expected: canaryTrafficPercent, or the field to be left out" in str(refusal.value)


def test_the_known_fields_are_those_of_kserves_own_types():
    kinds = {
        "spec": models.V1beta1InferenceServiceSpec,
        "spec.canary": models.V1beta1CanarySpec,
        "spec.predictor": models.V1beta1PredictorSpec,
        "spec.predictor.model": models.V1beta1ModelSpec,
        "spec.predictor.logger": models.V1beta1LoggerSpec,
        "spec.predictor.model.resources": V1ResourceRequirements,
        "spec.predictor.model.env": V1EnvVar,
        "spec.predictor.model.modelFormat": models.V1beta1ModelFormat,
    }

    assert {path: set(kind.attribute_map.values()) for path, kind in kinds.items()} == {
        path: set(fields) for path, fields in FIELDS.items()
    }


def in_standard_form(*canaries, **fields):
    manifest = copy.deepcopy(MANIFEST)
    manifest["metadata"]["annotations"] = {MODE_ANNOTATION: "Standard"}
    manifest["spec"]["predictor"].update(fields)
    model = {"modelFormat": {"name": "mulgil"}, "storageUri": "/models/other"}
    manifest["spec"]["canary"] = [
        {"predictor": {"model": model, "name": name, **more}, "trafficPercent": percent}
        for name, percent, more in canaries
    ]
    return manifest


def test_the_form_is_told_by_kserves_annotation():
    for mode in ("Standard", "RawDeployment"):
        manifest = changed("metadata.annotations", {MODE_ANNOTATION: mode})
        assert parse_inference_service(manifest).mode is DeploymentMode.STANDARD


@pytest.mark.parametrize(
    ("manifest", "received", "expected"),
    [
        (
            changed("spec.canary", in_standard_form(("v2", 10, {}))["spec"]["canary"]),
            "spec.canary",
            "Standard",
        ),
        (changed("spec.predictor.name", "v2"), "spec.predictor.name", "Standard"),
        (in_standard_form(canaryTrafficPercent=10), "canaryTrafficPercent", "spec.canary"),
        (in_standard_form(("v2", 60, {}), ("v3", 50, {})), "trafficPercent=110", "at most 100"),
        (in_standard_form(("v2", 10, {}), ("v2", 10, {})), "canary.1.predictor.name=v2", "no other"),
        (in_standard_form(("v2", 10, {}), name="v2"), "canary.0.predictor.name=v2", "no other"),
        (in_standard_form(("v2", 10, {"minReplicas": 2})), "minReplicas=2", "minReplicas=1"),
        (in_standard_form(("v2", 10, {"maxReplicas": 2})), "maxReplicas=2", "left out"),
        (
            in_standard_form(
                ("v2", 10, {"model": {"modelFormat": {"name": "mulgil"}, "protocolVersion": "grpc-v2"}})
            ),
            "canary.0.predictor.model.protocolVersion=grpc-v2",
            "the stable predictor's, v2",
        ),
        (
            changed("spec.predictor.model.protocolVersion", "grpc-v2"),
            "predictor.model.runtime=mulgil-model-server with protocolVersion=grpc-v2",
            "mulgil-model-server-grpc, or no runtime",
        ),
        (changed("spec.predictor.maxReplicas", 3), "maxReplicas=3", "minReplicas=1"),
        (changed("metadata.annotations", {MODE_ANNOTATION: "ModelMesh"}), "ModelMesh", "Knative or Standard"),
        (changed("metadata.annotations", {"serving.kserve.io/stop": "true"}), "kserve.io/stop", "left out"),
        (
            changed("metadata.annotations", {"autoscaling.knative.dev/target": "5"}),
            "metadata.annotations.autoscaling.knative.dev/target",
            "left out",
        ),
        (
            changed("spec.predictor.annotations", {"autoscaling.knative.dev/min-scale": "3"}),
            "spec.predictor.annotations.autoscaling.knative.dev/min-scale",
            "left out",
        ),
        (
            # KServe reads these of the object alone.
            changed("spec.predictor.annotations", {MODE_ANNOTATION: "Standard"}),
            f"spec.predictor.annotations.{MODE_ANNOTATION}",
            "left out",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(manifest, received, expected):
    with pytest.raises(InputError) as refusal:
        parse_inference_service(manifest)

    _, told = str(refusal.value).split("Expected: ")
    assert expected in told.split("Received: ")[0]
    assert received in told.split("Received: ")[1]


def test_annotations_that_mean_nothing_to_kserve_are_the_users_own():
    assert parse_inference_service(changed("metadata.annotations", {"team": "a", "mulgil.dev/x": "y"}))


def test_a_missing_field_is_named():
    manifest = copy.deepcopy(MANIFEST)
    del manifest["spec"]["predictor"]["model"]["storageUri"]

    with pytest.raises(InputError, match=r"spec\.predictor\.model\.storageUri is missing"):
        parse_inference_service(manifest)


@pytest.mark.parametrize("manifest", [None, [], "heart", {}])
def test_what_is_no_object_at_all_is_refused(manifest):
    with pytest.raises(InputError):
        parse_inference_service(manifest)


def test_the_template_changes_with_what_a_server_is_made_from_and_with_nothing_else():
    def fingerprint(manifest):
        return read_wanted(parse_inference_service(manifest), 1).predictor.fingerprint

    same = fingerprint(MANIFEST)
    assert fingerprint(changed("spec.predictor.canaryTrafficPercent", 10)) == same
    assert fingerprint(changed("metadata.resourceVersion", "13")) == same
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    assert fingerprint(changed("metadata.annotations", applied)) == same
    assert fingerprint(changed("metadata.annotations", {"a": "b"})) != same
    assert fingerprint(changed("metadata.labels", {})) != same
    assert fingerprint(changed("spec.predictor.minReplicas", 2)) != same
    assert fingerprint(changed("spec.predictor.model.storageUri", "/models/other")) != same
    assert fingerprint(changed("spec.predictor.model.env", [])) != same


def test_in_the_standard_form_more_servers_are_no_new_template():
    def fingerprint(**fields):
        return read_wanted(parse_inference_service(in_standard_form(**fields)), 1).predictor.fingerprint

    assert fingerprint(minReplicas=2) == fingerprint()
    assert fingerprint(name="v2") == fingerprint()


def test_resources_are_kubernetes_quantities():
    resources = {"requests": {"cpu": 0.1, "memory": "64Mi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}
    read = parse_inference_service(changed("spec.predictor.model.resources", resources)).spec.predictor.model

    assert read.resources.requests.cores == pytest.approx(0.1)
    assert read.resources.requests.bytes == 64 * 2**20
    assert (read.resources.limits.cores, read.resources.limits.bytes) == (1.5, 2**30)


@pytest.mark.parametrize(("amounts", "wrong"), [({"cpu": 10_000}, "cores"), ({"memory": "1Pi"}, "memory")])
def test_what_this_machine_does_not_have_is_refused_by_name(amounts, wrong):
    with pytest.raises(InputError, match=f"heart-predictor requests more {wrong} than this machine has"):
        check_requests(Amounts.model_validate(amounts), "heart-predictor")
    check_requests(Amounts(cpu="100m", memory="1Mi"), "heart-predictor")
