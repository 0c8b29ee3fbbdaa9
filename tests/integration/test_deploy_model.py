"""Deploying to the real local plane: what is written, what is refused, and what a failure leaves behind."""

import socket

import httpx
import pytest
import yaml
from served_bundles import ROW, edit_json, network, seal

from components.deploy_model.__main__ import main
from components.deploy_model.bundle import find_bundle
from components.deploy_model.core import deploy_model
from mulgil.artifacts import Check, Endpoint, RegisteredModel, Verdict
from mulgil.errors import GateRejectedError, InputError, PermanentError, TemporaryError
from mulgil.local.plane import processes
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.revisions import ServiceKey
from mulgil.local.plane.store import PlaneStore

PROJECT = """
name: heart
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: csv, location: rows.csv}
serving: {namespace: clinic}
"""
DICTIONARY = """
columns:
  - {name: id, role: entity, type: integer, description: Who.}
  - {name: seen_at, role: event_timestamp, type: timestamp, description: When.}
  - {name: age, type: integer, description: Age.}
  - {name: disease, role: target, type: boolean, description: What.}
"""


class Desk:
    """A project, a plane, and the files that earlier steps would have written."""

    def __init__(self, folder):
        self.folder = folder
        self.aliases = []
        self.reason_for_rollout = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.plane = ServingPlane(folder / "serving", preferred_port=probe.getsockname()[1])
        project = folder / "project"
        project.mkdir()
        (project / "project.yaml").write_text(PROJECT, encoding="utf-8")
        (project / "data_dictionary.yaml").write_text(DICTIONARY, encoding="utf-8")

    def register(self, version, seed, spoil=None):
        """Write a bundle, its registration, and its approval."""
        bundle = self.folder / f"bundle {version}"
        manifest = network(seed).write_bundle(bundle)
        if spoil is not None:
            spoil(bundle)
            manifest = seal(bundle)
        RegisteredModel(
            name="heart",
            version=version,
            storage_uri=f"file://{bundle}",
            bundle_fingerprint=manifest.fingerprint,
        ).write(self.folder / "registered.json")
        self.judge(manifest.fingerprint)

    def judge(self, subject, gate="evaluate_model", is_passed=True):
        check = Check(name="roc_auc_floor", is_passed=is_passed, reason="0.5 is below 0.75")
        Verdict.of(gate, subject, [check]).write(self.folder / "verdict.json")

    @property
    def paths(self):
        return {
            "project_path": self.folder / "project",
            "registered_model_path": self.folder / "registered.json",
            "evaluation_verdict_path": self.folder / "verdict.json",
            "manifest_path": self.folder / "outputs" / "manifest",
            "endpoint_path": self.folder / "outputs" / "endpoint",
        }

    def deploy(self, platform=None, timeout_seconds=20):
        return deploy_model(
            **self.paths,
            timeout_seconds=timeout_seconds,
            platform=platform or self.plane,
            locate=find_bundle,
            give_alias=self.give_alias,
            reason_for_rollout=lambda policy, manifest: self.reason_for_rollout,
        )

    def give_alias(self, name, version, alias, verdict):
        verdict.require_approval()
        assert verdict.subject == RegisteredModel.read(self.folder / "registered.json").bundle_fingerprint
        self.aliases.append((name, version, alias, [check.name for check in verdict.checks]))

    @property
    def promoted(self):
        return [(name, version) for name, version, alias, _ in self.aliases if alias == "champion"]

    def ask(self):
        item = self.plane.get("heart", "clinic")
        answer = httpx.post(f"{item['status']['url']}/v1/models/heart:predict", json={"instances": [ROW]})
        return answer.headers["x-model-version"]

    def server(self):
        store = PlaneStore((self.folder / "serving").resolve())
        state = store.read_state(ServiceKey("clinic", "heart"))
        return state.find(state.latest_ready).servers[0].process


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.plane.down()
    assert processes.find_marked((tmp_path / "serving").resolve()) == []


def spoil_example(bundle):
    edit_json(bundle / "example.json", prediction=0.123)


def test_a_deployed_model_answers_and_is_the_champion(desk, capsys):
    desk.register("3", seed=0)

    endpoint = desk.deploy()

    assert endpoint == Endpoint.read(desk.paths["endpoint_path"])
    assert (endpoint.name, endpoint.namespace, endpoint.model_version) == ("heart", "clinic", "3")
    assert endpoint.url.endswith("/serving/clinic/heart")
    assert endpoint.prediction == pytest.approx(network(0).predict(ROW)[0], abs=1e-6)
    assert endpoint.example == ROW
    assert desk.aliases == [
        ("heart", "3", "staging", ["evaluated"]),
        ("heart", "3", "champion", ["evaluated", "answered"]),
    ]
    written = yaml.safe_load(desk.paths["manifest_path"].read_text(encoding="utf-8"))
    assert desk.plane.get("heart", "clinic")["spec"] == written["spec"]
    assert f"heart version 3 serves at {endpoint.url}" in capsys.readouterr().out


def test_deploying_again_changes_nothing(desk):
    desk.register("3", seed=0)
    first, item, server = desk.deploy(), desk.plane.get("heart", "clinic"), desk.server()

    assert desk.deploy() == first
    assert desk.plane.get("heart", "clinic") == item
    assert desk.server() == server


def test_the_next_version_takes_over(desk):
    desk.register("3", seed=0)
    desk.deploy()
    desk.register("4", seed=1)

    assert desk.deploy().model_version == "4"
    assert desk.ask() == "4"
    assert desk.promoted == [("heart", "3"), ("heart", "4")]


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda desk, subject: desk.judge(subject, is_passed=False), "0.5 is below 0.75"),
        (lambda desk, subject: desk.judge("another bundle"), "about something else"),
        (lambda desk, subject: desk.judge(subject, gate="validate_data"), "about something else"),
        (lambda desk, subject: (desk.folder / "verdict.json").unlink(), "No verdict"),
    ],
    ids=["a no", "another bundle's", "another gate's", "missing"],
)
def test_nothing_is_deployed_without_an_approval_of_this_bundle(desk, judge, message):
    desk.register("3", seed=0)
    judge(desk, RegisteredModel.read(desk.folder / "registered.json").bundle_fingerprint)

    with pytest.raises(GateRejectedError, match=message):
        desk.deploy()

    assert desk.plane.list() == []
    assert not desk.plane.is_up


def test_a_bundle_that_changed_since_it_was_registered_is_refused(desk):
    desk.register("3", seed=0)
    edit_json(desk.folder / "bundle 3" / "example.json", prediction=0.5)
    with pytest.raises(InputError, match=r"example\.json"):
        desk.deploy()

    seal(desk.folder / "bundle 3")
    with pytest.raises(InputError, match="not the one that was registered"):
        desk.deploy()


def test_a_bundle_elsewhere_is_refused_by_its_address(desk):
    desk.register("3", seed=0)
    edit_json(desk.folder / "registered.json", storage_uri="s3://models/heart")

    with pytest.raises(InputError, match="storage_uri=s3://models/heart"):
        desk.deploy()


def test_a_version_that_cannot_be_served_leaves_the_one_before(desk):
    desk.register("3", seed=0)
    desk.deploy()
    before = desk.plane.get("heart", "clinic")
    desk.register("4", seed=1, spoil=spoil_example)

    with pytest.raises(PermanentError, match="gives another prediction here than where it was trained"):
        desk.deploy()

    after = desk.plane.wait_ready("heart", "clinic", 20)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    # As on a cluster, a template that is gone back to is a new revision; the one before answers until it is
    # ready.
    assert after["status"]["components"]["predictor"]["latestReadyRevision"] == "heart-predictor-00003"
    assert desk.ask() == "3"
    assert desk.promoted == [("heart", "3")]


def test_a_first_version_that_cannot_be_served_leaves_nothing(desk):
    desk.register("3", seed=0, spoil=spoil_example)

    with pytest.raises(PermanentError, match="gives another prediction"):
        desk.deploy()

    assert desk.plane.list() == []
    assert not desk.paths["endpoint_path"].exists()


def test_a_version_that_is_not_ready_in_time_leaves_the_one_before(desk):
    desk.register("3", seed=0)
    desk.deploy()
    desk.register("4", seed=1)

    with pytest.raises(TemporaryError, match="not ready after 0 s"):
        desk.deploy(timeout_seconds=0)

    assert desk.ask() == "3"
    annotations = desk.plane.get("heart", "clinic")["metadata"]["annotations"]
    assert annotations["mulgil.dev/model-version"] == "3"


class Misled(ServingPlane):
    """A plane that leads to another service than the one that was asked for."""

    def wait_ready(self, name, namespace, timeout_seconds):
        item = super().wait_ready(name, namespace, timeout_seconds)
        item["status"] |= {key: self.get("heart", "ward")["status"][key] for key in ("url", "address")}
        return item


def test_a_smoke_request_that_goes_wrong_puts_the_version_before_back(desk):
    desk.register("3", seed=0)
    desk.deploy()
    elsewhere = desk.plane.get("heart", "clinic")
    elsewhere["metadata"]["namespace"] = "ward"
    desk.plane.apply(elsewhere)
    desk.plane.wait_ready("heart", "ward", 20)
    desk.register("4", seed=1)

    with pytest.raises(PermanentError) as failure:
        desk.deploy(platform=Misled(desk.folder / "serving"))

    assert "gives another answer than the bundle's own example" in str(failure.value)
    assert "version=4\n" in str(failure.value) and "version=3\n" in str(failure.value)
    assert "ready on http://127.0.0.1:" in str(failure.value)
    assert desk.ask() == "3"
    assert desk.promoted == [("heart", "3")]
    assert desk.aliases[-1][:3] == ("heart", "4", "staging"), "approved, and never the champion"


def flags(paths):
    return [word for name, path in paths.items() for word in (f"--{name.replace('_', '-')}", str(path))]


def test_a_mistake_at_the_command_line_is_a_message_and_an_exit_code(desk, monkeypatch, capsys):
    monkeypatch.setenv("MULGIL_HOME", str(desk.folder))
    assert main(flags(desk.paths)) == 2
    assert "registered.json" in capsys.readouterr().err

    desk.register("3", seed=0)
    (desk.folder / "verdict.json").unlink()
    assert main(flags(desk.paths)) == 3
    assert "GateRejectedError" in capsys.readouterr().err
