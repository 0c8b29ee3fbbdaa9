"""Finding a run or its step by what a person types."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from mulgil.errors import InputError, describe
from mulgil.local.run_store import RunRecord, RunStore

LATEST = "latest"


def find_run(store: RunStore, name: str) -> RunRecord:
    """Return a run by its name, or the newest for `latest`.

    Raises:
        InputError: There is no such run; with the nearest names.
    """
    runs = store.list_runs()
    if name == LATEST and runs:
        return runs[0]
    by_name = {run.run_id: run for run in runs}
    if name in by_name:
        return by_name[name]
    # A part of a name, such as its last four letters, is as near as can be.
    parts = [run_id for run_id in by_name if name and name in run_id]
    near = list(dict.fromkeys([*parts, *difflib.get_close_matches(name, by_name, n=3, cutoff=0.5)]))[:3]
    raise InputError(
        describe(
            "There is no such run",
            expected=" or ".join([*near, LATEST]) if near else "",
            received=f"run={name}",
            next_step="see `mulgil runs list`" if runs else "start one with `mulgil run`",
        )
    )


def find_task(titles: Mapping[str, str], name: str) -> str:
    """Return the path of a task by what a person calls it: its path, its title, or its component.

    Args:
        titles: Titles by path.
        name: `train_model` is what the component is called, `train-model` the step.

    Raises:
        InputError: There is no such task; with the nearest names.
    """
    wanted = name.replace("_", "-")
    for path, title in titles.items():
        if wanted in (path, title, path.rpartition("/")[2]):
            return path
    near = difflib.get_close_matches(wanted, titles.values(), n=3, cutoff=0.5) or list(titles.values())
    raise InputError(
        describe("The run has no such step", expected=" or ".join(near) or "none", received=f"step={name}")
    )
