"""What differs between two runs."""

import shutil

import pytest
import yaml
from run_folders import DATASET, EVALUATION, HEART, Made, interval

from mulgil.reports.comparison import NOTHING, compare
from mulgil.reports.comparison_page import render_comparison_page
from mulgil.reports.writing import gather


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))


@pytest.fixture
def changed(tmp_path):
    """The heart project with another network and another meaning of a column."""
    folder = tmp_path / "changed"
    shutil.copytree(HEART, folder)
    for name, change in (("project.yaml", _smaller), ("data_dictionary.yaml", _narrower)):
        content = yaml.safe_load((folder / name).read_text())
        change(content)
        (folder / name).write_text(yaml.safe_dump(content))
    return folder


def _smaller(project):
    project["training"]["hidden_units"] = [8, 4]


def _narrower(dictionary):
    next(column for column in dictionary["columns"] if column["name"] == "age")["range"] = [20, 100]


def of(rows):
    return {row.name: (row.a, row.b) for row in rows}


def pair(a, b):
    return compare(gather(a.write()), gather(b.write()))


def test_two_equal_runs_differ_in_nothing():
    comparison = pair(Made(), Made(run_id="b"))

    assert comparison.settings == ()
    assert comparison.is_on_same_rows
    for rows in (comparison.fingerprints, comparison.metrics, comparison.verdicts, comparison.durations):
        assert rows
        assert not any(row.is_different for row in rows)


def test_settings_columns_and_parameters_that_differ_are_named_and_no_others(changed):
    comparison = pair(Made(), Made(run_id="b", project=changed, parameters={"source": "b.csv"}))

    assert of(comparison.settings) == {
        "parameter source": (NOTHING, "b.csv"),
        "training.hidden_units": ("[16]", "[8, 4]"),
        "column age.range": ("[18.0, 110.0]", "[20.0, 100.0]"),
    }


def test_metrics_stand_side_by_side_with_their_intervals_and_difference():
    worse = EVALUATION.model_copy(update={"metrics": {**EVALUATION.metrics, "roc_auc": interval(0.8)}})
    row = pair(Made(), Made(run_id="b", evaluation=worse)).metrics[0]

    assert (row.a, row.b, row.note) == (
        "0.910 (0.860 to 0.950)",
        "0.800 (0.750 to 0.840)",
        "-0.110",
    )


def test_metrics_on_other_rows_are_said_to_be(tmp_path):
    comparison = pair(Made(), Made(run_id="b", dataset=DATASET.model_copy(update={"fingerprint": "e" * 64})))

    assert comparison.is_on_same_rows is False
    assert "different rows" in render_comparison_page(comparison)


def test_a_failed_run_can_be_compared():
    comparison = pair(Made(), Made(run_id="b", failed=("ingest-data", 2, "no")))

    assert of(comparison.fingerprints)["state"] == ("succeeded", "failed")
    assert of(comparison.durations)["train-model"] == ("1.0 s", "blocked")
    assert comparison.is_on_same_rows is None
    page = render_comparison_page(comparison)
    assert "blocked" in page
    assert "src=" not in page
    assert "href=" not in page
