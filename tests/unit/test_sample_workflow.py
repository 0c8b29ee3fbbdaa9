"""The sample workflow of docs/samples: its commands are ours, with flags that there are."""

import re
import shlex

import pytest
import yaml
from typer.main import get_command

from mulgil.cli import app
from mulgil.home import SOURCE_ROOT

# `on` is a boolean to YAML 1.1, and a word to GitHub.
WORKFLOW = yaml.load(
    (SOURCE_ROOT / "docs" / "samples" / "github_workflow.yaml").read_text(encoding="utf-8"), yaml.BaseLoader
)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = [
    line.removeprefix(".venv/bin/mulgil ")
    for step in STEPS
    for line in step.get("run", "").splitlines()
    if line.startswith(".venv/bin/mulgil ")
]


def test_a_pull_request_is_checked_and_a_merge_is_retrained_and_released():
    assert set(WORKFLOW["on"]) == {"pull_request", "push"}
    assert WORKFLOW["on"]["push"]["branches"] == ["main"]
    verbs = [command.split()[0] for command in COMMANDS]
    assert verbs == ["plan", "run", "submit", "deploy"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_a_command_has_the_flags_that_it_is_given(command):
    verb, *words = shlex.split(command)

    context = get_command(app).commands[verb].make_context(verb, words)

    assert not context.args


def test_an_action_is_named_by_its_release_and_a_step_does_one_thing():
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
        assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_a_secret_reaches_a_command_by_its_environment_alone():
    assert not [step["run"] for step in STEPS if "${{" in step.get("run", "")]
