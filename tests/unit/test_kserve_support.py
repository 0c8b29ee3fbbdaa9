"""Which KServe, set up how, gives a canary its share."""

import json

import pytest

from mulgil.cluster.checks import State
from mulgil.cluster.kserve_support import describe_kserve, judge, parse_version

GROUPS = frozenset({"serving.knative.dev", "gateway.networking.k8s.io", "serving.kserve.io"})


def kserve(release, mode="Knative", *, gateway=True, groups=GROUPS, **settings):
    data = {
        "deploy": json.dumps({"defaultDeploymentMode": mode}),
        "ingress": json.dumps({"enableGatewayApi": gateway, "ingressClassName": "istio"}),
        **{key: json.dumps(value) for key, value in settings.items()},
    }
    return describe_kserve(f"docker.io/kserve/kserve-controller{release}", data, groups)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("kserve/kserve-controller:v0.21.0", (0, 21)),
        ("kserve/kserve-controller:0.15.2-rc1", (0, 15)),
        ("registry:5000/kserve/kserve-controller:v1.0.0@sha256:" + "0" * 64, (1, 0)),
        ("registry:5000/kserve/kserve-controller@sha256:" + "0" * 64, None),
        ("registry:5.0/kserve/kserve-controller", None),
        ("kserve/kserve-controller:latest", None),
    ],
)
def test_the_release_is_the_images_tag(image, version):
    assert parse_version(image) == version


@pytest.mark.parametrize("mode", ["Standard", "RawDeployment"])
@pytest.mark.parametrize(
    ("release", "gateway", "groups", "state", "words"),
    [
        (":v0.15.0", True, GROUPS, State.FAIL, "ignores a canary silently"),
        (":v0.19.3", True, GROUPS, State.FAIL, "ignores a canary silently"),
        (":v0.20.0", True, GROUPS, State.FAIL, "pods start but get no traffic"),
        (":v0.20.1", True, GROUPS, State.FAIL, "pods start but get no traffic"),
        (":v0.21.0", True, GROUPS, State.OK, "spec.canary"),
        (":v1.0.0", True, GROUPS, State.OK, "spec.canary"),
        (":v0.21.0", False, GROUPS, State.FAIL, "nothing splits"),
        (":v0.21.0", "true", GROUPS, State.FAIL, "nothing splits"),
        (":v0.21.0", True, frozenset(), State.FAIL, "not installed"),
        (":latest", True, GROUPS, State.FAIL, "unknown version"),
    ],
)
def test_the_standard_mode_splits_from_0_21_on_with_the_gateway_api(
    mode, release, gateway, groups, state, words
):
    found = kserve(release, mode, gateway=gateway, groups=groups)

    check = judge(found, found.default_mode)

    assert check.state is state
    assert words in check.seen
    assert bool(check.fix) is (state is State.FAIL)


@pytest.mark.parametrize("mode", ["Knative", "Serverless"])
@pytest.mark.parametrize(
    ("release", "groups", "state"),
    [
        (":v0.14.1", GROUPS, State.FAIL),
        (":v0.15.0", GROUPS, State.OK),
        (":v0.20.0", GROUPS, State.OK),
        (":v0.21.0", frozenset(), State.FAIL),
    ],
)
def test_knative_splits_from_0_15_on_where_it_is_installed(mode, release, groups, state):
    found = kserve(release, mode, groups=groups)

    assert judge(found, found.default_mode).state is state


@pytest.mark.parametrize("mode", ["ModelMesh", ""])
def test_a_mode_without_canaries_is_refused(mode):
    assert judge(kserve(":v0.21.0"), mode).state is State.FAIL


def test_an_image_by_digest_takes_the_release_of_what_was_installed_with_it():
    found = kserve("@sha256:" + "0" * 64, agent={"image": "kserve/agent:v0.21.0"})

    assert found.version == (0, 21)


@pytest.mark.parametrize(
    ("annotations", "mode"),
    [
        (None, "Standard"),
        ({"serving.kserve.io/deploymentMode": "Serverless"}, "Knative"),
        ({"serving.kserve.io/deploymentMode": "Standard"}, "Standard"),
    ],
)
def test_an_object_says_its_own_mode_or_has_the_clusters(annotations, mode):
    found = kserve(":v0.21.0", "RawDeployment")

    assert found.mode_of({"metadata": {"name": "heart", "annotations": annotations}}) == mode


def test_settings_that_are_no_json_are_not_known():
    found = describe_kserve("kserve:v0.21.0", {"deploy": "{", "ingress": "[]"}, GROUPS)

    assert (found.default_mode, found.is_gateway_api_on) == ("", False)
    assert judge(found, found.default_mode).state is State.FAIL
