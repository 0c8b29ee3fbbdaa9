"""The real pipeline under kills: resuming ends with what an undisturbed run gives, whatever was killed when.

`MULGIL_CHAOS_KILLS` is how many kills there are (50 where it is not set), `MULGIL_CHAOS_SEED` makes them the
same again.
"""

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from heart_rows import write_heart_rows

from mulgil.home import SOURCE_ROOT
from mulgil.local.plane.processes import ProcessIdentity, is_alive
from mulgil.local.run_store import RunStore, State

MULGIL = Path(sys.prefix) / "bin" / "mulgil"
KILLS = int(os.environ.get("MULGIL_CHAOS_KILLS", "50"))
SEED = int(os.environ.get("MULGIL_CHAOS_SEED", str(time.time_ns() % 10**6)))
RUN = ("run", "projects/breast_cancer", "--no-cache")
STEPS = 8

# What MLflow and the machine choose anew each time: identifiers, and a port that may be taken.
_CHOSEN_ANEW = re.compile(
    rb"\b[0-9a-f]{32}\b|127\.0\.0\.1:\d+|training-breast-cancer-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}"
)


class Laptop:
    """One home, always in the same place, as a bundle names its feature store by path."""

    def __init__(self, home):
        self.home = home

    def start(self, *words):
        return subprocess.Popen(
            [str(MULGIL), *words],
            env={**os.environ, "MULGIL_HOME": str(self.home)},
            cwd=SOURCE_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def mulgil(self, *words):
        process = self.start(*words)
        printed, _ = process.communicate(timeout=400)
        return process.returncode, printed

    def forget_everything(self):
        self.mulgil("down")
        shutil.rmtree(self.home, ignore_errors=True)

    def artifacts(self, run_id):
        """Content of every artifact of a run, by its place in it."""
        tasks = self.home / "runs" / run_id / "tasks"
        files = [file for folder in tasks.rglob("artifacts") for file in folder.rglob("*") if file.is_file()]
        return {file.relative_to(tasks).as_posix(): content_of(file) for file in files}


def differences(found, expected):
    """Where artifacts are not the same, with what stands around the first place that differs."""
    told = [f"only one has {place}" for place in found.keys() ^ expected.keys()]
    for place in found.keys() & expected.keys():
        pair = expected[place], found[place]
        if pair[0] != pair[1]:
            same = itertools.takewhile(lambda both: both[0] == both[1], zip(*pair, strict=False))
            first = sum(1 for _ in same)
            told.append(f"{place}: {[one[max(0, first - 80) : first + 40] for one in pair]}")
    return sorted(told)


def content_of(file):
    content = file.read_bytes()
    if file.name == "history":
        # How long it took.
        return json.dumps({**json.loads(content), "seconds": 0}).encode()
    return _CHOSEN_ANEW.sub(b"(chosen anew)", content)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    laptop = Laptop(tmp_path_factory.mktemp("chaos") / "home")
    yield laptop
    laptop.forget_everything()


@pytest.fixture(scope="module")
def undisturbed(laptop):
    """What a run gives that nobody disturbs, and how long it takes."""
    started = time.monotonic()
    code, printed = laptop.mulgil(*RUN)
    seconds = time.monotonic() - started
    assert code == 0, printed
    artifacts = laptop.artifacts(run_of(printed))
    assert len({place.split("/artifacts/")[0] for place in artifacts}) == STEPS
    return artifacts, seconds


def run_of(printed):
    return re.search(r"^run (\S+?):", printed, re.MULTILINE).group(1)


def children_of(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def below(pid):
    """The processes that one started, and that those started."""
    children = children_of(pid)
    return [*children, *(other for child in children for other in below(child))]


def steps_of(laptop):
    """The processes of the steps that work now."""
    identities = [
        ProcessIdentity.read(file) for file in (laptop.home / "runs").glob("*/tasks/**/process.json")
    ]
    return [identity.pid for identity in identities if is_alive(identity)]


def kill(process, what, chance, laptop):
    """Kill the runner, a step, an interpreter that waits for one, or all of them, each with its group.

    Returns:
        Whether there was one.
    """
    steps = steps_of(laptop)
    waiting = [pid for pid in below(process.pid) if pid not in steps]
    groups = {
        "runner": [process.pid],
        "step": [chance.choice(steps)] if steps else [],
        "interpreter": [chance.choice(waiting)] if waiting else [],
        "everything": [process.pid, *waiting, *steps],
    }[what]
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    return bool(groups)


def share_left(laptop):
    """The share of the steps that have not finished: a run that is resumed is a short one."""
    finished = len(list((laptop.home / "runs").glob("*/tasks/**/done.json")))
    return 1 - min(finished, STEPS) / (STEPS + 1)


def test_resuming_ends_with_what_an_undisturbed_run_gives(laptop, undisturbed, capsys):
    expected, seconds = undisturbed
    chance = random.Random(SEED)
    kills, runs = Counter(), 0
    with capsys.disabled():
        print(f"\nseed {SEED}, {KILLS} kills, a run takes {seconds:.0f} s", flush=True)
    while kills.total() < KILLS:
        laptop.forget_everything()
        runs += 1
        words = RUN
        for _ in range(10 * KILLS):
            process = laptop.start(*words)
            if kills.total() < KILLS:
                what = chance.choice(["runner", "step", "interpreter", "everything"])
                deadline = time.monotonic() + chance.uniform(0, seconds * share_left(laptop))
                # Where there is none at that moment, the next one is killed.
                while process.poll() is None:
                    if time.monotonic() >= deadline and kill(process, what, chance, laptop):
                        kills[what] += 1
                        break
                    time.sleep(0.02)
            printed, _ = process.communicate(timeout=400)
            if process.returncode == 0:
                break
            recorded = (laptop.home / "runs.sqlite").exists() and RunStore(
                laptop.home / "runs.sqlite"
            ).list_runs()
            # A kill before there is a run leaves nothing to resume.
            words = ("run", "--resume", "latest") if recorded else RUN
            if recorded and recorded[0].state is State.SUCCEEDED:
                # Killed when only its page was missing.
                break
        (record,) = RunStore(laptop.home / "runs.sqlite").list_runs()
        assert record.state is State.SUCCEEDED, printed
        assert differences(laptop.artifacts(record.run_id), expected) == []
        with capsys.disabled():
            print(f"run {runs}: the same; killed so far {dict(kills)}", flush=True)
    assert laptop.mulgil("predict", "projects/breast_cancer")[0] == 0


def test_runs_at_once_end_with_what_each_gives_alone(laptop, undisturbed, tmp_path):
    expected, _ = undisturbed
    laptop.forget_everything()
    rows = write_heart_rows(tmp_path / "rows.data")
    heart = ("run", "projects/heart_disease", "--source", str(rows), "--no-cache")

    processes = [laptop.start(*RUN), laptop.start(*heart), laptop.start(*RUN)]
    ends = [(process.communicate(timeout=400)[0], process.returncode) for process in processes]

    assert [code for _, code in ends] == [0, 0, 0], ends
    first, _, second = (run_of(printed) for printed, _ in ends)
    assert first != second
    assert differences(laptop.artifacts(first), expected) == []
    assert differences(laptop.artifacts(second), expected) == []
    for project in ("breast_cancer", "heart_disease"):
        assert laptop.mulgil("predict", f"projects/{project}")[0] == 0
