"""Pages of the runs on this machine, written to files."""

from __future__ import annotations

from pathlib import Path

from mulgil.artifacts import FeatureSelection, write_text
from mulgil.home import home
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_store import RunRecord
from mulgil.reports.evidence import RunEvidence, read_evidence
from mulgil.reports.run_page import render_run_page
from mulgil.reports.sample_rows import read_samples

REPORT = "report.html"


def gather(run: RunRecord) -> RunEvidence:
    """Read everything that a run of this machine left behind."""
    return read_evidence(run, open_run_store().list_tasks(run.run_id), folder_of(run.run_id))


def find_selection(project: str) -> FeatureSelection | None:
    """Return which features a project's newest run that trained has chosen; `None` where it chose none."""
    # Looking leaves no store behind.
    runs = open_run_store().list_runs() if home().is_dir() else []
    for run in runs:
        if run.project == project and (history := gather(run).history):
            return history.selection
    return None


def write_report(run: RunRecord, path: Path | None = None) -> Path:
    """Write a run's page.

    Args:
        run: The run.
        path: The file; `report.html` in the run's folder where it is not given.

    Returns:
        The file.
    """
    place = path or folder_of(run.run_id) / REPORT
    evidence = gather(run)
    write_text(place, render_run_page(evidence, read_samples(evidence)))
    return place
