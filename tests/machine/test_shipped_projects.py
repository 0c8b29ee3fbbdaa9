"""The shipped projects from their sources to approved models, where no other test runs them."""

import json
import subprocess
import sys

import pytest

from mulgil.home import SOURCE_ROOT

PROJECTS = ["diabetes", "digits", "pump_faults", "sign_language", "wine"]


@pytest.mark.parametrize("project", PROJECTS)
def test_a_shipped_project_is_approved_and_not_surely_below_a_linear_model(tmp_path, project, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "mulgil.cli", "run", f"projects/{project}", "--no-deploy"]
    subprocess.run(command, cwd=SOURCE_ROOT, check=True, timeout=1200)
    [path] = (tmp_path / "home" / "runs").glob("*/tasks/evaluate-model/artifacts/evaluation")
    measured = json.loads(path.read_text(encoding="utf-8"))
    # Not below it: the interval of the difference has zero in it, or lies above.
    assert measured["improvements"]["reference"]["high"] >= 0, measured["improvements"]
