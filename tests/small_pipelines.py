"""Small container components for tests of the runner, and a way to compile and run pipelines of them."""

from dataclasses import dataclass
from pathlib import Path

from kfp import compiler, dsl

from mulgil.local.cache.output_store import OutputStore
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.results import RunResult
from mulgil.local.reuse import StepReuse
from mulgil.local.run_store import State, TaskRecord
from mulgil.local.runner import PipelineRunner
from mulgil.local.task_folder import log_of

# Any image of ours will do: the steps here need only its shell.
IMAGE = "mulgil/ingest-data:0.1.0"


def shell(script, *args):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", script], args=list(args))


@dsl.container_component
def count(rows: int, counted: dsl.OutputPath(int), note: dsl.Output[dsl.Artifact]):
    return shell(
        'echo "counting $0"; echo -n "$0" > "$1"; echo "note of $0" > "$2"', rows, counted, note.path
    )


@dsl.container_component
def double(number: int, doubled: dsl.OutputPath(int)):
    return shell('echo "$0"; echo $(($0 * 2)) > "$1"', number, doubled)


@dsl.container_component
def read(note: dsl.Input[dsl.Artifact]):
    return shell('cat "$0"', note.path)


@dsl.container_component
def fail(code: int):
    return shell('echo "giving up"; exit "$0"', code)


@dsl.container_component
def say(text: str):
    return shell('echo "$0"', text)


@dsl.container_component
def show(value: list):
    return shell('echo "$0"', value)


@dsl.container_component
def sleep(seconds: float):
    return shell('sleep "$0"', seconds)


def compile_function(function, folder: Path, **settings) -> str:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="a-pipeline", **settings)(function), str(path))
    return path.read_text(encoding="utf-8")


def runner_of(
    compiled: str, folder: Path, observe=print, *, run_id: str = "run-1", is_cache_read: bool = False
) -> PipelineRunner:
    """Make a runner whose run and cache are in a folder."""
    reuse = StepReuse(run_id, OutputStore(folder / "cache"), is_cache_read=is_cache_read)
    run_folder = folder / ("run" if run_id == "run-1" else run_id)
    return PipelineRunner(parse_pipeline(compiled), run_id, run_folder, observe, reuse)


@dataclass(frozen=True)
class Ran:
    """A run that came to an end."""

    result: RunResult
    observed: list[TaskRecord]
    folder: Path

    @property
    def state(self) -> State:
        return self.result.state

    @property
    def states(self) -> dict[str, State]:
        return {path: task.state for path, task in self.result.tasks.items()}

    def log(self, task: str, attempt: int | None = None) -> str:
        return log_of(self.folder, task, attempt).read_text(encoding="utf-8")

    def succeeded(self) -> list[str]:
        return sorted(path for path, state in self.states.items() if state is State.SUCCEEDED)


def run_compiled(compiled: str, folder: Path, /, **parameters) -> Ran:
    observed: list[TaskRecord] = []
    runner = runner_of(compiled, folder, observed.append)
    return Ran(runner.run(parameters), observed, folder / "run")


def run_function(function, folder: Path, /, **parameters) -> Ran:
    return run_compiled(compile_function(function, folder), folder, **parameters)
