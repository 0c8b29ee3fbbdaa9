"""What the Docker runner asks of the engine: pure decisions, and the errors of a machine without one."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from mulgil.errors import InputError, PermanentError, TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.local.cache.step_key import StepKey, explain_difference
from mulgil.local.docker.engine import find_engine
from mulgil.local.docker.launcher import CODE_LABEL, DockerLauncher, server_image
from mulgil.local.docker.needs import needs_of, stores_of
from mulgil.local.docker.run_command import ContainerPlan, User, run_command
from mulgil.local.docker.step_container import scratch_of
from mulgil.local.pipeline_spec import Container
from mulgil.local.placeholders import TaskContext

PLAN = ContainerPlan(name="a-step", image="mulgil/x:1", words=("python", "-m", "x"), user=User(1000, 1000))
PROJECT = SOURCE_ROOT / "projects" / "breast_cancer"


def flags_of(words, flag):
    return [words[index + 1] for index, word in enumerate(words) if word == flag]


def context(**parameters):
    return TaskContext("run", "a-step", parameters, input_artifacts={"dataset": Path("/runs/dataset")})


def test_a_container_has_no_rights_no_network_and_a_root_that_nobody_writes_to():
    words = run_command(PLAN)

    assert "--read-only" in words
    assert flags_of(words, "--user") == ["1000:1000"]
    assert flags_of(words, "--cap-drop") == ["ALL"]
    assert flags_of(words, "--security-opt") == ["no-new-privileges"]
    assert flags_of(words, "--network") == ["none"]
    assert flags_of(words, "--mount") == []
    # The engine knows no image by any other way than that it was built or pulled before.
    assert flags_of(words, "--pull") == ["never"]
    assert words[-5:] == ["--entrypoint", "python", "mulgil/x:1", "-m", "x"]


def test_a_containers_limits_are_the_pipelines_and_leave_no_swap():
    words = run_command(ContainerPlan(**{**vars(PLAN), "core_limit": 1.5, "memory_limit": 2.0 * 2**30}))

    assert flags_of(words, "--cpus") == ["1.5"]
    assert flags_of(words, "--memory") == flags_of(words, "--memory-swap") == [str(2 * 2**30)]


def test_a_folder_of_any_name_is_mounted_at_its_own_path():
    odd = Path('/data/a, "b": c')
    words = run_command(ContainerPlan(**{**vars(PLAN), "read": (odd,), "written": (Path("/out"),)}))

    read, written = (next(csv.reader([mount])) for mount in flags_of(words, "--mount"))
    assert read == ["type=bind", f"source={odd}", f"target={odd}", "readonly"]
    assert written == ["type=bind", "source=/out", "target=/out"]


def test_a_variable_that_is_passed_on_has_its_value_on_no_command_line():
    words = run_command(ContainerPlan(**{**vars(PLAN), "passed_on": ("AWS_SECRET_ACCESS_KEY",)}))

    assert flags_of(words, "--env") == ["AWS_SECRET_ACCESS_KEY"]


def test_a_step_sees_its_project_its_inputs_and_its_source_alone(tmp_path):
    project = tmp_path / "project"
    shutil.copytree(PROJECT.with_name("heart_disease"), project)
    written = yaml.safe_load((project / "project.yaml").read_text(encoding="utf-8"))
    written["source"]["location"] = "rows.csv"
    (project / "project.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")

    needs = needs_of("ingest_data", context(project_path=str(project), source=""), {"AWS_PROFILE": "mine"})

    assert needs.read == (project, Path("/runs/dataset"), project / "rows.csv")
    assert (needs.is_networked, needs.told, needs.stores) == (False, (), frozenset())


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("/data/*/part-?.csv", Path("/data")),
        ("/data/rows.csv", Path("/data/rows.csv")),
        ("/data/{date}/rows.csv", Path("/data")),
    ],
)
def test_a_source_that_replaces_the_projects_is_seen_in_its_place(source, place):
    needs = needs_of("ingest_data", context(project_path=str(PROJECT), source=source), {})

    assert needs.read[-1] == place
    assert needs.stores == ({"spans"} if "{date}" in source else set())


@pytest.mark.parametrize(
    ("source", "is_networked", "is_in_spans"),
    [
        ({"kind": "sql", "url": "sqlite:////data/shop.db"}, False, True),
        ({"kind": "sql", "url": "postgresql://me@host/shop"}, True, True),
        ({"kind": "image_folder", "location": "/data/{date}"}, False, True),
        ({"kind": "image_folder", "location": "/data"}, False, False),
        ({"kind": "csv", "location": "https://example.com/{date}.csv"}, True, True),
    ],
)
def test_a_step_gets_the_kept_spans_of_whatever_kind_they_are(tmp_path, source, is_networked, is_in_spans):
    project = shutil.copytree(PROJECT.with_name("heart_disease"), tmp_path / "project")
    written = yaml.safe_load((project / "project.yaml").read_text(encoding="utf-8"))
    if source["kind"] == "sql":
        source = {**source, "query": "SELECT * FROM sales WHERE seen >= :span_begin AND seen < :span_end"}
    if source["kind"] != "image_folder":
        source = {**source, "spans": {"since": "2026-11-01"}}
    (project / "project.yaml").write_text(yaml.safe_dump({**written, "source": source}), encoding="utf-8")
    needs = needs_of("ingest_data", context(project_path=str(project), source=""), {})

    assert (needs.is_networked, "spans" in needs.stores) == (is_networked, is_in_spans)
    assert is_networked or needs.read[-1] == (
        Path("/data/shop.db") if source["kind"] == "sql" else Path("/data")
    )


def test_spans_that_are_kept_elsewhere_are_reached_by_network():
    needs = needs_of(
        "ingest_data",
        context(project_path=str(PROJECT), source="/data/{date}.csv"),
        {"MULGIL_SPANS_URI": "s3://mulgil/spans"},
    )

    assert (needs.is_networked, needs.told) == (True, ("MULGIL_SPANS_URI",))


@pytest.mark.parametrize(
    ("component", "source", "environment", "told"),
    [
        ("ingest_data", "s3://rows/a.csv", {"AWS_PROFILE": "mine", "SHELL": "sh"}, ("AWS_PROFILE",)),
        (
            "register_model",
            "",
            {"MLFLOW_TRACKING_URI": "http://here", "MULGIL_HOME": "/h"},
            ("MLFLOW_TRACKING_URI",),
        ),
        ("deploy_model", "", {}, ()),
    ],
)
def test_a_step_reaches_the_network_where_what_it_needs_is_there(component, source, environment, told):
    needs = needs_of(component, context(project_path=str(PROJECT), source=source), environment)

    assert needs.is_networked
    assert needs.told == told


def test_training_reaches_nothing_and_keeps_only_how_far_it_has_come():
    needs = needs_of("train_model", context(project_path=str(PROJECT)), dict.fromkeys(["AWS_PROFILE"], "x"))

    assert (needs.is_networked, needs.told) == (False, ())
    assert needs.stores == stores_of("train_model") == {"checkpoints", "examples", "tuning"}


def test_how_far_a_training_has_come_is_kept_by_network_where_it_is_kept_elsewhere():
    environment = {"MULGIL_TRAINING_URI": "s3://mulgil/training", "AWS_PROFILE": "mine"}
    needs = needs_of("train_model", context(project_path=str(PROJECT)), environment)

    assert (needs.is_networked, needs.told) == (True, ("AWS_PROFILE", "MULGIL_TRAINING_URI"))


@pytest.mark.parametrize(
    ("image", "server"),
    [
        ("mulgil/deploy-model:0.1.0", "mulgil/model-server:0.1.0"),
        ("localhost:5000/a/mulgil/deploy-model:7", "localhost:5000/a/mulgil/model-server:7"),
    ],
)
def test_the_endpoints_image_is_of_the_steps_registry_and_tag(image, server):
    assert server_image(image) == server


def test_a_steps_temporary_folder_begins_empty(tmp_path):
    (scratch_of(tmp_path) / "left").touch()

    assert list(scratch_of(tmp_path).iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("abc", "image sha256:1", "environment: a container's now"),
        ("image sha256:1", "abc", "environment: this machine's own now, and no container's"),
        ("image sha256:1", "image sha256:2", "environment: its image changed"),
    ],
)
def test_a_plan_says_that_a_step_moved_between_containers_and_this_machine(before, after, said):
    keys = [
        StepKey(
            component="x",
            command=(),
            code={},
            environment=environment,
            parameters={},
            project={},
            files={},
            artifacts={},
        )
        for environment in (before, after)
    ]

    assert explain_difference(*keys) == [said]


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a program called `docker` before all others."""

    def put(script):
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def test_a_machine_without_an_engine_is_told_what_needs_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(
        PermanentError, match=r"There is no Docker engine on this machine(.|\n)*--runner local"
    ):
        find_engine()


def test_an_engine_that_is_down_may_come_up(docker):
    docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1")

    with pytest.raises(TemporaryError, match=r"No Docker engine answers(.|\n)*Cannot connect"):
        find_engine()


def test_an_engine_that_refuses_this_user_names_its_group(docker):
    docker("echo 'permission denied while trying to connect' >&2; exit 1")

    with pytest.raises(PermanentError, match="group `docker`"):
        find_engine()


def test_an_image_that_is_missing_is_built_by_the_command_that_is_named(docker):
    docker('[ "$1" = version ]')

    with pytest.raises(InputError, match=r"make images REGISTRY=ghcr.io/a TAG=2 NAMES=ingest-data"):
        find_engine().inspect_image("ghcr.io/a/mulgil/ingest-data:2")


def test_an_image_of_other_code_is_refused_before_anything_runs(docker):
    facts = {"Id": "sha256:" + "a" * 64, "Config": {"Labels": {f"{CODE_LABEL}.ingest_data": "of last week"}}}
    docker(f"""[ "$1" = version ] || echo '{json.dumps([facts])}'""")
    launcher = DockerLauncher(find_engine(), "run-1", lambda run_id: False)

    with pytest.raises(InputError, match=r"other code of ingest_data(.|\n)*make images NAMES=ingest-data"):
        launcher.check("exec-ingest-data", Container(image="mulgil/ingest-data:0.1.0", command=("python",)))


def test_what_killed_runners_left_is_removed_and_what_others_run_is_not(docker, tmp_path):
    removed = tmp_path / "removed"
    docker(
        'case "$1" in\n'
        "  ps) printf 'one\\tgone\\ntwo\\tbusy\\nthree\\tmine\\n';;\n"
        f'  rm) echo "$*" > {removed};;\n'
        "esac"
    )

    DockerLauncher(find_engine(), "mine", lambda run_id: run_id == "busy").reap()

    assert removed.read_text(encoding="utf-8").split() == ["rm", "--force", "--volumes", "one", "three"]
