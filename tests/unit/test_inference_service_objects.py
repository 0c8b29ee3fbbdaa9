"""Which InferenceServices the local plane takes, and how it refuses the others."""

import copy

import pytest

from mulgil.errors import InputError
from mulgil.local.plane.objects import parse_inference_service

MANIFEST = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "heart", "labels": {"a": "b"}, "resourceVersion": "12"},
    "spec": {
        "predictor": {
            "minReplicas": 1,
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


def changed(path, value):
    manifest = copy.deepcopy(MANIFEST)
    *parents, last = path.split(".")
    part = manifest
    for name in parents:
        part = part[name]
    part[last] = value
    return manifest


def test_an_object_of_this_version_is_taken():
    service = parse_inference_service(MANIFEST)

    assert service.metadata.namespace == "default"
    assert service.spec.predictor.model.storageUri == "/models/heart"
    assert service.spec.predictor.environment == {"MODEL_VERSION": "3"}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/models/heart", "/models/heart"),
        ("file:///models/a heart", "/models/a heart"),
        ("file:///models/a%20heart", "/models/a%20heart"),
    ],
)
def test_a_storage_uri_is_a_path_on_this_machine(uri, path):
    manifest = changed("spec.predictor.model.storageUri", uri)

    assert parse_inference_service(manifest).spec.predictor.model.storageUri == path


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
        ("spec.canary", [], "left out"),
        ("spec.predictor.canaryTrafficPercent", 10, "left out"),
        ("spec.predictor.logger", {}, "left out"),
        ("spec.predictor.sklearn", {}, "left out"),
        ("spec.predictor.minReplicas", 2, "1"),
        ("spec.predictor.minReplicas", 0, "1"),
        ("spec.predictor.model.resources", {}, "left out"),
        ("spec.predictor.model.runtime", "kserve-tritonserver", "mulgil-model-server"),
        ("spec.predictor.model.protocolVersion", "grpc-v2", "'v1' or 'v2'"),
        ("spec.predictor.model.modelFormat.name", "sklearn", "mulgil"),
        ("spec.predictor.model.storageUri", "s3://bucket/heart", "file:///… or an absolute path"),
        ("spec.predictor.model.storageUri", "models/heart", "file:///… or an absolute path"),
        ("spec.predictor.model.storageUri", "file://host/heart", "file:///… or an absolute path"),
        ("spec.predictor.model.storageUri", 3, "string"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(path, value, expected):
    with pytest.raises(InputError) as refusal:
        parse_inference_service(changed(path, value))

    message = str(refusal.value)
    assert message.startswith(f"{path} is ")
    assert expected in message
    assert f"Received: {path}={value!r}" in message


def test_a_missing_field_is_named():
    manifest = copy.deepcopy(MANIFEST)
    del manifest["spec"]["predictor"]["model"]["storageUri"]

    with pytest.raises(InputError, match=r"spec\.predictor\.model\.storageUri is missing"):
        parse_inference_service(manifest)


@pytest.mark.parametrize("manifest", [None, [], "heart", {}])
def test_what_is_no_object_at_all_is_refused(manifest):
    with pytest.raises(InputError):
        parse_inference_service(manifest)


def test_the_fingerprint_changes_with_the_predictor_and_with_nothing_else():
    def fingerprint(manifest):
        return parse_inference_service(manifest).spec.predictor.fingerprint

    same = fingerprint(MANIFEST)
    assert fingerprint(changed("metadata.annotations", {"a": "b"})) == same
    assert fingerprint(changed("spec.predictor.model.storageUri", "/models/heart")) == same
    assert fingerprint(changed("spec.predictor.model.storageUri", "/models/other")) != same
    assert fingerprint(changed("spec.predictor.model.env", [])) != same
