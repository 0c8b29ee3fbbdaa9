"""`make cluster-up`: which commands it gives, in which order, and what it leaves as it is."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from images.images import IMAGES
from mulgil.home import SOURCE_ROOT

SCRIPT = SOURCE_ROOT / "manifests" / "kind" / "cluster.sh"
# What would act outside: each writes down how it was called, and as whom.
TOOLS = ("kind", "kubectl", "docker", "curl", "mulgil", "python")
STAND_IN = r"""#!/usr/bin/env bash
name=$(basename "$0")
echo "$name $*" >> "$CALLS"
case "$name $*" in
  "kind get clusters") cat "$STATE/clusters" 2>/dev/null ;;
  "kind create cluster"*) echo mulgil > "$STATE/clusters" ;;
  "kubectl "*" get secret "*" --output json") echo '{"apiVersion":"v1","kind":"Secret","type":"Opaque",
    "data":{"a":"b"},"metadata":{"name":"'"$5"'","namespace":"mulgil","uid":"1"}}' ;;
  "kubectl "*" get secret "*" --output "*) echo -n "a-value" ;;
  "kubectl "*" get secret "*) [ -e "$STATE/$5" ] ;;
  "kubectl "*" create secret generic "*) cat > "$STATE/$6" ;;
  "kubectl --namespace kubeflow apply -f -") cat >> "$STATE/copied" ;;
  "python -m images.images --list") echo mulgil/ingest-data:0.1.0 ;;
  "curl "*) echo "echo kserve \$KUBECONFIG \$GATEWAY_NETWORK_LAYER >> $CALLS" > "$6" ;;
esac
"""


class Machine:
    """A machine whose tools do nothing but write down that they were called."""

    def __init__(self, folder):
        self.folder = folder
        self.calls_path = folder / "calls"
        self.checkout = folder / "checkout"
        (folder / "bin").mkdir()
        for tool in TOOLS:
            (folder / "bin" / tool).write_text(STAND_IN)
            (folder / "bin" / tool).chmod(0o755)
        # A checkout of its own, so that what is fetched lies there.
        self.checkout.mkdir()
        for name in ("manifests", "images", "mulgil", "components"):
            (self.checkout / name).symlink_to(SOURCE_ROOT / name)

    def run(self, *words, code=0, **settings):
        self.calls_path.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "CALLS": str(self.calls_path),
            "STATE": str(self.folder),
            "MULGIL": "mulgil",
            "PYTHON": "python",
            "KUBECONFIG": "/of/another/cluster",
            **settings,
        }
        done = subprocess.run(
            [self.checkout / "manifests" / "kind" / "cluster.sh", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def calls(self):
        return self.calls_path.read_text().splitlines()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A machine after the first time, and what was said."""
    machine = Machine(tmp_path_factory.mktemp("filled"))
    machine.said = machine.run("up", PYTHON=sys.executable)
    machine.first_calls = machine.calls
    machine.copied = (machine.folder / "copied").read_text()
    return machine


def _place(calls, start):
    (place, *_) = [i for i, call in enumerate(calls) if call.startswith(start)]
    return place


def test_a_cluster_is_made_filled_and_looked_at_in_this_order(filled):
    order = [
        "kind create cluster --name mulgil --image kindest/node:v",
        "kind load docker-image mulgil/ingest-data:",
        "kserve ",
        "kubectl apply --server-side --force-conflicts -k github.com/kubeflow/pipelines/",
        "kubectl wait --namespace kubeflow",
        "kubectl --namespace mulgil create secret generic mulgil-postgres",
        "kubectl apply --server-side --force-conflicts -k ",
        "kubectl --namespace mulgil rollout status",
        "mulgil doctor --context kind-mulgil",
    ]
    places = [_place(filled.first_calls, start) for start in order[:-3]]
    overlay = _place(
        filled.first_calls, f"kubectl apply --server-side --force-conflicts -k {filled.checkout}"
    )
    places += [overlay, *(_place(filled.first_calls, start) for start in order[-2:])]
    assert places == sorted(places)
    assert filled.first_calls[overlay].endswith("overlays/kind")
    assert "gateway" not in "".join(filled.first_calls).replace("kserve", "")


def test_every_image_that_is_built_is_loaded(filled):
    loaded = {
        m[1] for m in re.finditer(r"kind load docker-image mulgil/([\w-]+):", "\n".join(filled.first_calls))
    }
    assert loaded == {name for image in IMAGES for name in image.names}


def test_what_is_there_is_left_as_it_is(filled):
    secrets = {path.name: path.read_text() for path in filled.folder.glob("mulgil-*")}

    filled.run("up")

    assert not [call for call in filled.calls if re.search(r"^kind create|create secret|^curl", call)]
    assert {path.name: path.read_text() for path in filled.folder.glob("mulgil-*")} == secrets
    assert filled.calls[-1].startswith("mulgil doctor")


def test_the_cluster_of_the_users_own_kubeconfig_is_never_touched(filled):
    (installed,) = [call for call in filled.first_calls if call.startswith("kserve ")]
    assert installed.split() == ["kserve", str(filled.checkout / ".tools" / "cluster" / "kubeconfig")]


def test_the_standard_mode_gets_a_gateway_before_kserve_and_the_overlay_that_lets_it_in(machine):
    machine.run("up", "--mode", "standard")

    calls = machine.calls
    (kserve,) = [call for call in calls if call.startswith("kserve ")]
    assert kserve.endswith(" envoy")
    assert _place(calls, "kubectl apply -f") < _place(calls, "kserve ")
    assert any(call.endswith("overlays/kind-standard") for call in calls)


def test_a_secret_is_on_no_command_line_and_steps_read_the_same(filled):
    created = {
        path.name: dict(line.split("=", 1) for line in path.read_text().splitlines())
        for path in filled.folder.glob("mulgil-*")
    }
    assert created.keys() == {
        *("mulgil-postgres", "mulgil-mlflow", "mulgil-feature-store"),
        *("mulgil-serving-tokens", "mulgil-object-store"),
    }
    generated = created["mulgil-serving-tokens"]["tokens"]
    assert created["mulgil-serving-tokens"]["MULGIL_SERVING_TOKEN"] == generated
    assert len(generated) == 48
    for secret in (generated, created["mulgil-postgres"]["POSTGRES_PASSWORD"]):
        assert secret not in filled.said + "".join(filled.first_calls)
    assert '"uid"' not in filled.copied
    assert '"namespace"' not in filled.copied
    assert filled.copied.count('"kind": "Secret"') == 3


def test_a_dry_run_says_each_command_and_gives_none(machine):
    said = machine.run("up", "--dry-run", PATH="/usr/bin:/bin", PYTHON=sys.executable)

    assert machine.calls == []
    assert "+ kind create cluster --name mulgil" in said
    assert said.splitlines()[-1] == "+ mulgil doctor --context kind-mulgil"
    assert not (machine.checkout / ".tools").exists()


def test_an_image_that_was_not_built_is_named(machine):
    (machine.folder / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")

    said = machine.run("up", code=2)

    assert "no image mulgil/ingest-data:" in said
    assert "make images" in said


def test_images_that_nobody_can_list_stop_it(machine):
    machine.run("up", PYTHON="false", code=1)

    assert not [call for call in machine.calls if call.startswith("kubectl")]


def test_a_failing_command_stops_it(machine):
    kubectl = machine.folder / "bin" / "kubectl"
    kubectl.write_text(STAND_IN.replace('case "$name', '[ "$1" != wait ] || exit 1\ncase "$name', 1))

    machine.run("up", code=1)

    assert not [call for call in machine.calls if call.startswith("mulgil doctor")]


@pytest.mark.parametrize(
    "words", [("sideways",), (), ("up", "--mode", "raw"), ("up", "--mode"), ("up", "--force")]
)
def test_a_mistake_is_told_before_anything_is_done(machine, words):
    said = machine.run(*words, code=2)

    assert "Expected:" in said
    assert machine.calls == []


def test_a_tool_that_is_missing_is_named(machine):
    (machine.folder / "bin" / "kind").unlink()

    assert "not found: kind" in machine.run("up", code=2)


def test_down_removes_the_cluster_and_what_was_fetched_for_it(machine):
    (machine.checkout / ".tools" / "cluster").mkdir(parents=True)

    machine.run("down")

    assert machine.calls == ["kind delete cluster --name mulgil"]
    assert not (machine.checkout / ".tools" / "cluster").exists()


def test_the_versions_are_pinned_in_one_file():
    script = SCRIPT.read_text(encoding="utf-8")
    pinned = (SCRIPT.parent / "versions.env").read_text(encoding="utf-8")

    names = set(re.findall(r"^(\w+)=", pinned, re.MULTILINE))
    assert names == set(re.findall(r"\$(\w+_(?:VERSION|IMAGE))\b", script))
    assert not re.search(r"v?\d+\.\d+\.\d+", script)
    assert "latest" not in pinned


def test_the_gateway_is_the_one_that_the_route_by_hand_names():
    objects = list(yaml.safe_load_all((SCRIPT.parent / "gateway.yaml").read_text(encoding="utf-8")))
    (gateway,) = (one for one in objects if one["kind"] == "Gateway")
    route = yaml.safe_load(
        (SOURCE_ROOT / "manifests/endpoint/standard/candidate_route.yaml").read_text(encoding="utf-8")
    )

    assert [{key: gateway["metadata"][key] for key in ("name", "namespace")}] == route["spec"]["parentRefs"]
