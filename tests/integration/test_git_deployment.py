"""`mulgil deploy --git`: releases as commits of a real Git repository, which a cluster follows late."""

import os
import subprocess

import pytest
import yaml
from kserve_cluster import KServeCluster, isvc
from rollouts import Callers, Scene
from served_bundles import seal
from typer.testing import CliRunner

from mulgil.artifacts import RegisteredModel, Verdict
from mulgil.cli import app
from mulgil.errors import GateRejectedError, InputError, PermanentError, TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_store import RunRecord, State
from mulgil.local.task_folder import TaskFolder
from mulgil.rollout.drivers.git import GitDriver, git_driver_name, parse_git_driver_name
from mulgil.rollout.drivers.knative import KnativeDriver
from mulgil.rollout.drivers.standard import StandardDriver
from mulgil.rollout.manifest_repository import ManifestRepository
from mulgil.rollout.record import Phase


def git(folder, *words):
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of a bare repository, with nothing of this machine's configuration."""
    for name, value in (("GLOBAL", os.devnull), ("SYSTEM", os.devnull)):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A robot")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "robot@example.com")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "clone")
    (tmp_path / "clone" / "README.md").write_text("What runs.\n", encoding="utf-8")
    git(tmp_path / "clone", "checkout", "--quiet", "-b", "main")
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "--quiet", "--message", "Begin")
    git(tmp_path / "clone", "push", "--quiet", "--set-upstream", "origin", "main")
    return tmp_path / "clone"


def subjects(folder):
    return git(folder, "log", "--reverse", "--format=%s").splitlines()[1:]


class Following:
    """A driver's cluster, kept as the repository has it; each change arrives some looks late."""

    def __init__(self, driver, folder, looks_late=3):
        self.driver, self.folder, self.looks_late = driver, folder, looks_late
        self.name, self.capabilities = driver.name, driver.capabilities
        self.seen, self.looks = self.head(), 0

    def head(self):
        return (self.folder.parent / ".git" / "refs" / "heads" / "main").read_text(encoding="utf-8")

    def read(self, name, namespace):
        head = self.head()
        if head != self.seen:
            self.looks += 1
            if self.looks >= self.looks_late:
                self.seen, self.looks = head, 0
                self.driver.write(yaml.safe_load(git(self.folder, "show", f"HEAD:./{namespace}-{name}.yaml")))
        return self.driver.read(name, namespace)

    def write(self, manifest):
        raise AssertionError("nothing is to be applied")

    def __getattr__(self, name):
        return getattr(self.driver, name)


def scene_of(tmp_path, clone, driver, **callers):
    cluster = KServeCluster()
    inner = Following(driver(cluster, lambda manifest: None), clone / "apps")
    platform = GitDriver(inner, ManifestRepository(clone / "apps", is_pushed=True))
    return Scene(tmp_path / "rollouts", platform, Callers(cluster, **callers))


@pytest.mark.parametrize("driver", [KnativeDriver, StandardDriver])
def test_a_rollout_is_a_commit_a_step_and_waits_for_what_it_committed(tmp_path, clone, driver):
    scene = scene_of(tmp_path, clone, driver)
    is_standard = driver is StandardDriver
    scene.settle(isvc("1", is_standard=is_standard))

    over = scene.drive(scene.start(isvc("2", is_standard=is_standard)))

    assert over.phase is Phase.PROMOTED
    told = subjects(clone)
    steps = [f"Give version 2 of heart {percent} percent of the traffic" for percent in scene.policy.steps]
    assert told[0] == "Serve version 1 of heart"
    # A place without traffic comes first, in which it is asked alone.
    assert told[1:-1] == ["Give version 2 of heart 0 percent of the traffic", *steps]
    assert told[-1] == "Serve version 2 of heart"
    # All of it is pushed, and only the manifest's file is in these commits.
    assert git(clone, "rev-parse", "HEAD") == git(clone, "rev-parse", "origin/main")
    assert set(git(clone, "log", "--format=", "--name-only", f"-{len(told)}").split()) == {
        "apps/default-heart.yaml"
    }


def test_a_canary_that_fails_is_taken_back_by_commits(tmp_path, clone):
    scene = scene_of(tmp_path, clone, KnativeDriver, errors=0.3)
    scene.settle(isvc("1"))

    over = scene.drive(scene.start(isvc("2")))

    assert over.phase is Phase.ROLLED_BACK
    assert subjects(clone)[-1] == "Serve version 1 of heart"
    assert "Give version 2 of heart 0 percent of the traffic" in subjects(clone)
    committed = yaml.safe_load((clone / "apps" / "default-heart.yaml").read_text(encoding="utf-8"))
    assert "canaryTrafficPercent" not in committed["spec"]["predictor"]


def test_work_of_others_in_the_clone_stays_out_and_their_labels_stay_in(clone):
    repository = ManifestRepository(clone / "apps")
    manifest = isvc("1")
    labelled = {**manifest, "metadata": {**manifest["metadata"], "labels": {"team": "cardiology"}}}
    repository.commit(labelled, "By hand")
    (clone / "half-done.yaml").write_text("a: 1\n", encoding="utf-8")
    git(clone, "add", "half-done.yaml")

    assert repository.commit(isvc("2"), "Serve 2")
    assert not repository.commit(isvc("2"), "Serve 2")

    assert repository.read("heart", "default")["metadata"]["labels"] == {"team": "cardiology"}
    assert git(clone, "status", "--porcelain") == "A  half-done.yaml"


def test_a_commit_that_others_overtook_goes_on_top_of_theirs(tmp_path, clone):
    git(tmp_path, "clone", "--quiet", "--branch", "main", "origin.git", "other")
    (tmp_path / "other" / "theirs").write_text("x", encoding="utf-8")
    git(tmp_path / "other", "add", ".")
    git(tmp_path / "other", "commit", "--quiet", "--message", "Theirs")
    git(tmp_path / "other", "push", "--quiet")

    ManifestRepository(clone / "apps", is_pushed=True).commit(isvc("1"), "Ours")

    assert git(tmp_path / "origin.git", "log", "--format=%s", "main").splitlines() == [
        "Ours",
        "Theirs",
        "Begin",
    ]


def test_an_upstream_that_is_gone_is_a_matter_of_time(clone):
    git(clone, "remote", "set-url", "origin", "/nowhere.git")

    with pytest.raises(TemporaryError, match="git pull fails"):
        ManifestRepository(clone / "apps", is_pushed=True).commit(isvc("1"), "Ours")


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    with pytest.raises(InputError, match="is in no Git repository"):
        ManifestRepository(tmp_path / "no-clone")


def test_a_commit_that_git_refuses_is_told_in_gits_words(clone, monkeypatch):
    hook = clone / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2; exit 1\n", encoding="utf-8")
    hook.chmod(0o755)

    with pytest.raises(PermanentError, match="not on a Friday"):
        ManifestRepository(clone).commit(isvc("1"), "Ours")


@pytest.mark.parametrize("is_pushed", [False, True])
def test_a_record_finds_its_repository_again(tmp_path, is_pushed):
    name = git_driver_name("knative", tmp_path / "a:b+c", is_pushed=is_pushed)

    assert parse_git_driver_name(name) == ("knative", tmp_path / "a:b+c", is_pushed)
    assert parse_git_driver_name("knative") is None


def test_a_run_that_registered_nothing_has_nothing_to_commit(tmp_path, clone, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    open_run_store().write_run(RunRecord("run-1", "training", "heart", State.FAILED, {}, 1.0))

    answer = CliRunner().invoke(app, ["deploy", "--run", "run-1", "--git", str(clone)])

    assert isinstance(answer.exception, InputError)
    assert "registered no model" in str(answer.exception)


def test_what_a_run_registered_is_committed_where_its_gate_approved(tmp_path, clone, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    project = SOURCE_ROOT / "projects" / "heart_disease"
    parameters = {"project_path": str(project)}
    open_run_store().write_run(RunRecord("run-1", "training", "heart", State.SUCCEEDED, parameters, 1.0))
    places = {
        name: TaskFolder(folder_of("run-1"), task).place_artifact(name)
        for task, name in (
            ("train-model", "bundle"),
            ("evaluate-model", "verdict"),
            ("register-model", "registered_model"),
        )
    }
    places["bundle"].mkdir(parents=True)
    fingerprint = seal(places["bundle"]).fingerprint
    RegisteredModel(
        name="heart-disease", version="4", bundle_fingerprint=fingerprint, storage_uri="s3://models/4"
    ).write(places["registered_model"])
    words = ["deploy", "--run", "latest", "--git", str(clone / "apps")]

    def judge(is_approved):
        verdict = Verdict(gate="evaluate_model", subject=fingerprint, is_approved=is_approved, checks=())
        verdict.write(places["verdict"])
        return CliRunner().invoke(app, words)

    assert isinstance(judge(False).exception, GateRejectedError)
    assert judge(True).output == "committed: Serve version 4 of heart-disease\n"
    committed = yaml.safe_load((clone / "apps" / "default-heart-disease.yaml").read_text(encoding="utf-8"))
    assert committed["spec"]["predictor"]["model"]["storageUri"] == "s3://models/4"


def test_the_command_commits_a_version_where_nothing_can_judge_a_canary(tmp_path, clone):
    path = tmp_path / "isvc.yaml"
    path.write_text(yaml.safe_dump(isvc("7")), encoding="utf-8")
    words = ["deploy", "-f", str(path), "--git", str(clone / "apps")]

    first, second = (CliRunner().invoke(app, words) for _ in range(2))

    assert first.output == "committed: Serve version 7 of heart\n"
    assert second.output == "unchanged: Serve version 7 of heart\n"
    assert subjects(clone) == ["Serve version 7 of heart"]
