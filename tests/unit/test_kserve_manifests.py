"""What is handed to KServe is what KServe's types have, and what our own programs take."""

import copy

import pytest
import yaml
from kserve_types import misfits

from components.deploy_model.manifest import RUNTIME, build_manifest
from mulgil.artifacts import BundleManifest, FeatureServiceReference, RegisteredModel
from mulgil.contract import Project
from mulgil.home import SOURCE_ROOT
from mulgil.local.plane import objects
from mulgil.local.plane.client import ServingPlane
from mulgil.serving.__main__ import build_parser

BASE = SOURCE_ROOT / "manifests" / "base"
PROJECT = Project.model_validate(
    {
        "name": "heart",
        "problem": {"goal": "g", "success_measure": "s"},
        "task": "binary_classification",
        "source": {"kind": "csv", "location": "rows.csv"},
        "serving": {"namespace": "clinic"},
    }
)
REGISTERED = RegisteredModel(
    name="heart", version="3", storage_uri="file:///models/heart/3", bundle_fingerprint="b" * 64
)
BUNDLE = BundleManifest(
    name="heart",
    task="binary_classification",
    output="probability",
    data_fingerprint="d" * 64,
    dictionary_fingerprint="c" * 64,
    feature_service=FeatureServiceReference(
        name="heart", project="heart", store_version="v", online_store="s", entity="e", features=("age",)
    ),
    files={},
)


@pytest.fixture
def manifest():
    return build_manifest(PROJECT, REGISTERED, BUNDLE)


@pytest.fixture
def runtime():
    return _read("serving_runtime.yaml")


def _read(name):
    return yaml.safe_load((BASE / name).read_text(encoding="utf-8"))


def test_the_inference_service_has_only_fields_of_kserve(manifest):
    assert misfits(manifest, "V1beta1InferenceService") == []


def test_the_serving_runtime_has_only_fields_of_kserve(runtime):
    assert misfits(runtime, "V1alpha1ServingRuntime") == []


def test_a_field_that_kserve_does_not_have_is_found(manifest):
    wrong = copy.deepcopy(manifest)
    wrong["spec"]["predictor"]["model"]["storageUrl"] = "x"
    wrong["spec"]["predictor"]["minReplicas"] = "1"

    assert misfits(wrong, "V1beta1InferenceService") == [
        ".spec.predictor.minReplicas",
        ".spec.predictor.model.storageUrl",
    ]


def test_the_local_plane_takes_the_inference_service(manifest):
    service = objects.parse_inference_service(manifest)

    assert (service.metadata.namespace, service.metadata.name) == ("clinic", "heart")
    assert service.spec.predictor.environment == {"MODEL_VERSION": "3"}


def test_the_lineage_stands_in_annotations(manifest):
    annotations = manifest["metadata"]["annotations"]

    assert annotations["mulgil.dev/bundle-fingerprint"] == "b" * 64
    assert annotations["mulgil.dev/model-version"] == "3"
    assert manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mulgil"


def test_the_same_model_makes_the_same_predictor_whatever_its_lineage(manifest):
    again = build_manifest(PROJECT, REGISTERED, BUNDLE.model_copy(update={"data_fingerprint": "e" * 64}))

    assert again["spec"] == manifest["spec"]
    assert again["metadata"] != manifest["metadata"]


def test_predictions_are_recorded_on_this_machine_where_the_project_says_so(manifest, tmp_path):
    serving = PROJECT.serving.model_copy(update={"record_predictions": True})
    recorded = build_manifest(PROJECT.model_copy(update={"serving": serving}), REGISTERED, BUNDLE)

    # On a cluster the runtime says so for every service.
    assert recorded["spec"] == manifest["spec"]
    assert ServingPlane(tmp_path).adapt(recorded)["spec"]["predictor"]["logger"] == {"mode": "all"}
    assert ServingPlane(tmp_path).adapt(manifest) == manifest


def test_runtime_service_and_local_plane_agree_on_name_and_format(manifest, runtime):
    model = manifest["spec"]["predictor"]["model"]

    assert runtime["metadata"]["name"] == model["runtime"] == RUNTIME == objects.RUNTIME
    assert model["modelFormat"]["name"] in [f["name"] for f in runtime["spec"]["supportedModelFormats"]]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]


@pytest.mark.parametrize("file", ["serving_runtime.yaml", "serving_runtime_grpc.yaml"])
def test_the_server_takes_the_arguments_that_kserve_gives_it(file):
    (container,) = _read(file)["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    arguments = [
        argument.replace("{{.Name}}", "heart")
        .replace("{{.Namespace}}", "clinic")
        .replace("$(MODEL_VERSION)", variables["MODEL_VERSION"])
        for argument in container["args"]
    ]

    flags = build_parser().parse_args(arguments)

    assert container["command"] == ["python", "-m", "mulgil.serving"]
    assert (flags.model_name, str(flags.model_path), flags.host) == ("heart", "/mnt/models", "0.0.0.0")
    assert container["ports"][0]["containerPort"] == (flags.grpc_port or flags.http_port)


def test_both_runtimes_are_one_server_at_two_ports():
    rest, grpc = (_read(file)["spec"] for file in ("serving_runtime.yaml", "serving_runtime_grpc.yaml"))
    assert (rest["protocolVersions"], grpc["protocolVersions"]) == (["v1", "v2"], ["grpc-v2"])
    for spec in (rest, grpc):
        del spec["protocolVersions"]
        for key in ("args", "ports", "readinessProbe", "livenessProbe", "resources"):
            del spec["containers"][0][key]

    assert rest == grpc


def test_the_base_lists_what_is_there():
    listed = {name for name in _read("kustomization.yaml")["resources"] if "/" not in name}

    assert listed == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
