"""Interpreters that wait for their step, as real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from mulgil.home import SOURCE_ROOT
from mulgil.local.interpreters import Interpreters, module_of

IMAGE = "mulgil/ingest-data:0.1.0"
COMMAND = ["python", "-m", "components.ingest_data"]


def hand_over(folder, *flags, images=(IMAGE,), before=None):
    """Prepare, give a command line, and return exit code and log; the code is None where nobody waited."""
    log = folder / "log.txt"
    log.touch()

    async def scenario():
        interpreters = Interpreters(images, folder)
        await interpreters.prepare()
        if before is not None:
            await before(interpreters)
        try:
            process = await interpreters.hand_over([*COMMAND, *flags], os.environ, folder, log)
            return None if process is None else await process.wait()
        finally:
            await interpreters.close()

    return asyncio.run(scenario()), log.read_text(encoding="utf-8")


def test_one_that_waits_becomes_the_step_with_its_flags_and_its_log(tmp_path):
    code, log = hand_over(tmp_path, "--help")

    assert code == 0
    assert "--quarantine-path" in log


def test_its_exit_code_is_the_steps(tmp_path):
    code, log = hand_over(
        tmp_path,
        *("--project-path", "nowhere", "--dataset-path", "dataset", "--quarantine-path", "quarantine"),
    )

    assert code == 2
    assert "nowhere" in log
    assert "Traceback" not in log


def test_nobody_waits_for_a_component_that_was_not_expected(tmp_path):
    assert hand_over(tmp_path, "--help", images=())[0] is None


def test_one_that_died_is_no_help_and_no_harm(tmp_path):
    async def kill(interpreters):
        (process,) = interpreters._waiting.values()
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    assert hand_over(tmp_path, "--help", before=kill)[0] is None


def test_steps_that_start_side_by_side_leave_no_interpreter_behind(tmp_path):
    async def scenario():
        interpreters = Interpreters([IMAGE, IMAGE], tmp_path)
        begun = []
        start = interpreters._start

        async def count(*what):
            begun.append(what)
            return await start(*what)

        interpreters._start = count
        await asyncio.gather(interpreters.prepare(), interpreters.prepare())
        waiting = len(interpreters._waiting)
        await interpreters.close()
        return len(begun), waiting

    assert asyncio.run(scenario()) == (1, 1)


def test_a_component_that_cannot_be_imported_says_so_in_its_log(tmp_path):
    package = tmp_path / "broken"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    log = tmp_path / "log.txt"
    log.touch()
    step = {"arguments": [], "variables": {}, "folder": str(tmp_path), "log": str(log)}

    ended = subprocess.run(
        [sys.executable, "-m", "mulgil.local.waiting_interpreter", "broken"],
        input=json.dumps(step) + "\n",
        env={**os.environ, "PYTHONPATH": f"{SOURCE_ROOT}{os.pathsep}{tmp_path}"},
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    assert "nowhere_to_be_found" in log.read_text(encoding="utf-8")


def test_those_that_nobody_needed_end(tmp_path):
    async def scenario():
        interpreters = Interpreters([IMAGE], tmp_path)
        await interpreters.prepare()
        (process,) = interpreters._waiting.values()
        await interpreters.close()
        return await process.wait()

    assert asyncio.run(scenario()) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["python", "-m", "components.train_model", "--help"], "components.train_model"),
        (["python", "-m", "pip"], None),
        (["sh", "-c", "exit"], None),
        ([], None),
    ],
)
def test_only_a_components_own_command_line_can_be_taken_over(words, module):
    assert module_of(words) == module
