"""Networks tuned by Hyperband, and shown beside others, from rows to a bundle."""

import json

from learning_project import train_project, write_task_project

from mulgil.artifacts import read_bundle
from mulgil.contract import Task


def test_networks_are_tuned_by_hyperband_with_lists_among_the_choices(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    section = {
        "hidden_units": [2],
        "max_epochs": 4,
        "folds": 2,
        "tuning": {
            "method": "hyperband",
            "trials": 4,
            "space": {
                "hidden_units": {"choices": [[2], [8, 4]]},
                "learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"},
            },
        },
    }
    history = train_project(
        write_task_project(tmp_path, Task.BINARY_CLASSIFICATION, training=section), tmp_path
    )

    assert len(history.trials) == 5
    assert all(trial.settings["hidden_units"] in ([2], [8, 4]) for trial in history.trials[1:])
    assert len({trial.settings["learning_rate"] for trial in history.trials[1:]}) > 1
    assert json.loads((tmp_path / "history.json").read_text())["settings"] == history.settings


def test_a_ladder_and_a_learning_curve_change_no_byte_of_the_network_that_is_served(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    network = {"hidden_units": [4], "learning_rate": 0.05, "max_epochs": 8, "patience": 3, "folds": 2}
    shown = {"capacity_ladder": {}, "learning_curve": {"shares": [0.5, 1.0]}}
    files = []
    for name, more in (("plain", {}), ("shown", shown)):
        project = write_task_project(
            tmp_path / name, Task.BINARY_CLASSIFICATION, training={**network, **more}
        )
        history = train_project(project, tmp_path / name)
        files.append(read_bundle(tmp_path / name / "bundle").files)

    assert files[0] == files[1]
    assert history.ladder.steps[0].name == "hidden_units=none"
    assert len(history.learning_curve.points) == 2
