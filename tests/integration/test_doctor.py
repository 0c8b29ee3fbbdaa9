"""`mulgil doctor` and the preflight, over HTTP against a stand-in for the API server."""

import json
from pathlib import Path

import pytest
import yaml
from api_server_stub import ApiServerStub, refused, serving
from kserve_cluster import KServeCluster, isvc
from kserve_installation import CONFIG_MAP, DEPLOYMENT, install_kserve
from rendered_manifests import rendered
from typer.testing import CliRunner

from mulgil.cli import app
from mulgil.cluster.checks import State, exit_code
from mulgil.cluster.cluster_checks import check_cluster, find_addresses, listed_permissions, service_of
from mulgil.cluster.inference_services import ClusterPlatform
from mulgil.cluster.machine_checks import judge_disk, judge_python, judge_system
from mulgil.cluster.preflight import knative_preflight, require_canaries, standard_preflight
from mulgil.errors import PermanentError, TemporaryError
from mulgil.rollout.drivers.standard import StandardDriver
from mulgil.rollout.starting import start_rollout

RUNTIMES = "/apis/serving.kserve.io/v1alpha1/namespaces/mulgil/servingruntimes"
SETTINGS = "/api/v1/namespaces/mulgil/configmaps/mulgil-settings"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/mulgil/endpointslices"
IN_CLUSTER = {
    "MULGIL_PROJECTS_URI": "s3://mulgil/projects",
    "AWS_ENDPOINT_URL_S3": "http://seaweedfs.mulgil.svc:9000",
    "MULGIL_REDIS_ADDRESS": "redis.mulgil.svc:6379",
    "MLFLOW_TRACKING_URI": "http://mlflow.mulgil.svc.cluster.local:5000",
}


@pytest.fixture
def cluster():
    stub = ApiServerStub()
    install_kserve(stub)
    stub.answers |= {
        "/version": {"gitVersion": "v1.32.4"},
        RUNTIMES: {"items": [{"metadata": {"name": "mulgil-model-server"}}]},
        SETTINGS: {"data": IN_CLUSTER},
        SLICES: {
            "items": [{"endpoints": [{"conditions": {"ready": True}}, {"conditions": {"ready": False}}]}]
        },
    }
    with serving(stub) as api:
        stub.api = api
        yield stub


def look(cluster, ask_kfp=lambda: None):
    return {check.name: check for check in check_cluster(cluster.api, "mulgil", ask_kfp)}


def test_a_cluster_that_has_everything_is_well_and_nothing_is_changed(cluster):
    checks = look(cluster)

    assert {name: check.state for name, check in checks.items()} == dict.fromkeys(
        (
            *("kubernetes", "kserve canary", "kubeflow pipelines", "permissions"),
            *("serving runtimes", "object store", "redis", "mlflow"),
        ),
        State.OK,
    )
    assert "v1.32.4" in checks["kubernetes"].seen
    assert exit_code(checks.values()) == 0
    writing = {path for method, path, _, _ in cluster.requests if method != "GET"}
    assert writing == {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}


@pytest.mark.parametrize(
    ("release", "words"), [("v0.19.0", "ignores a canary silently"), ("v0.20.0", "get no traffic")]
)
def test_the_silent_set_ups_fail(cluster, release, words):
    install_kserve(cluster, release, "RawDeployment")

    checks = look(cluster)

    assert checks["kserve canary"].state is State.FAIL
    assert words in checks["kserve canary"].seen
    assert exit_code(checks.values()) == 4


def test_the_permissions_that_are_asked_for_are_those_of_the_manifests():
    asked = {(p.group, p.resource, p.verb) for p in listed_permissions("Knative", "mulgil", "kserve")}
    roles = [m["rules"] for m in rendered("overlays/production") if m["kind"] == "Role"]

    assert asked == {
        (group, resource, verb)
        for rules in roles
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_what_the_account_may_not_do_is_named(cluster):
    wanted = {(p.group, p.resource, p.verb) for p in listed_permissions("Knative", "mulgil", "kserve")}
    cluster.allowed = wanted - {("serving.kserve.io", "inferenceservices", "patch"), ("", "pods/log", "get")}

    check = look(cluster)["permissions"]

    assert check.state is State.FAIL
    assert check.seen == (
        "this account may not patch inferenceservices.serving.kserve.io in mulgil, get pods/log in mulgil"
    )


def test_nothing_more_is_asked_of_a_server_that_refuses(cluster):
    cluster.answers["/version"] = refused(401, "Unauthorized")

    (check,) = look(cluster).values()

    assert check.state is State.FAIL
    assert "does not know who asks" in check.seen
    assert "sign in" in check.fix


def test_each_missing_part_fails_with_its_fix_and_the_others_are_looked_at(cluster):
    cluster.answers[RUNTIMES] = {"items": [{"metadata": {"name": "kserve-sklearnserver"}}]}
    cluster.answers[SLICES] = {"items": [{"endpoints": None}]}
    del cluster.answers[DEPLOYMENT]

    def ask_kfp():
        raise TemporaryError("KFP does not answer.\n  To do:    see that it runs")

    checks = look(cluster, ask_kfp)

    assert [name for name, check in checks.items() if check.state is State.OK] == [
        "kubernetes",
        "permissions",
    ]
    assert all(check.fix for check in checks.values() if check.state is State.FAIL)
    assert checks["kubeflow pipelines"].fix == "see that it runs"
    assert "0 of 0 pods of redis.mulgil" in checks["redis"].seen
    assert "MULGIL_KSERVE_NAMESPACE" in checks["kserve canary"].fix


def test_without_addresses_the_stores_fail_and_without_leave_to_look_they_are_not_known(cluster):
    del cluster.answers[SETTINGS]
    assert {look(cluster)[name].state for name in ("object store", "redis", "mlflow")} == {State.FAIL}

    cluster.answers[SETTINGS] = refused(403, "forbidden")
    checks = look(cluster)
    assert {checks[name].state for name in ("object store", "redis", "mlflow")} == {State.WARN}
    assert exit_code(checks.values()) == 0


def test_an_address_outside_is_asked_from_here(cluster):
    port = cluster.api.configuration.host.rpartition(":")[2]
    cluster.answers[SETTINGS] = {
        "data": {
            "MULGIL_REDIS_ADDRESS": f"127.0.0.1:{port}",
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
            "MULGIL_PROJECTS_URI": "gs://elsewhere/projects",
        }
    }
    checks = look(cluster)

    assert (checks["redis"].state, checks["mlflow"].state) == (State.OK, State.WARN)
    assert checks["object store"].state is State.FAIL


def test_addresses_are_those_that_steps_get():
    assert find_addresses({"MULGIL_PROJECTS_URI": "s3://a/b", "AWS_DEFAULT_REGION": "eu-west-1"}) == {
        "object store": ("s3.eu-west-1.amazonaws.com", 443),
        "redis": ("", 6379),
        "mlflow": ("", 0),
    }
    assert (
        service_of("redis.mulgil.svc") == service_of("redis.mulgil.svc.cluster.local") == ("redis", "mulgil")
    )
    assert service_of("redis.example.com") is None


def test_deploying_refuses_before_anything_is_applied(cluster):
    install_kserve(cluster, "v0.20.0", "Standard")

    with pytest.raises(PermanentError, match=r"pods start but get no traffic[\s\S]*update KServe"):
        ClusterPlatform(cluster.api).adapt(isvc("2"))

    assert {method for method, *_ in cluster.requests} == {"GET"}


@pytest.mark.parametrize("release", ["v0.15.0", "v0.19.0", "v0.20.0"])
def test_the_standard_driver_refuses_to_start_before_0_21(cluster, release):
    install_kserve(cluster, release)
    objects = KServeCluster()
    driver = StandardDriver(objects, lambda manifest: standard_preflight(manifest, api=cluster.api))
    from mulgil.contract.rollout import Rollout

    class Source:
        measures = frozenset()

    with pytest.raises(PermanentError, match=r"update KServe to 0\.21"):
        start_rollout(
            None,
            Rollout(required_metrics=()),
            isvc("2", is_standard=True),
            driver,
            Source(),
            source_settings={},
            dataset_path=None,
            now=0.0,
        )

    assert objects.writes == 0


def test_a_driver_refuses_an_object_that_this_cluster_deploys_in_the_other_mode(cluster):
    install_kserve(cluster, "v0.21.0", "Standard")

    standard_preflight(isvc("2", is_standard=True), api=cluster.api)
    with pytest.raises(PermanentError, match="driver=standard"):
        knative_preflight(isvc("2"), api=cluster.api)


def test_an_account_that_may_not_look_is_told_what_lets_it(cluster):
    cluster.answers[CONFIG_MAP] = refused(403, "configmaps is forbidden")

    with pytest.raises(PermanentError, match="manifests/components/preflight"):
        require_canaries(isvc("2"), cluster.api)


def test_kserve_may_be_elsewhere(cluster, monkeypatch):
    for path in (DEPLOYMENT, CONFIG_MAP):
        cluster.answers[path.replace("/kserve/", "/kubeflow/")] = cluster.answers.pop(path)
    monkeypatch.setenv("MULGIL_KSERVE_NAMESPACE", "kubeflow")

    require_canaries(isvc("2"), cluster.api)


def test_a_machine_is_judged_by_what_it_has():
    assert judge_system("Linux", "x86_64").state is State.OK
    assert judge_system("Darwin", "arm64").state is State.FAIL
    assert judge_python((3, 11, 7)).state is State.OK
    assert judge_python((3, 13, 0)).state is State.FAIL
    states = [judge_disk(free, Path("/")).state for free in (0.9, 1.0, 5.9, 6.0)]
    assert states == [State.FAIL, State.WARN, State.WARN, State.OK]


def test_the_command_writes_json_and_says_by_its_exit_code_whether_all_is_well(
    cluster, tmp_path, monkeypatch
):
    install_kserve(cluster, "v0.20.0", "Standard")
    host = cluster.api.configuration.host
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": host}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))

    result = CliRunner().invoke(app, ["doctor", "--json", "--context", "here", "--host", host])

    assert result.exit_code == 4
    document = json.loads(result.stdout)
    assert document["is_well"] is False
    by_name = {check["name"]: check for check in document["checks"]}
    assert by_name["main environment"]["state"] == "ok"
    assert by_name["kserve canary"]["state"] == "fail"
    assert by_name["kserve canary"]["fix"].startswith("update KServe")


def test_a_context_that_is_not_there_fails_and_none_at_all_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))

    named = CliRunner().invoke(app, ["doctor", "--context", "elsewhere"])
    without = CliRunner().invoke(app, ["doctor"])

    assert (named.exit_code, without.exit_code) == (4, 0)
    assert "no cluster is configured" in without.stdout
    assert "not provided" not in without.output


def test_a_kubeconfig_that_is_broken_fails_where_it_was_asked_for_and_is_told_where_not(
    tmp_path, monkeypatch
):
    (tmp_path / "config").write_text("contexts: [")
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", f"{tmp_path}/none:{tmp_path}/config"
    )
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))

    asked = CliRunner().invoke(app, ["doctor", "--namespace", "mulgil"])
    unasked = CliRunner().invoke(app, ["doctor"])

    assert (asked.exit_code, unasked.exit_code) == (4, 0)
    assert "fail  kubernetes" in asked.stdout
    assert "warn  kubernetes" in unasked.stdout
