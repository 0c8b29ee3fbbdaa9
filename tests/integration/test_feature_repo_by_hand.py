"""Feast's own command line on the feature repo, as a person types it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.feature_store import open_feature_store
from feature_repo.layout import StoreLayout
from feature_repo.translation import translate
from mulgil.contract import ColumnType, load_project
from mulgil.contract.specifications import Feature, FeatureSpecification, specify_features
from mulgil.home import SOURCE_ROOT

OTHER = FeatureSpecification(
    "key", ColumnType.TEXT, "seen_at", (Feature("weight", ColumnType.FLOAT, "Body weight."),)
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Feast's files stand beside the repo: a copy of it keeps the test out of the real `.mulgil`."""
    shutil.copytree(SOURCE_ROOT / "feature_repo", tmp_path / "feature_repo")
    return tmp_path


def write_derived(folder: Path) -> Path:
    """Write a project with a derived column."""
    folder.mkdir()
    (folder / "project.yaml").write_text(
        "name: ratios\nproblem: {goal: g, success_measure: s}\ntask: binary_classification\n"
        "source: {kind: csv, location: rows.csv}\n"
    )
    (folder / "data_dictionary.yaml").write_text(
        "columns:\n"
        "- {name: key, role: entity, type: integer, description: Who.}\n"
        "- {name: at, role: event_timestamp, type: timestamp, description: When.}\n"
        "- {name: ill, role: target, type: boolean, description: Whether.}\n"
        "- {name: debt, type: float, description: Owed.}\n"
        "- {name: income, type: float, description: Earned.}\n"
        "- {name: ratio, type: float, derived: debt / income, missing: mean, description: Ratio.}\n"
    )
    return folder


def feast(checkout: Path, *arguments: str, project: str | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "MULGIL_PROJECT"}
    environment |= {"PYTHONPATH": str(SOURCE_ROOT)} | ({"MULGIL_PROJECT": project} if project else {})
    done = subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", "feature_repo", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_apply_list_and_materialize_work_by_hand_and_leave_other_definitions_alone(checkout: Path) -> None:
    layout = StoreLayout(checkout / ".mulgil" / "feature_store")
    breast_cancer = load_project(SOURCE_ROOT / "projects" / "breast_cancer")
    name = f"breast_cancer_{specify_features(breast_cancer.dictionary).version}"

    # From a fresh clone: nothing is there yet. The first is a project of one's own.
    ratios = str(write_derived(checkout / "ratios"))
    assert "Deploying infrastructure for ratios_" in feast(checkout, "apply", project=ratios)

    # A run of another project.
    seen = datetime(2020, 1, 1, tzinfo=UTC)
    rows = {
        "key": ["a", "b"],
        "seen_at": pa.array([seen, seen], pa.timestamp("us", "UTC")),
        "weight": [1.5, None],
    }
    path = layout.offline("other", OTHER.version)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(rows), path)
    other = translate("other", OTHER, path)
    store = open_feature_store(layout.registry, layout.root / "unused.db")
    store.apply([other.entity, other.source, other.view, other.service])
    store.materialize(seen, seen, feature_views=[other.view.name])

    assert f"Deploying infrastructure for {name}" in feast(checkout, "apply")
    (kept,) = open_feature_store(layout.registry, layout.root / "unused.db").list_on_demand_feature_views()
    assert kept.name.startswith("ratios_") and [field.name for field in kept.features] == ["ratio"]
    listed = feast(checkout, "feature-views", "list")
    assert name in listed
    assert other.view.name in listed

    feast(checkout, "materialize-incremental", "--views", other.view.name, "2030-01-01T00:00:00")
    with sqlite3.connect(layout.root / "online" / "by_hand_rows.db") as database:
        ((count,),) = database.execute(f"SELECT count(*) FROM mulgil_{other.view.name}").fetchall()
    database.close()
    assert count == 2


def test_a_folder_that_is_no_project_is_refused_without_a_traceback(checkout: Path) -> None:
    with pytest.raises(AssertionError) as refusal:
        feast(checkout, "apply", project=str(checkout / "nowhere"))

    assert "There is no project folder" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)
