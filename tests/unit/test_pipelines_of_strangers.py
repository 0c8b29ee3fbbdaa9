"""Pipelines in the manner of public KFP samples, compiled by the real compiler: they run right."""

import json
from typing import NamedTuple

import pytest
from kfp import dsl
from small_pipelines import IMAGE, compile_function, run_function, runner_of, shell

from mulgil.errors import UnsupportedPipelineError
from mulgil.local.run_store import State


def python(program, *args):
    return dsl.ContainerSpec(image=IMAGE, command=["python", "-c", program], args=list(args))


# Flip a coin, then draw a number, then say what it came to.


@dsl.container_component
def flip_coin(seed: int, side: dsl.OutputPath(str)):
    return shell('[ $(($0 % 2)) -eq 0 ] && printf heads > "$1" || printf tails > "$1"', seed, side)


@dsl.container_component
def draw_number(low: int, seed: int, number: dsl.OutputPath(int)):
    return shell('echo $(($0 + $1)) > "$2"', low, seed, number)


@dsl.container_component
def announce(message: str):
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[message])


@pytest.mark.parametrize(
    ("seed", "said"),
    [(2, "heads and 2"), (8, "heads and a high 8"), (3, "tails and 13")],
)
def test_flip_a_coin(tmp_path, seed, said):
    def pipeline(seed: int = 2):
        flip = flip_coin(seed=seed)
        with dsl.If(flip.outputs["side"] == "heads"):
            low = draw_number(low=0, seed=seed)
            with dsl.If(low.outputs["number"] > 5, name="high"):
                announce(message=f"heads and a high {low.outputs['number']}")
            with dsl.Else():
                announce(message=f"heads and {low.outputs['number']}")
        with dsl.Else():
            high = draw_number(low=10, seed=seed)
            announce(message=f"tails and {high.outputs['number']}")

    ran = run_function(pipeline, tmp_path, seed=seed)

    assert ran.state is State.SUCCEEDED
    assert [ran.log(path) for path in ran.succeeded() if "announce" in path] == [f"{said}\n"]


# Train with each set of hyperparameters, a few at a time, and keep the best.


@dsl.container_component
def train(rate_percent: int, depth: int, loss: dsl.OutputPath(float), model: dsl.Output[dsl.Model]):
    program = """
import json, pathlib, sys
rate, depth, loss, model = int(sys.argv[1]), int(sys.argv[2]), *map(pathlib.Path, sys.argv[3:])
loss.write_text(str(abs(rate - 10) / 100 + 1 / depth))
model.mkdir()
(model / "model.json").write_text(json.dumps({"rate": rate, "depth": depth}))
"""
    return python(program, rate_percent, depth, loss, model.path)


@dsl.container_component
def choose_best(losses: list[float], trials: list, best: dsl.OutputPath(dict)):
    program = """
import json, pathlib, sys
losses, trials = json.loads(sys.argv[1]), json.loads(sys.argv[2])
pathlib.Path(sys.argv[3]).write_text(json.dumps(min(zip(losses, trials))[1]))
"""
    return python(program, losses, trials, best)


@dsl.container_component
def show_choice(best: dict):
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=["--best", best])


def test_sweep_hyperparameters(tmp_path):
    def pipeline(trials: list[dict[str, int]]):
        with dsl.ParallelFor(trials, parallelism=2, name="sweep") as trial:
            trained = (
                train(rate_percent=trial.rate, depth=trial.depth).set_cpu_limit("1").set_memory_limit("1Gi")
            )
        best = choose_best(losses=dsl.Collected(trained.outputs["loss"]), trials=trials)
        show_choice(best=best.outputs["best"])

    trials = [{"rate": 100, "depth": 2}, {"rate": 10, "depth": 4}, {"rate": 1, "depth": 1}]
    ran = run_function(pipeline, tmp_path, trials=trials)

    assert ran.log("show-choice") == '--best {"rate":10,"depth":4}\n'
    model = ran.result.tasks["for-loop-1/1/train"].outputs.artifacts["model"]
    assert json.loads((model / "model.json").read_text()) == {"rate": 10, "depth": 4}


# Extract from something flaky, transform, load; clean up and notify whatever happens.


@dsl.container_component
def extract(folder: str, rows: dsl.Output[dsl.Dataset]):
    script = """
    if [ ! -e "$0/warm" ]; then touch "$0/warm"; echo "503" >&2; exit 75; fi
    printf "1\\n2\\nx\\n" > "$1"
    """
    return shell(script, folder, rows.path)


@dsl.container_component
def transform(rows: dsl.Input[dsl.Dataset], is_strict: bool, clean: dsl.Output[dsl.Dataset]):
    script = """
    if [ "$1" = true ] && grep -qv '^[0-9]*$' "$0"; then echo "a row is no number"; exit 2; fi
    grep '^[0-9]*$' "$0" > "$2"
    """
    return shell(script, rows.path, is_strict, clean.path)


@dsl.container_component
def load(clean: dsl.Input[dsl.Dataset], count: dsl.OutputPath(int)):
    return shell('wc -l < "$0" > "$1"', clean.path, count)


@dsl.container_component
def notify(channel: str, status: dsl.PipelineTaskFinalStatus):
    return shell('echo "$0: $1"', channel, status)


@pytest.mark.parametrize("is_strict", [False, True])
def test_extract_transform_load(tmp_path, is_strict):
    def pipeline(folder: str, is_strict: bool):
        with dsl.ExitHandler(notify(channel="#data")):
            extracted = extract(folder=folder).set_retry(2, backoff_duration="0s")
            transformed = transform(rows=extracted.outputs["rows"], is_strict=is_strict)
            load(clean=transformed.outputs["clean"])

    ran = run_function(pipeline, tmp_path, folder=str(tmp_path), is_strict=is_strict)

    assert ran.log("exit-handler-1/extract", attempt=1) == "503\n"
    channel, _, status = ran.log("notify").partition(": ")
    assert (channel, json.loads(status)["state"]) == ("#data", "FAILED" if is_strict else "SUCCEEDED")
    if is_strict:
        assert ran.result.failed == ("exit-handler-1/transform",)
        assert ran.states["exit-handler-1/load"] is State.BLOCKED
    else:
        assert ran.result.tasks["exit-handler-1/load"].outputs.parameters == {"count": 2}


# One training pipeline, used twice; the better model is packaged, and a refusal where none is good enough.


class Fitted(NamedTuple):
    loss: float
    model: dsl.Model


@dsl.pipeline
def fit(rate_percent: int, depth: int = 4) -> Fitted:
    trained = train(rate_percent=rate_percent, depth=depth)
    return Fitted(trained.outputs["loss"], trained.outputs["model"])


@dsl.container_component
def is_better(first: float, second: float, limit: float, choice: dsl.OutputPath(str)):
    program = """
import pathlib, sys
first, second, limit = map(float, sys.argv[1:4])
choice = "none" if min(first, second) > limit else "first" if first <= second else "second"
pathlib.Path(sys.argv[4]).write_text(choice)
"""
    return python(program, first, second, limit, choice)


@dsl.container_component
def package(model: dsl.Input[dsl.Model], package: dsl.Output[dsl.Artifact]):
    return shell('cp "$0/model.json" "$1"', model.path, package.path)


@dsl.container_component
def write_refusal(package: dsl.Output[dsl.Artifact]):
    return shell('echo refused > "$0"', package.path)


@dsl.container_component
def publish(package: dsl.Input[dsl.Artifact]):
    return shell('cat "$0"', package.path)


@pytest.mark.parametrize(("limit", "published"), [(1.0, '{"rate": 20, "depth": 8}'), (0.1, "refused\n")])
def test_compare_two_trainings(tmp_path, limit, published):
    def pipeline(limit: float):
        first = fit(rate_percent=90)
        second = fit(rate_percent=20, depth=8)
        better = is_better(first=first.outputs["loss"], second=second.outputs["loss"], limit=limit)
        with dsl.If(better.outputs["choice"] == "first"):
            one = package(model=first.outputs["model"])
        with dsl.Elif(better.outputs["choice"] == "second"):
            two = package(model=second.outputs["model"])
        with dsl.Else():
            none = write_refusal()
        publish(package=dsl.OneOf(one.outputs["package"], two.outputs["package"], none.outputs["package"]))

    assert run_function(pipeline, tmp_path, limit=limit).log("publish") == published


# Count the words of each file in parallel, with the shell's own variables and arithmetic.


@dsl.container_component
def split(text: str, words: dsl.OutputPath(list[str])):
    program = """
import json, pathlib, sys
pathlib.Path(sys.argv[2]).write_text(json.dumps(sys.argv[1].split()))
"""
    return python(program, text, words)


@dsl.container_component
def measure(word: str, length: dsl.OutputPath(int)):
    return shell('w="$0"; n=${#w}; printf "%s" "$n" > "$1"', word, length)


@dsl.container_component
def add(numbers: list[int], total: dsl.OutputPath(int)):
    program = """
import json, pathlib, sys
pathlib.Path(sys.argv[2]).write_text(str(sum(json.loads(sys.argv[1]))))
"""
    return python(program, numbers, total)


def test_map_and_reduce(tmp_path):
    def pipeline(text: str) -> int:
        with dsl.ParallelFor(split(text=text).output) as word:
            measured = measure(word=word)
        return add(numbers=dsl.Collected(measured.output)).output

    ran = run_function(pipeline, tmp_path, text="to be or not")

    assert ran.result.outputs.parameters == {"Output": 9}
    assert len(ran.succeeded()) == 6


@pytest.mark.parametrize("image", ["alpine:3.20", "python:3.11-slim", "gcr.io/cloudsdktool/cloud-sdk"])
def test_an_image_of_somebody_else_is_refused_by_its_name(tmp_path, image):
    @dsl.container_component
    def greet():
        return dsl.ContainerSpec(image=image, command=["echo"], args=["hello"])

    def pipeline():
        announce(message="first")
        greet()

    text = compile_function(pipeline, tmp_path)

    with pytest.raises(UnsupportedPipelineError, match=f"image={image}"):
        runner_of(text, tmp_path)
    assert not (tmp_path / "run").exists()
