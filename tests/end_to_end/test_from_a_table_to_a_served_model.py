"""The whole path, by the command line alone: a table in, an endpoint out, real processes in between."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from heart_rows import write_heart_rows

from mulgil.artifacts import FeatureServiceReference
from mulgil.contract import load_project
from mulgil.home import SOURCE_ROOT
from mulgil.local.run_store import RunStore, State

MULGIL = Path(sys.prefix) / "bin" / "mulgil"


class Laptop:
    """A home of its own, and the command line on it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def mulgil(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(MULGIL), *words],
            env={**os.environ, "MULGIL_HOME": str(self.home), "COLUMNS": "200"},
            cwd=SOURCE_ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def artifact(self, run_id: str, task: str, name: str) -> Path:
        (path,) = (self.home / "runs" / run_id / "tasks").glob(f"**/{task}/artifacts/{name}")
        return path


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    laptop = Laptop(tmp_path_factory.mktemp("home"))
    yield laptop
    down = laptop.mulgil("down")
    assert down.returncode == 0, down.stderr


@pytest.fixture(scope="module")
def clinical(laptop):
    """The shipped default project, run as `make run` does."""
    run = laptop.mulgil("run", "projects/breast_cancer")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def hearts(laptop, tmp_path_factory):
    """A project whose columns have every type, missing values included, on rows of a known model."""
    rows = write_heart_rows(tmp_path_factory.mktemp("rows") / "rows.data")
    run = laptop.mulgil("run", "projects/heart_disease", "--source", str(rows))
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def run_id_of(printed):
    return re.search(r"^run (\S+)", printed, re.MULTILINE).group(1).rstrip(":")


def curl_of(printed):
    (line,) = [line for line in printed.splitlines() if line.startswith("curl ")]
    return shlex.split(line)


def test_a_run_ends_with_endpoint_version_metric_and_curl(clinical):
    assert re.search(r"^endpoint +http://127\.0\.0\.1:\d+/", clinical, re.MULTILINE)
    assert re.search(r"^model version +breast-cancer 1$", clinical, re.MULTILINE)
    value, low, high = map(
        float,
        re.search(r"^test roc_auc +([\d.]+) \(95% interval ([\d.]+) to ([\d.]+)", clinical, re.M).groups(),
    )
    assert 0.9 < low <= value <= high <= 1
    assert clinical.rstrip().splitlines()[-1].startswith("curl ")


def test_a_run_leaves_a_page_with_all_that_it_did(clinical):
    page = Path(re.search(r"^report +(\S+)$", clinical, re.MULTILINE).group(1)).read_text()

    for expected in (
        "Approved by every gate and serving.",
        "ROC curve",
        "mean_radius by answer",
        "kind: Inf",
    ):
        assert expected in page


def test_the_printed_curl_works_as_pasted(clinical):
    command = curl_of(clinical)
    answer = subprocess.run(
        [*command, "-w", "\n%{http_code}"], capture_output=True, text=True, timeout=30, check=True
    )

    body, code = answer.stdout.rsplit("\n", 1)
    (probability,) = json.loads(body)["predictions"]
    assert code == "200"
    assert 0 <= probability <= 1


@pytest.mark.parametrize("name", ["breast_cancer", "heart_disease"])
def test_served_predictions_equal_the_saved_models_on_every_test_row(laptop, name, request):
    import tensorflow as tf

    printed = request.getfixturevalue({"breast_cancer": "clinical", "heart_disease": "hearts"}[name])
    run_id = run_id_of(printed)
    rows = pq.read_table(laptop.artifact(run_id, "materialize-features", "training_rows") / "test.parquet")
    features = load_project(SOURCE_ROOT / "projects" / name).dictionary.features
    instances = rows.select([column.name for column in features]).to_pylist()
    predict_url = next(word for word in curl_of(printed) if word.startswith("http://"))

    answer = httpx.post(predict_url, json={"instances": instances}, timeout=30)

    signature = tf.saved_model.load(
        str(laptop.artifact(run_id, "train-model", "bundle") / "saved_model")
    ).signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    tensors = {
        column: tf.constant(
            [("" if row[column] is None else row[column]) for row in instances]
            if spec.dtype == tf.string
            else [float("nan") if row[column] is None else float(row[column]) for row in instances],
            dtype=spec.dtype,
        )
        for column, spec in inputs.items()
    }
    expected = signature(**tensors)["probability"].numpy()
    assert answer.status_code == 200
    assert answer.json()["predictions"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(instances) > 50
    if name == "heart_disease":
        assert any(row["ca"] is None for row in instances) or any(row["thal"] is None for row in instances)


def test_the_run_is_on_record(laptop, clinical):
    run_id = run_id_of(clinical)
    store = RunStore(laptop.home / "runs.sqlite")

    assert store.read_run(run_id).state is State.SUCCEEDED
    assert {task.state for task in store.list_tasks(run_id)} == {State.SUCCEEDED}
    assert run_id in laptop.mulgil("runs", "list").stdout
    shown = laptop.mulgil("runs", "show", run_id).stdout
    assert "deploy-model" in shown
    assert "succeeded" in shown


def planned(printed):
    return {line.split()[0]: line.split()[1] for line in printed.splitlines() if not line.startswith(" ")}


def test_a_plan_repeats_nothing_that_did_not_change(laptop, clinical):
    assert planned(laptop.mulgil("plan", "projects/breast_cancer").stdout) == {
        "ingest-data": "cached",
        "validate-data": "cached",
        "materialize-features": "reconcile",
        "train-model": "cached",
        "evaluate-model": "reconcile",
        "register-model": "reconcile",
        "deploy-model": "reconcile",
        "roll-out-model": "reconcile",
    }


@pytest.mark.parametrize(
    ("setting", "changed", "reason"),
    [
        ("split.seed=5", "ingest-data", "project: split.seed: 0 → 5"),
        ("training.dropout=0.45", "train-model", "→ 0.45"),
        ("gates.champion_margin=0.2", "evaluate-model", "project: gates.champion_margin: 0.02 → 0.2"),
    ],
)
def test_a_plan_names_the_steps_that_follow_from_a_change(laptop, clinical, setting, changed, reason):
    printed = laptop.mulgil("plan", "projects/breast_cancer", "--set", setting).stdout
    steps = planned(printed)
    order = list(steps)
    before, after = order[: order.index(changed)], order[order.index(changed) + 1 :]

    assert next(line for line in printed.splitlines() if line.startswith(changed)).endswith(reason)
    assert {steps[step] for step in before} <= {"cached", "reconcile"}
    assert {steps[step] for step in after} == {"run"}


def states_of(printed):
    return dict(re.findall(r"^  ([a-z-]+): (cached|reconciled|succeeded)", printed, re.MULTILINE))


def test_a_second_run_starts_no_step_but_the_deployment_and_serves_again_after_down(laptop, clinical):
    assert laptop.mulgil("down").returncode == 0

    second = laptop.mulgil("run", "projects/breast_cancer")

    assert second.returncode == 0, second.stderr
    assert states_of(second.stdout) == {
        "ingest-data": "cached",
        "validate-data": "cached",
        "materialize-features": "reconciled",
        "train-model": "cached",
        "evaluate-model": "reconciled",
        "register-model": "reconciled",
        "deploy-model": "succeeded",
        "roll-out-model": "succeeded",
    }
    assert laptop.mulgil("predict", "projects/breast_cancer").returncode == 0


def test_features_that_were_deleted_are_materialized_again(laptop, clinical):
    service = laptop.artifact(run_id_of(clinical), "materialize-features", "feature_service")
    online_store = Path(FeatureServiceReference.read(service).online_store)
    online_store.unlink()

    again = laptop.mulgil("run", "projects/breast_cancer")

    assert again.returncode == 0, again.stderr
    assert states_of(again.stdout)["materialize-features"] == "succeeded"
    assert online_store.is_file()


def test_a_finished_run_is_not_resumed(laptop, clinical):
    resumed = laptop.mulgil("run", "--resume", run_id_of(clinical))

    assert resumed.returncode == 2
    assert "nothing to resume" in resumed.stderr


def test_get_isvc_reads_like_kubectl(laptop, clinical):
    header, *rows = laptop.mulgil("get", "isvc").stdout.splitlines()

    revisions = ["PREVROLLEDOUTREVISION", "LATESTREADYREVISION"]
    assert header.split() == ["NAME", "URL", "READY", "PREV", "LATEST", *revisions, "AGE"]
    (row,) = [row.split() for row in rows if row.split()[0] == "breast-cancer"]
    assert row[2:4] == ["True", "100"]


def test_predict_asks_the_deployed_model(laptop, clinical):
    asked = laptop.mulgil("predict", "projects/breast_cancer")

    assert asked.returncode == 0, asked.stderr
    first, *_ = asked.stdout.splitlines()
    assert 0 <= json.loads(first)["prediction"] <= 1
    assert "model version 1" in asked.stdout


def test_a_refused_request_says_column_expected_and_received(laptop, hearts, tmp_path):
    command = curl_of(hearts)
    instance = json.loads(command[command.index("-d") + 1])["instances"][0] | {"cp": "9"}
    row = tmp_path / "row.json"
    row.write_text(json.dumps(instance), encoding="utf-8")

    asked = laptop.mulgil("predict", "projects/heart_disease", "--file", str(row))

    assert asked.returncode == 2
    assert "cp" in asked.stderr
    assert "1, 2, 3, 4" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_what_was_deployed_comes_back_after_down_and_up(laptop, clinical):
    command = curl_of(clinical)
    before = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    assert laptop.mulgil("down").returncode == 0
    assert subprocess.run(command, capture_output=True, timeout=30).returncode != 0
    assert laptop.mulgil("up").returncode == 0

    after = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert json.loads(after) == json.loads(before)


def test_a_flipped_target_is_refused_by_a_declared_association(laptop, tmp_path):
    rows = write_heart_rows(tmp_path / "rows.data")
    lines = [line.rsplit(",", 1) for line in rows.read_text(encoding="utf-8").splitlines()]
    flipped = tmp_path / "flipped.data"
    flipped.write_text("".join(f"{cells},{0 if int(num) else 1}\n" for cells, num in lines), encoding="utf-8")

    run = laptop.mulgil("run", "projects/heart_disease", "--source", str(flipped))

    assert run.returncode == 3
    assert "validate-data failed" in run.stderr
    assert "thalach" in run.stderr
    assert f"Once it is mended: mulgil run projects/heart_disease --source {flipped}\n" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_model_below_its_floor_is_refused_and_not_deployed(laptop, hearts, tmp_path):
    rows = write_heart_rows(tmp_path / "rows.data")
    before = laptop.mulgil("get", "isvc", "heart-disease", "-o", "json").stdout

    run = laptop.mulgil(
        "run",
        "projects/heart_disease",
        "--source",
        str(rows),
        "--set",
        "gates.floors={roc_auc: 1.0}",
        "--set",
        "training.max_epochs=2",
    )

    assert run.returncode == 3
    assert "evaluate-model failed" in run.stderr
    assert "roc_auc" in run.stderr
    assert (
        json.loads(laptop.mulgil("get", "isvc", "heart-disease", "-o", "json").stdout)["spec"]
        == (json.loads(before)["spec"])
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "projects/nowhere"], "There is no project folder"),
        (["run", "projects/breast_cancer", "--set", "training.epochs=3"], "training.epochs"),
        (["run", "projects/heart_disease", "--source", "nowhere.csv"], "nowhere.csv"),
        (["compile", "nonsense"], "nonsense"),
        (["runs", "show", "nonsense"], "nonsense"),
        (["get", "isvc", "nonsense"], "nonsense"),
        (["predict", "projects/nowhere"], "project.yaml"),
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_is_a_message_and_exit_code_2(laptop, words, message):
    command = laptop.mulgil(*words)

    assert command.returncode == 2
    assert message in command.stderr
    assert "Traceback" not in command.stderr


def test_two_commands_serve_a_model_of_a_table_that_nobody_tuned_for(laptop, tmp_path):
    """A spreadsheet of another language: its encoding, numbers, names, a typing error, codes for missing."""
    draw = np.random.default_rng(0)
    size, age = draw.normal(80, 20, 600), draw.integers(1, 90, 600).astype(float)
    rent = [
        f"{9 * s - a + 400:,.2f} €".translate(str.maketrans(",.", ".,"))
        for s, a in zip(size, age, strict=True)
    ]
    size[7] = 1e9
    frame = pd.DataFrame(
        {
            "Größe (m²)": [f"{s:.1f}".replace(".", ",") for s in size],
            "class": [f"{a:.0f}" if i % 9 else "-999" for i, a in enumerate(age)],
            "Ort": ["Köln", "München", "k. A."] * 200,
            "Miete": rent,
        }
    )
    frame.to_csv(tmp_path / "Wohnungen.csv", sep=";", index=False, encoding="cp1252")

    drafted = laptop.mulgil(
        "init", str(tmp_path / "flats"), "--from", str(tmp_path / "Wohnungen.csv"), "--target", "Miete"
    )
    assert drafted.returncode == 0, drafted.stderr
    run = laptop.mulgil("run", str(tmp_path / "flats"))
    assert run.returncode == 0, run.stdout + run.stderr

    answer = subprocess.run(curl_of(run.stdout), capture_output=True, text=True, timeout=30, check=True)
    (rent_foretold,) = json.loads(answer.stdout)["predictions"]
    assert 300 < rent_foretold < 2_000
