"""What the rendered production overlay may do, and may not."""

import inspect
import re

import pytest
import yaml
from rendered_manifests import KUSTOMIZATIONS, as_kserve_fills, rendered

from mulgil.endpoint_access import TOKEN_VARIABLE
from mulgil.serving import metrics
from mulgil.serving.__main__ import build_parser
from mulgil.serving.access import Access
from mulgil.serving.bearer_tokens import BearerTokens

PRODUCTION = rendered("overlays/production")
EVERYWHERE = [(name, manifest) for name in KUSTOMIZATIONS for manifest in rendered(name)]
# KServe's and KFP's own labels on the pods that they make.
MADE_BY_OTHERS = {
    "a model server": {"serving.kserve.io/inferenceservice": "any"},
    "a pipeline's step": {"pipeline/runid": "any"},
}
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}


def _pods(manifests):
    """Yield (name, pod specification) of what runs."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        match manifest["kind"]:
            case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
                yield name, manifest["spec"]["template"]["spec"]
            case "CronJob":
                yield name, manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case "ServingRuntime":
                yield name, manifest["spec"]


def _containers(manifests):
    for name, pod in _pods(manifests):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield f"{name}, container {container['name']}", pod, container


CONTAINERS = [pytest.param(pod, c, id=name) for name, pod, c in _containers(PRODUCTION)]


def test_there_is_something_to_judge():
    assert len(CONTAINERS) >= 3


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_a_container_has_no_privilege_and_is_not_root(pod, container):
    security = {**pod.get("securityContext", {}), **container["securityContext"]}

    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["allowPrivilegeEscalation"] is False
    assert not security.get("privileged", False)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert not any("hostPath" in volume for volume in pod.get("volumes", ()))


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_a_container_names_its_image_by_version(pod, container):
    assert re.fullmatch(r".+(:(?!latest$)[\w][\w.-]*|@sha256:[0-9a-f]{64})", container["image"])


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_a_container_says_what_it_takes_and_how_it_is_probed(pod, container):
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
    assert "readinessProbe" in container
    assert "livenessProbe" in container


def test_no_rule_has_a_wildcard():
    rules = [rule for m in PRODUCTION if m["kind"] in ("Role", "ClusterRole") for rule in m["rules"]]

    assert rules
    assert [rule for rule in rules if any("*" in item for values in rule.values() for item in values)] == []
    assert not [m for m in PRODUCTION if m["kind"] in ("ClusterRole", "ClusterRoleBinding")]


def test_the_pipelines_account_can_do_exactly_what_is_listed():
    roles = {m["metadata"]["name"]: m["rules"] for m in PRODUCTION if m["kind"] == "Role"}
    account = {"kind": "ServiceAccount", "name": "mulgil-pipeline", "namespace": "mulgil"}
    can = {
        (group, resource, verb)
        for binding in PRODUCTION
        if binding["kind"] == "RoleBinding" and account in binding["subjects"]
        for rule in roles[binding["roleRef"]["name"]]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert can == {
        *(
            ("serving.kserve.io", "inferenceservices", v)
            for v in ("get", "list", "create", "patch", "delete")
        ),
        *(("serving.kserve.io", "servingruntimes", v) for v in ("get", "list")),
        *(("serving.knative.dev", r, v) for r in ("revisions", "services") for v in ("get", "list")),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
        *(("", "configmaps", v) for v in ("list", "create", "patch")),
        *(("coordination.k8s.io", "leases", v) for v in ("get", "create", "update")),
        # Of KServe's own namespace these two alone, by name; of ours config maps too, where rollouts are.
        ("apps", "deployments", "get"),
        ("", "configmaps", "get"),
    }
    (preflight,) = (m for m in PRODUCTION if m["kind"] == "Role" and m["metadata"]["namespace"] == "kserve")
    assert [rule["resourceNames"] for rule in preflight["rules"]] == [
        ["kserve-controller-manager"],
        ["inferenceservice-config"],
    ]


def test_whoever_runs_the_steps_has_all_of_the_pipelines_roles():
    bindings = [m for m in PRODUCTION if m["kind"] == "RoleBinding"]

    assert {m["metadata"]["name"] for m in bindings} == {
        "mulgil-pipeline",
        "mulgil-preflight",
        "mulgil-revisions",
    }
    for binding in bindings:
        assert {subject["name"] for subject in binding["subjects"]} == {"mulgil-pipeline", "pipeline-runner"}


def test_only_the_pipelines_account_gets_a_token():
    accounts = {m["metadata"]["name"]: m for m in PRODUCTION if m["kind"] == "ServiceAccount"}
    with_token = {name for name, m in accounts.items() if m.get("automountServiceAccountToken") is not False}

    assert with_token == {"mulgil-pipeline"}
    assert {pod.get("serviceAccountName") for name, pod in _pods(PRODUCTION) if "Runtime" not in name} <= (
        accounts.keys()
    )


def _selects(selector, labels):
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for term in selector.get("matchExpressions", ()):
        match term["operator"]:
            case "Exists":
                is_met = term["key"] in labels
            case "In":
                is_met = labels.get(term["key"]) in term["values"]
            case other:
                raise NotImplementedError(other)
        if not is_met:
            return False
    return True


def test_everything_is_denied_first():
    (policy,) = (
        m for m in PRODUCTION if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "default-deny"
    )

    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", [name for name in KUSTOMIZATIONS if name.startswith("overlays/")])
def test_each_workload_has_a_network_policy_of_its_own_for_both_directions(name):
    manifests = rendered(name)
    labels = {
        m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"]
        for m in manifests
        if m["kind"] in WORKLOADS
    } | MADE_BY_OTHERS
    policies = [m["spec"] for m in manifests if m["kind"] == "NetworkPolicy" and m["spec"]["podSelector"]]

    open_to_all = {
        workload
        for workload, own in labels.items()
        if not any(
            _selects(policy["podSelector"], own) and set(policy["policyTypes"]) == {"Ingress", "Egress"}
            for policy in policies
        )
    }

    assert open_to_all == set()


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_a_service_selects_pods_that_are_there_by_a_port_that_they_have(name):
    manifests = rendered(name)
    pods = [m["spec"]["template"] for m in manifests if m["kind"] in WORKLOADS]
    for service in (m for m in manifests if m["kind"] == "Service"):
        (pod,) = (
            p for p in pods if _selects({"matchLabels": service["spec"]["selector"]}, p["metadata"]["labels"])
        )
        ports = {port["name"] for c in pod["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_what_can_be_drained_has_a_disruption_budget():
    budgets = [m["spec"]["selector"] for m in PRODUCTION if m["kind"] == "PodDisruptionBudget"]

    for manifest in (m for m in PRODUCTION if m["kind"] in ("Deployment", "StatefulSet")):
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert any(_selects(selector, labels) for selector in budgets), manifest["metadata"]["name"]


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_no_secret_is_contained(name):
    for manifest in rendered(name):
        assert manifest["kind"] != "Secret"
        for value in (manifest.get("data") or {}).values():
            # A password in an address: scheme://user:password@host.
            assert not re.search(r"://[^/\s]*:[^/\s]*@", value)
    for _, _, container in _containers(rendered(name)):
        for variable in container.get("env", ()):
            assert "value" not in variable or not re.search(r"PASSWORD|TOKEN|SECRET|_KEY", variable["name"])


def _runtimes(name):
    return [manifest for manifest in rendered(name) if manifest["kind"] == "ServingRuntime"]


@pytest.mark.parametrize("name", [name for name in KUSTOMIZATIONS if name.startswith("overlays/")])
def test_model_servers_ask_for_a_token_but_not_probes_and_prometheus(name, tmp_path):
    runtimes = _runtimes(name)

    assert len(runtimes) == 2
    for runtime in runtimes:
        (container,) = runtime["spec"]["containers"]
        flags = build_parser().parse_args(as_kserve_fills(container["args"]))
        (volume,) = (v for v in runtime["spec"]["volumes"] if "secret" in v)
        (mount,) = (m for m in container["volumeMounts"] if m["name"] == volume["name"])
        (item,) = volume["secret"]["items"]
        assert str(flags.token_path) == f"{mount['mountPath']}/{item['path']}"
        # Mounted by name without a path below it, a secret that changes reaches the file.
        assert "subPath" not in mount
        tokens = tmp_path / "tokens"
        tokens.write_text("a\n")
        access = Access(BearerTokens(tokens), "heart", "1", flags.open_metrics)
        probes = [container[kind].get("httpGet") for kind in ("readinessProbe", "livenessProbe")]
        asked = [probe["path"] for probe in probes if probe]
        asked.append(runtime["spec"]["annotations"]["prometheus.kserve.io/path"])
        assert [path for path in asked if access.check(path, {})] == []
        assert access.check("/v1/models/heart:predict", {})


def test_the_steps_that_ask_an_endpoint_have_its_token():
    (settings,) = (
        m
        for m in PRODUCTION
        if m["kind"] == "ConfigMap"
        and m["metadata"]["name"] == "mulgil-settings"
        and m["metadata"]["namespace"] == "mulgil"
    )
    steps = yaml.safe_load(settings["data"]["pipeline.yaml"])["steps"]
    (secret,) = {
        v["secret"]["secretName"]
        for r in _runtimes("overlays/production")
        for v in r["spec"]["volumes"]
        if "secret" in v
    }

    assert {name for name, step in steps.items() if secret in step.get("optional_secrets", {})} == {
        "deploy_model",
        "roll_out_model",
    }
    assert steps["deploy_model"]["optional_secrets"][secret] == [TOKEN_VARIABLE]


def test_a_namespace_admits_only_restricted_pods():
    (namespace,) = (m for m in PRODUCTION if m["kind"] == "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_alerts_and_dashboard_ask_for_metrics_that_the_server_has():
    there = set(re.findall(r'"(mulgil_\w+)"', inspect.getsource(metrics)))
    texts = [
        str(m)
        for m in PRODUCTION
        if m["kind"] == "PrometheusRule" or m["metadata"]["name"] == "mulgil-dashboard"
    ]
    asked = {
        name.removesuffix("_bucket").removesuffix("_count")
        for text in texts
        for name in re.findall(r"\b(mulgil_\w+)[\[{)]", text)
    }

    assert len(texts) == 2
    assert asked
    assert asked <= there
