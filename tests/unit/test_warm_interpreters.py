"""Interpreters kept warm between runs, their keeper and they as real processes."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mulgil.home import SOURCE_ROOT
from mulgil.local.environments import find_environment
from mulgil.local.interpreters import Interpreters
from mulgil.local.recipe import fingerprint_recipe
from mulgil.local.warm_interpreters import WarmInterpreters, count_ready, end_warm, keep_warm

IMAGE = "mulgil/roll-out-model:0.1.0"
COMMAND = ["python", "-m", "components.roll_out_model"]


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    yield
    end_warm()


def wait_for(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def warm_up():
    # Each phase of a test would otherwise be an environment of its own.
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    keep_warm([IMAGE])
    wait_for(lambda: count_ready() == (1, 1))


def processes_of(home):
    """The processes whose environment has this home."""
    mark, found = f"MULGIL_HOME={home}\0".encode(), []
    for folder in Path("/proc").glob("[1-9]*"):
        try:
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes():
                found.append((int(folder.name), (folder / "cmdline").read_text().split("\0")))
        except OSError:
            continue
    return found


def keeper_of(home):
    (pid,) = [pid for pid, words in processes_of(home) if "mulgil.local.keeper" in words]
    return pid


def run_step(folder, *flags):
    """Give a command line to one that waits: whether it was kept warm, exit code and log."""
    log = folder / "log.txt"
    log.touch()

    async def scenario():
        interpreters = Interpreters([IMAGE], folder)
        await interpreters.prepare()
        is_warm = not interpreters._trees
        try:
            process = await interpreters.hand_over(IMAGE, [*COMMAND, *flags], os.environ, folder, log)
            return is_warm, await process.wait()
        finally:
            await interpreters.close()

    is_warm, code = asyncio.run(scenario())
    return is_warm, code, log.read_text(encoding="utf-8")


def test_a_step_is_run_by_one_that_was_kept_warm(tmp_path):
    warm_up()

    is_warm, code, log = run_step(tmp_path, "--help")

    assert is_warm
    assert code == 0
    assert "--rollout-path" in log


def test_its_exit_code_is_the_steps(tmp_path):
    warm_up()

    is_warm, code, log = run_step(
        tmp_path,
        *("--project-path", "nowhere", "--manifest-path", "manifest.yaml"),
        *("--dataset-path", "dataset", "--rollout-path", "rollout.json"),
    )

    assert is_warm
    assert code == 2
    assert "nowhere" in log
    assert "Traceback" not in log


def taken(count=1):
    """Interpreters that as many runs take at once, ended, as their numbers and what started them."""

    async def scenario():
        runs = [WarmInterpreters() for _ in range(count)]
        interpreters = [await run.take(find_environment(IMAGE)) for run in runs]
        variables = [
            Path(f"/proc/{one.pid}/environ").read_text(encoding="utf-8").split("\0") if one else None
            for one in interpreters
        ]
        for run in runs:
            run.close()
        for one in interpreters:
            if one is not None:
                os.killpg(one.pid, signal.SIGKILL)
                assert await one.wait() == -signal.SIGKILL
        return [one.pid if one else None for one in interpreters], variables

    return asyncio.run(scenario())


def test_runs_at_once_and_the_next_one_each_get_one_of_their_own():
    warm_up()

    first, _ = taken(count=2)
    assert count_ready() == (1, 1)
    second, _ = taken()

    assert None not in first
    assert len({*first, *second}) == 3


def test_one_that_started_with_other_variables_is_refused_and_replaced(monkeypatch):
    warm_up()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    assert taken()[0] == [None]
    wait_for(lambda: count_ready() == (1, 1))
    _, (variables,) = taken()

    assert "OMP_NUM_THREADS=1" in variables


def test_nothing_is_imported_while_a_run_goes_on(monkeypatch):
    warm_up()
    run = WarmInterpreters()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    assert taken()[0] == [None]
    time.sleep(1.2)
    assert count_ready() == (0, 1)
    run.close()

    wait_for(lambda: count_ready() == (1, 1))


def test_code_that_was_edited_never_runs_as_it_was(tmp_path):
    """In a checkout of its own, whose component says something else after the interpreter was started."""
    checkout = tmp_path / "checkout"
    for package in ("mulgil", "components", "feature_repo"):
        shutil.copytree(
            SOURCE_ROOT / package, checkout / package, ignore=shutil.ignore_patterns(".venv", "__pycache__")
        )
    shutil.copy(SOURCE_ROOT / "uv.lock", checkout)
    scenario = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(SOURCE_ROOT / "tests" / "unit")!r})
import test_warm_interpreters as t
folder, program = Path({str(tmp_path)!r}), Path({str(checkout)!r}, "components/roll_out_model/__main__.py")
assert str(t.SOURCE_ROOT) == {str(checkout)!r}
t.warm_up()
text = program.read_text()
program.write_text(text.replace('description="', 'description="Edited. '))
assert program.read_text() != text
is_warm, code, log = t.run_step(folder, "--help")
assert not is_warm
assert code == 0 and "Edited." in log, log
t.wait_for(lambda: t.count_ready() == (1, 1))
is_warm, code, log = t.run_step(folder, "--help")
assert is_warm
assert "Edited." in log, log
"""

    ended = subprocess.run(
        [sys.executable, "-c", scenario],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stderr


def test_what_an_import_may_have_read_makes_the_recipe(tmp_path):
    module, lock = tmp_path / "mulgil" / "module.py", tmp_path / "uv.lock"
    module.parent.mkdir()
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)

    def recipe(**variables):
        return fingerprint_recipe(tmp_path, lock, variables, root=tmp_path)

    seen = set()
    for change in (
        lambda: (module.write_text("a = 1"), lock.write_text("1")),
        lambda: module.write_text("a = 2"),
        lambda: os.utime(module, ns=(1, 1)),
        lambda: lock.write_text("2"),
        lambda: (packages / "new").mkdir(),
    ):
        change()
        assert recipe() == recipe(PWD="elsewhere", SHLVL="7")
        seen |= {recipe(), recipe(NAME="value")}

    assert len(seen) == 10


def test_a_killed_keeper_leaves_no_interpreter_and_a_run_starts_its_own(tmp_path):
    warm_up()
    keeper = keeper_of(tmp_path / "home")

    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: not processes_of(tmp_path / "home"))
    is_warm, code, _ = run_step(tmp_path, "--help")

    assert not is_warm
    assert code == 0
    warm_up()


def test_what_was_given_away_outlives_its_keeper():
    warm_up()

    async def scenario():
        run = WarmInterpreters()
        taken = await run.take(find_environment(IMAGE))
        await asyncio.to_thread(end_warm)
        await asyncio.sleep(0.2)
        is_alive = taken.is_alive
        run.close()
        os.killpg(taken.pid, signal.SIGKILL)
        return is_alive, await taken.wait()

    assert asyncio.run(scenario()) == (True, -signal.SIGKILL)


def test_those_that_were_killed_are_missed(tmp_path):
    warm_up()
    (waiting,) = [
        pid for pid, words in processes_of(tmp_path / "home") if "mulgil.local.waiting_interpreter" in words
    ]

    os.kill(waiting, signal.SIGKILL)

    wait_for(lambda: count_ready() == (0, 1))
    is_warm, code, _ = run_step(tmp_path, "--help")
    assert not is_warm
    assert code == 0


def test_a_keeper_that_does_not_answer_holds_no_run_up_and_is_ended(tmp_path):
    warm_up()
    keeper = keeper_of(tmp_path / "home")
    os.kill(keeper, signal.SIGSTOP)

    is_warm, code, _ = run_step(tmp_path, "--help")
    end_warm()

    assert not is_warm
    assert code == 0
    wait_for(lambda: not processes_of(tmp_path / "home"))


def test_down_ends_all_of_them(tmp_path):
    warm_up()
    assert len(processes_of(tmp_path / "home")) == 2

    end_warm()

    assert not processes_of(tmp_path / "home")
    end_warm()
