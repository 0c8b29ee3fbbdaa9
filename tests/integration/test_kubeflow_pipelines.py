"""`mulgil submit` and `schedule` against a stand-in for Kubeflow Pipelines that checks each request."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from kfp_stub import KfpStub, misfits, serving
from typer.testing import CliRunner

from mulgil.artifacts import Verdict
from mulgil.cli import app
from mulgil.cluster import following
from mulgil.errors import InputError, PermanentError, TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_store import State
from mulgil.project_location import project_folder

PROJECT = SOURCE_ROOT / "projects" / "breast_cancer"
STEPS = (
    "ingest-data",
    "validate-data",
    "materialize-features",
    "train-model",
    "evaluate-model",
    "register-model",
)
WELL = (
    ("RUNNING", {"ingest-data": "RUNNING", "ingest-data-driver": "SUCCEEDED"}),
    ("RUNNING", {"ingest-data": "SUCCEEDED", "validate-data": "RUNNING", "executor": "RUNNING"}),
    (
        "SUCCEEDED",
        {**dict.fromkeys(STEPS, "SUCCEEDED"), "condition-1": "SUCCEEDED", "deploy-model": "SUCCEEDED"},
    ),
)
BADLY = (
    ("RUNNING", {"ingest-data": "RUNNING"}),
    ("FAILED", {"ingest-data": "SUCCEEDED", "validate-data": "FAILED"}),
)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MULGIL_PROJECTS_URI", f"file://{tmp_path}/store/projects")
    monkeypatch.setenv("MULGIL_RUNS_URI", f"file://{tmp_path}/store/runs")
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    monkeypatch.setitem(following.follow.__kwdefaults__, "look_seconds", 0.01)
    monkeypatch.setitem(following.follow.__kwdefaults__, "patience_seconds", 0.2)
    return tmp_path / "store"


def mulgil(host, *words, exit_code=0):
    answer = CliRunner().invoke(app, [*map(str, words), "--host", host])
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    assert answer.exit_code == exit_code, answer.output
    return answer.output


def mulgil_here(*words):
    answer = CliRunner().invoke(app, words)
    if answer.exception is not None:
        raise answer.exception


def test_a_run_is_uploaded_started_followed_and_kept_with_what_it_handed_over(store):
    stub = KfpStub(WELL)
    verdict = Verdict(gate="validate_data", subject="s" * 64, is_approved=True, checks=())
    # As the newer launcher lays it down, with the execution's identity between.
    verdict.write(store / "runs/training/run-1/validate-data/0b1c/verdict")
    (store / "runs/training/run-1/train-model").mkdir(parents=True)
    (store / "runs/training/run-1/train-model/history").write_text("{}")

    with serving(stub) as host:
        said = mulgil(host, "submit", PROJECT, "--set", "training.max_epochs=3")

    assert stub.wrong == []
    assert "version-1 (new)" in said
    (run,) = stub.runs.values()
    parameters = run["runtime_config"]["parameters"]
    assert parameters["is_deployed"] is True
    assert run["runtime_config"]["pipeline_root"] == f"file://{store}/runs"
    assert run["display_name"].startswith("training-breast-cancer-")
    assert "ingest-data: started" in said
    assert "deploy-model: succeeded" in said
    assert "driver" not in said

    record = open_run_store().read_run("run-1")
    assert record.state is State.SUCCEEDED
    assert {t.task.rpartition("/")[2] for t in open_run_store().list_tasks("run-1")} >= {
        *STEPS,
        "deploy-model",
    }
    kept = folder_of("run-1") / "tasks"
    assert Verdict.read(kept / "validate-data/artifacts/verdict") == verdict
    assert (kept / "train-model/artifacts/history").read_text() == "{}"
    report = (folder_of("run-1") / "report.html").read_text(encoding="utf-8")
    assert "breast-cancer" in report


def test_the_steps_read_the_project_that_was_packed(store):
    stub = KfpStub()
    with serving(stub) as host:
        mulgil(host, "submit", PROJECT, "--set", "training.max_epochs=3", "--no-wait")
    (run,) = stub.runs.values()
    address = run["runtime_config"]["parameters"]["project_path"]

    folder = project_folder(address)

    assert re.fullmatch(rf"file://{store}/projects/breast-cancer/[0-9a-f]{{12}}\.zip", address)
    assert {path.name for path in folder.iterdir()} == {"project.yaml", "data_dictionary.yaml", "source.py"}
    assert yaml.safe_load((folder / "project.yaml").read_text())["training"]["max_epochs"] == 3
    shutil.rmtree(folder)


def test_a_source_file_in_the_projects_folder_travels_with_it_and_one_elsewhere_is_refused(store, tmp_path):
    project = shutil.copytree(SOURCE_ROOT / "projects" / "heart_disease", tmp_path / "mine")
    text = re.sub(r"location: .*", "location: rows.csv", (project / "project.yaml").read_text())
    (project / "project.yaml").write_text(text)
    (project / "rows.csv").write_text("1\n")
    stub = KfpStub()
    with serving(stub) as host:
        mulgil(host, "submit", project, "--no-wait")
        (run,) = stub.runs.values()
        folder = project_folder(run["runtime_config"]["parameters"]["project_path"])
        (project / "rows.csv").rename(tmp_path / "rows.csv")
        (project / "project.yaml").write_text(text.replace("rows.csv", str(tmp_path / "rows.csv")))

        with pytest.raises(InputError, match="on this machine alone"):
            mulgil(host, "submit", project, "--no-wait")

    assert (folder / "rows.csv").read_text() == "1\n"
    assert yaml.safe_load((folder / "project.yaml").read_text())["source"]["location"] == "rows.csv"
    shutil.rmtree(folder)


def test_an_unchanged_pipeline_and_project_are_not_uploaded_again_and_a_changed_pipeline_is(store):
    stub = KfpStub()
    with serving(stub) as host:
        first = mulgil(host, "submit", PROJECT, "--no-wait")
        again = mulgil(host, "submit", PROJECT, "--no-wait")
        changed = mulgil(host, "submit", PROJECT, "--no-wait", "--registry", "ghcr.io/acme")
        another = mulgil(host, "submit", PROJECT, "--no-wait", "--registry", "ghcr.io/other")
        # Behind the first page of versions.
        back = mulgil(host, "submit", PROJECT, "--no-wait")

    assert [("(new)" in said) for said in (first, again, changed, another, back)] == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert len(stub.pipelines) == len(stub.experiments) == 1
    assert len(stub.versions) == 3
    assert len(stub.runs) == 5
    assert len(list((store / "projects" / "breast-cancer").iterdir())) == 1
    assert stub.wrong == []


def test_what_is_uploaded_carries_the_clusters_settings(store):
    stub = KfpStub()
    with serving(stub) as host:
        mulgil(host, "submit", PROJECT, "--no-wait", "--registry", "ghcr.io/acme")

    (version,) = stub.versions.values()
    container = version["pipeline_spec"]["deploymentSpec"]["executors"]["exec-train-model"]["container"]
    assert container["image"].startswith("ghcr.io/acme/mulgil/train-model:")
    assert container["resources"]["resourceMemoryLimit"] == "4Gi"


def test_the_steps_run_the_code_that_was_shipped_in_the_images_that_there_are(store, tmp_path):
    stub = KfpStub(WELL)
    with serving(stub) as host:
        mulgil(host, "submit", PROJECT, "--no-wait", "--sync-code")

    assert stub.wrong == []
    (version,) = stub.versions.values()
    containers = [e["container"] for e in version["pipeline_spec"]["deploymentSpec"]["executors"].values()]
    assert all(container["image"].startswith("mulgil/") for container in containers)
    # Some step, as a container of an older image has it: without this checkout on its path.
    command = next(c["command"] for c in containers if c["command"][-1] == "components.ingest_data")
    (image, place) = tmp_path / "image", command[3].removeprefix("file://")
    for name in ("__init__.py", "errors.py", "project_location.py"):
        (image / "mulgil").mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE_ROOT / "mulgil" / name, image / "mulgil" / name)
    done = subprocess.run(
        [sys.executable, *command[1:], "--help"],
        env={**os.environ, "PYTHONPATH": str(image), "PATH": f"{Path(sys.executable).parent}:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "python -m components.ingest_data" in done.stdout
    with zipfile.ZipFile(place) as code:
        assert "components/ingest_data/core.py" in code.namelist()
        assert not [name for name in code.namelist() if "__pycache__" in name or ".venv" in name]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["--settings", SOURCE_ROOT / "tests/golden/manifests/overlays-production.yaml"],
            "allows_code_sync: false",
        ),
        (["--pin-digests"], "--pin-digests"),
    ],
)
def test_code_that_is_in_no_image_is_refused_in_production(store, words, reason, monkeypatch):
    monkeypatch.setattr("mulgil.cluster.image_registry.find_digest", lambda image: "sha256:" + "0" * 64)
    with pytest.raises(InputError, match="for development alone") as raised:
        mulgil("http://127.0.0.1:1", "submit", PROJECT, "--sync-code", *words)

    assert reason in str(raised.value)
    assert not store.exists()


def test_a_run_of_a_cluster_is_resumed_there_and_not_here(store):
    stub = KfpStub(BADLY)
    with serving(stub) as host:
        mulgil(host, "submit", PROJECT, exit_code=1)

    with pytest.raises(InputError, match="--retry run-1"):
        mulgil_here("run", "--resume", "latest")


def test_a_run_that_fails_names_the_step_and_the_reason_and_is_kept(store):
    with serving(KfpStub(BADLY)) as host:
        said = mulgil(host, "submit", PROJECT, exit_code=1)

    assert "the run failed: validate-data" in said
    assert "KFP says: a step failed" in said
    assert "mulgil submit --retry run-1" in said
    assert open_run_store().read_run("run-1").state is State.FAILED


def test_a_failed_run_is_retried_in_place(store):
    stub = KfpStub(BADLY)
    with serving(stub) as host:
        mulgil(host, "submit", PROJECT, exit_code=1)
        stub.stages = list(WELL)
        mulgil(host, "submit", PROJECT, "--retry", "run-1")

    assert len(stub.runs) == 1
    assert ("POST", "/apis/v2beta1/runs/run-1:retry", None) in [
        (method, path, body or None) for method, path, body in stub.requests
    ]
    assert open_run_store().read_run("run-1").state is State.SUCCEEDED


def test_a_namespace_is_named_only_to_a_server_with_profiles(store):
    shared, profiled = KfpStub(), KfpStub(is_multi_user=True)
    for stub in (shared, profiled):
        with serving(stub) as host:
            mulgil(host, "submit", PROJECT, "--no-wait", "--namespace", "team-a")

    assert [e.get("namespace") for e in shared.experiments.values()] == [None]
    assert [e.get("namespace") for e in profiled.experiments.values()] == ["team-a"]


def test_a_sign_in_that_is_refused_says_how_else_to_sign_in(store, tmp_path):
    token = tmp_path / "token"
    token.write_text("right\n")
    with serving(KfpStub(token="right")) as host:
        with pytest.raises(PermanentError, match=r"status 401: no valid token[\s\S]*--token-file"):
            mulgil(host, "submit", PROJECT)
        mulgil(host, "submit", PROJECT, "--no-wait", "--token-file", token)


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (
            (403, {"message": "cannot create runs in team-b"}),
            PermanentError,
            "does not allow it.*starting the run",
        ),
        ((400, {"message": "bad parameter"}), InputError, "refuses"),
        ((503, {"message": "busy"}), TemporaryError, "cannot answer now"),
        ((405, "<html>no</html>"), PermanentError, "no KFP API"),
    ],
)
def test_each_way_to_refuse_is_told_apart(store, failure, kind, words):
    stub = KfpStub()
    # Health, list pipelines, make one, its versions, upload, list experiments, make one, run.
    stub.failures = [None] * 7 + [failure]
    with serving(stub) as host, pytest.raises(kind, match=f"(?s){words}"):
        mulgil(host, "submit", PROJECT, "--no-wait")


def test_a_page_to_sign_in_at_is_not_taken_for_the_api(store):
    stub = KfpStub()
    stub.failures = [(200, "<html>Log in to your account</html>")]
    with serving(stub) as host, pytest.raises(PermanentError, match="is not the API of Kubeflow Pipelines"):
        mulgil(host, "submit", PROJECT)


def test_nobody_at_the_address_is_said_at_once(store):
    with serving(KfpStub()) as host:
        pass
    with pytest.raises(TemporaryError, match="does not answer"):
        mulgil(host, "submit", PROJECT)


def test_a_server_that_is_gone_for_a_moment_is_waited_for(store):
    stub = KfpStub(WELL)
    stub.failures = [None] * 8 + [(503, {"message": "restarting"})] * 3
    with serving(stub) as host:
        said = mulgil(host, "submit", PROJECT)

    assert stub.failures == []
    assert "deploy-model: succeeded" in said


def test_a_server_that_stays_away_leaves_the_run_to_be_followed_later(store):
    stub = KfpStub(WELL)
    stub.failures = [None] * 8 + [(503, {"message": "gone"})] * 10_000
    with serving(stub) as host:
        with pytest.raises(TemporaryError, match=r"the run run-1 goes on[\s\S]*--attach run-1"):
            mulgil(host, "submit", PROJECT)
        stub.failures = []
        said = mulgil(host, "submit", PROJECT, "--attach", "run-1")

    assert "deploy-model: succeeded" in said
    assert len(stub.runs) == 1


def test_an_unknown_run_is_said_to_be_unknown(store):
    with serving(KfpStub()) as host, pytest.raises(InputError, match="Run run-9 not found"):
        mulgil(host, "submit", PROJECT, "--attach", "run-9")


def test_schedules_are_created_listed_over_pages_and_deleted(store):
    stub = KfpStub()
    with serving(stub) as host:
        mulgil(host, "schedule", "create", PROJECT, "--cron", "0 0 3 * * *", "--name", "nightly")
        mulgil(host, "schedule", "create", PROJECT, "--interval-seconds", "3600")
        mulgil(
            host, "schedule", "create", PROJECT, "--interval-seconds", "60", "--name", "often", "--catch-up"
        )
        listed = mulgil(host, "schedule", "list")
        mulgil(host, "schedule", "delete", "schedule-1")
        left = mulgil(host, "schedule", "list")
        with pytest.raises(InputError, match="RecurringRun schedule-1 not found"):
            mulgil(host, "schedule", "delete", "schedule-1")

    assert stub.wrong == []
    assert re.search(r"schedule-1 +nightly +0 0 3 \* \* \* +enabled", listed)
    assert re.search(r"schedule-2 +training-breast-cancer +each 3600 s +enabled", listed)
    assert "often" in listed
    assert "nightly" not in left
    kept = stub.schedules["schedule-3"]
    assert (kept["no_catchup"], kept["max_concurrency"], kept["mode"]) == (False, "1", "ENABLE")


@pytest.mark.parametrize(
    "words", [(), ("--cron", "0 3 * * *"), ("--cron", "0 0 3 * * *", "--interval-seconds", "60")]
)
def test_a_schedule_without_one_clear_time_is_refused(store, words):
    with pytest.raises(InputError, match="It is not said when it runs"):
        mulgil("http://127.0.0.1:1", "schedule", "create", PROJECT, *words)


def test_the_stand_in_finds_a_field_that_kfp_does_not_have():
    run = {"display_name": "r", "pipeline_version_reference": {"pipelineId": "1"}, "recurring": 1}

    assert misfits(run, "V2beta1Run") == [".pipeline_version_reference.pipelineId", ".recurring"]


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    (tmp_path / "project.zip").write_bytes(buffer.getvalue())

    with pytest.raises(InputError, match="not a packed project"):
        project_folder(f"file://{tmp_path}/project.zip")


def test_what_is_no_archive_is_refused_and_what_is_not_there_is_temporary(tmp_path):
    (tmp_path / "project.zip").write_text(json.dumps({}))

    with pytest.raises(InputError, match="not a packed project"):
        project_folder(f"file://{tmp_path}/project.zip")
    with pytest.raises(TemporaryError, match="cannot be fetched"):
        project_folder(f"file://{tmp_path}/none.zip")
