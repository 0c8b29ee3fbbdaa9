"""The examples of docs/serving.md, as a reader would paste them."""

import json
import os
import re
import subprocess
import sys

import pytest
from feature_stores import write_whole_bundle
from model_servers import Server, free_port

from mulgil.home import SOURCE_ROOT

GUIDE = (SOURCE_ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```\s+```json\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    bundle = write_whole_bundle(tmp_path_factory.mktemp("guide"))
    grpc_port = free_port()
    server = Server(bundle, "--grpc-port", str(grpc_port))
    yield {"URL": server.url, "ADDRESS": f"127.0.0.1:{grpc_port}"}
    server.end()


def without_numbers(content):
    """Every score as one word: which it is depends on the random weights."""
    if isinstance(content, dict):
        return {name: without_numbers(value) for name, value in content.items()}
    if isinstance(content, list):
        return [without_numbers(value) for value in content]
    return "a score" if isinstance(content, float) and -1 <= content <= 1 else content


def test_the_guide_has_examples_of_every_block():
    assert len(EXAMPLES) == GUIDE.count("```sh") == GUIDE.count("```json") >= 5


@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_answers_as_the_guide_says(places, command, answer):
    environment = {**os.environ, **places}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, env=environment
    )

    assert without_numbers(json.loads(done.stdout)) == without_numbers(json.loads(answer))


def test_the_grpc_example_prints_what_it_says(places):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (comment,) = re.findall(r"print\(.*\)  # (.*)", code)
    environment = {**os.environ, **places}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )

    assert done.stdout.strip() == comment
