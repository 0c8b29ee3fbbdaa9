"""Interpreters that wait for their step, as real processes."""

import asyncio
import os
import signal

import pytest

from mulgil.local.environments import find_environment
from mulgil.local.interpreter import Interpreter
from mulgil.local.interpreter_tree import InterpreterTree
from mulgil.local.interpreters import Interpreters, module_of

IMAGE = "mulgil/ingest-data:0.1.0"
COMMAND = ["python", "-m", "components.ingest_data"]


def hand_over(folder, *flags, images=(IMAGE,), image=IMAGE, before=None):
    """Prepare, give a command line, and return exit code and log; the code is None where nobody waited."""
    log = folder / "log.txt"
    log.touch()

    async def scenario():
        interpreters = Interpreters(images, folder)
        await interpreters.prepare()
        if before is not None:
            await before(interpreters)
        try:
            process = await interpreters.hand_over(image, [*COMMAND, *flags], os.environ, folder, log)
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


def test_nobody_waits_for_a_command_line_that_is_not_its_images(tmp_path):
    assert hand_over(tmp_path, "--help", image="mulgil/roll-out-model:0.1.0")[0] is None


async def grown(interpreters):
    """Wait for all that can be imported ahead."""
    while interpreters._imports:
        await asyncio.gather(*interpreters._imports)
    return [await growing for tree in set(interpreters._trees.values()) for growing in tree._growing.values()]


def test_one_that_died_is_no_help_and_no_harm(tmp_path):
    async def kill(interpreters):
        for interpreter in await grown(interpreters):
            os.killpg(interpreter.pid, signal.SIGKILL)

    assert hand_over(tmp_path, "--help", before=kill)[0] is None


def test_one_that_imported_what_was_edited_since_is_not_used(tmp_path, monkeypatch):
    async def edit(interpreters):
        await grown(interpreters)
        monkeypatch.setattr("mulgil.local.interpreters.recipe_of", lambda environment: "another")

    assert hand_over(tmp_path, "--help", before=edit)[0] is None


def test_steps_side_by_side_and_those_tried_again_each_get_a_copy(tmp_path):
    async def scenario():
        interpreters = Interpreters([IMAGE], tmp_path)
        await interpreters.prepare()
        logs = [tmp_path / f"log-{number}.txt" for number in range(3)]
        for log in logs:
            log.touch()
        give = [
            interpreters.hand_over(IMAGE, [*COMMAND, "--help"], os.environ, tmp_path, log) for log in logs
        ]
        processes = await asyncio.gather(*give)
        codes = await asyncio.gather(*(process.wait() for process in processes))
        await interpreters.close()
        return codes, len({process.pid for process in processes}), [log.read_text() for log in logs]

    codes, processes, logs = asyncio.run(scenario())

    assert codes == [0, 0, 0]
    assert processes == 3
    assert all("--quarantine-path" in log for log in logs)


def test_the_signal_that_ended_a_step_is_told(tmp_path):
    async def scenario():
        interpreters = Interpreters([IMAGE], tmp_path)
        await interpreters.prepare()
        (interpreter, *_) = await grown(interpreters)
        step = await interpreter.copy()
        os.kill(step.pid, signal.SIGSEGV)
        code = await step.wait()
        await interpreters.close()
        return code

    assert asyncio.run(scenario()) == -signal.SIGSEGV


def test_a_step_that_is_limited_to_a_core_limits_no_interpreter_that_starts_beside_it(tmp_path):
    cores = os.sched_getaffinity(0)

    async def scenario():
        tree = InterpreterTree(find_environment(IMAGE), ["ingest_data"], tmp_path)
        os.sched_setaffinity(0, {min(cores)})
        try:
            step = await tree.copy("ingest_data")
        finally:
            os.sched_setaffinity(0, cores)
        given = os.sched_getaffinity(step.pid)
        step.end()
        await tree.close()
        return given

    assert asyncio.run(scenario()) == cores


def test_copies_draw_random_numbers_of_their_own(tmp_path):
    """As processes do that each import NumPy."""
    (tmp_path / "drawing").mkdir()
    (tmp_path / "drawing" / "__main__.py").write_text(
        "import random, numpy\nprint(random.random(), numpy.random.random())\n", encoding="utf-8"
    )
    environment = find_environment(IMAGE)
    environment.variables["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"

    async def scenario():
        origin = await Interpreter.start(environment, tmp_path)
        await origin.load(["random", "numpy.random"])
        logs = [tmp_path / f"log-{number}.txt" for number in range(2)]
        for log in logs:
            log.touch()
            step = await origin.copy()
            await step.give("drawing", [], {}, tmp_path, log)
            assert await step.wait() == 0
        origin.end()
        return [log.read_text(encoding="utf-8").split() for log in logs]

    first, second = asyncio.run(scenario())

    assert len({*first, *second}) == 4


def test_a_component_that_cannot_be_imported_says_so_in_its_log(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").touch()
    (tmp_path / "broken" / "__main__.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    log = tmp_path / "log.txt"
    log.touch()
    environment = find_environment(IMAGE)
    environment.variables["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"

    async def scenario():
        interpreter = await Interpreter.start(environment, tmp_path)
        await interpreter.load(["broken.__main__:load_core"])
        await interpreter.give("broken", [], {}, tmp_path, log)
        return await interpreter.wait()

    assert asyncio.run(scenario()) == 1
    assert "nowhere_to_be_found" in log.read_text(encoding="utf-8")


def test_those_that_nobody_needed_end(tmp_path):
    async def scenario():
        interpreters = Interpreters([IMAGE], tmp_path)
        await interpreters.prepare()
        waiting = await grown(interpreters)
        await interpreters.forget(IMAGE)
        ended = [interpreter.is_alive for interpreter in waiting]
        await interpreters.close()
        return ended

    assert asyncio.run(scenario()) == [False]


def test_those_whose_run_is_gone_end(tmp_path):
    async def scenario():
        interpreter = await Interpreter.start(find_environment(IMAGE), tmp_path)
        copy = await interpreter.copy()
        interpreter._channel.close()
        copy._channel.close()
        return await asyncio.gather(interpreter.wait(), copy.wait())

    assert asyncio.run(scenario()) == [-signal.SIGKILL] * 2


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
