"""Deploying to a cluster, over HTTP against a stand-in that checks each object."""

import copy

import pytest
from api_server_stub import ApiServerStub, becomes_ready, denied_by_webhook, refused, serving
from kserve_installation import install_kserve
from kubernetes import client
from kubernetes_schemas import CRDS

from components.deploy_model.platform import applied
from mulgil.cluster.api_server import ConflictError, NotFoundError
from mulgil.cluster.inference_services import FIELD_MANAGER, SERVICE_ACCOUNT, ClusterPlatform
from mulgil.errors import InputError, PermanentError, TemporaryError

KEY = ("inferenceservices", "clinic", "heart")
PERCENT = ("spec", "predictor", "canaryTrafficPercent")


def manifest(version="3", **predictor):
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "heart",
            "namespace": "clinic",
            "annotations": {"mulgil.dev/model-version": version},
        },
        "spec": {
            "predictor": {
                "model": {"modelFormat": {"name": "mulgil"}, "storageUri": f"s3://models/heart/{version}"},
                **predictor,
            }
        },
    }


@pytest.fixture
def cluster():
    stub = ApiServerStub()
    stub.reconcile = becomes_ready()
    with serving(stub) as api:
        stub.platform = ClusterPlatform(api, sleep=lambda seconds: None)
        yield stub


def test_what_is_applied_is_there_under_our_name_and_strictly_checked(cluster):
    cluster.platform.apply(manifest())

    ((method, path, query, kind),) = cluster.requests
    assert (method, kind.partition(";")[0]) == ("PATCH", "application/apply-patch+yaml")
    assert path == "/apis/serving.kserve.io/v1beta1/namespaces/clinic/inferenceservices/heart"
    assert query == {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": "false"}
    assert cluster.objects[KEY]["spec"] == manifest()["spec"]


def test_applying_twice_changes_nothing(cluster):
    cluster.platform.apply(manifest())
    cluster.platform.apply(manifest())

    assert cluster.objects[KEY]["metadata"]["generation"] == 1


def test_model_and_percent_change_in_one_patch(cluster):
    cluster.platform.apply(manifest("3"))
    cluster.platform.apply(manifest("4", canaryTrafficPercent=10))

    assert cluster.objects[KEY]["metadata"]["generation"] == 2
    predictor = cluster.objects[KEY]["spec"]["predictor"]
    assert (predictor["model"]["storageUri"], predictor["canaryTrafficPercent"]) == (
        "s3://models/heart/4",
        10,
    )


def test_a_field_that_is_left_out_is_removed(cluster):
    cluster.platform.apply(manifest("4", canaryTrafficPercent=10))
    cluster.platform.apply(manifest("3"))

    assert "canaryTrafficPercent" not in cluster.objects[KEY]["spec"]["predictor"]


def test_a_field_of_somebody_else_is_a_conflict_that_names_them_and_changes_nothing(cluster):
    cluster.platform.apply(manifest("3", minReplicas=1))
    cluster.write_as("kubectl-edit", KEY, ("spec", "predictor", "minReplicas"), 5)
    before = copy.deepcopy(cluster.objects[KEY])

    with pytest.raises(ConflictError, match=r'conflict with "kubectl-edit".*\.spec\.predictor\.minReplicas'):
        cluster.platform.apply(manifest("4", minReplicas=1))

    assert cluster.objects[KEY] == before


def test_a_concurrent_edit_of_another_field_stays(cluster):
    cluster.platform.apply(manifest("3"))
    cluster.write_as("kubectl-edit", KEY, ("spec", "predictor", "timeout"), 30)
    cluster.platform.apply(manifest("4"))

    assert cluster.objects[KEY]["spec"]["predictor"]["timeout"] == 30


def test_a_share_that_our_own_rollout_set_is_taken_over(cluster):
    cluster.platform.apply(manifest("3"))
    cluster.write_as("mulgil-rollout", KEY, PERCENT, 20)
    cluster.platform.apply(manifest("4", canaryTrafficPercent=100))

    assert cluster.objects[KEY]["spec"]["predictor"]["canaryTrafficPercent"] == 100


def test_ready_is_believed_of_the_generation_that_was_applied_alone(cluster):
    cluster.platform.apply(manifest("3"))
    cluster.platform.wait_ready("heart", "clinic", 5)
    cluster.platform.apply(manifest("4"))
    looks = len(cluster.requests)

    service = cluster.platform.wait_ready("heart", "clinic", 5)

    assert service["status"]["observedGeneration"] == service["metadata"]["generation"] == 2
    assert len(cluster.requests) - looks == 3


def test_a_service_that_is_never_ready_says_which_condition_is_not_met(cluster):
    def reconcile(item):
        item["status"] = {
            "observedGeneration": item["metadata"]["generation"],
            "conditions": [{"type": "PredictorReady", "status": "False", "reason": "RevisionFailed"}],
        }

    cluster.reconcile = reconcile
    cluster.platform.apply(manifest())
    with pytest.raises(TemporaryError, match="PredictorReady=False RevisionFailed"):
        cluster.platform.wait_ready("heart", "clinic", 0)


def test_a_service_that_kserve_never_looked_at_is_told_apart(cluster):
    cluster.reconcile = lambda item: None
    cluster.platform.apply(manifest())
    with pytest.raises(TemporaryError, match="has not looked at it yet"):
        cluster.platform.wait_ready("heart", "clinic", 0)


def test_a_runtime_that_does_not_exist_is_not_waited_for(cluster):
    def reconcile(item):
        item["status"] = {
            "observedGeneration": item["metadata"]["generation"],
            "modelStatus": {
                "transitionStatus": "InvalidSpec",
                "lastFailureInfo": {"reason": "RuntimeNotRecognized", "message": "no runtime mulgil"},
            },
        }

    cluster.reconcile = reconcile
    cluster.platform.apply(manifest())
    with pytest.raises(PermanentError, match="RuntimeNotRecognized: no runtime mulgil"):
        cluster.platform.wait_ready("heart", "clinic", 60)


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (refused(401, "Unauthorized"), PermanentError, "does not know who asks"),
        (
            refused(403, 'User "x" cannot patch resource'),
            PermanentError,
            r"may not do it[\s\S]*mulgil doctor",
        ),
        (refused(404, 'namespaces "clinic" not found'), NotFoundError, "There is no such object or kind"),
        (
            denied_by_webhook("isvc.kserve.io", "bad scale"),
            InputError,
            r"isvc\.kserve\.io refuses[\s\S]*bad scale",
        ),
        (refused(409, "the object has been modified"), TemporaryError, "has just been changed"),
        (refused(504, "request did not complete"), TemporaryError, "cannot do it now"),
        (refused(500, "failed calling webhook: connection refused"), TemporaryError, "cannot do it now"),
        (refused(422, "unknown field"), InputError, "refuses the object"),
    ],
)
def test_each_way_to_refuse_is_told_apart(cluster, refusal, kind, words):
    cluster.refusals = [refusal]
    with pytest.raises(kind, match=words):
        cluster.platform.apply(manifest())


def test_nobody_at_the_address_is_temporary():
    stub = ApiServerStub()
    with serving(stub) as api:
        host = api.configuration.host
    with pytest.raises(TemporaryError, match="does not answer"):
        ClusterPlatform(client.ApiClient(client.Configuration(host=host))).apply(manifest())


@pytest.mark.skipif(not CRDS.is_dir(), reason="KServe's schema lies beside the checkout")
def test_a_misspelt_field_is_refused_and_not_dropped(cluster):
    with pytest.raises(InputError, match="canaryTraficPercent"):
        cluster.platform.apply(manifest(canaryTraficPercent=10))


def test_a_deployment_that_fails_leaves_the_version_before(cluster):
    cluster.platform.apply(manifest("3"))

    with pytest.raises(ValueError, match="wrong answer"), applied(cluster.platform, manifest("4"), 5):
        raise ValueError("wrong answer")

    assert cluster.objects[KEY]["spec"] == manifest("3")["spec"]


def test_a_first_deployment_that_fails_leaves_nothing(cluster):
    with pytest.raises(ValueError, match="wrong answer"), applied(cluster.platform, manifest("3"), 5):
        raise ValueError("wrong answer")

    assert cluster.objects == {}


def test_the_server_runs_as_the_account_that_may_read_bundles(cluster):
    install_kserve(cluster)
    adapted = cluster.platform.adapt(manifest())

    assert adapted["spec"]["predictor"]["serviceAccountName"] == SERVICE_ACCOUNT
    assert "serviceAccountName" not in manifest()["spec"]["predictor"]
    cluster.platform.apply(adapted)


def test_the_newest_servers_log_is_shown_and_a_missing_one_is_no_failure(cluster):
    pods = "/api/v1/namespaces/clinic/pods"

    def pod(name, at):
        return {"metadata": {"name": name, "creationTimestamp": at}}

    cluster.answers[pods] = {
        "items": [pod("old", "2026-01-01T00:00:00Z"), pod("new", "2026-01-02T00:00:00Z")]
    }
    cluster.answers[f"{pods}/new/log"] = (200, "ready on http://0.0.0.0:8080\n")

    assert cluster.platform.read_log_tail("heart", "clinic").startswith("ready on")
    cluster.answers[pods] = {"items": []}
    assert cluster.platform.read_log_tail("heart", "clinic") == "(no server was started)"
    cluster.answers[pods] = refused(403, "forbidden")
    assert "may not do it" in cluster.platform.read_log_tail("heart", "clinic")
