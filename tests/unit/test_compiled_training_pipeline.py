"""The compiled training pipeline, and each component's flags in it."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from mulgil.home import SOURCE_ROOT
from mulgil.local.cache.code import fingerprint_code
from mulgil.local.pipeline_spec import parse_pipeline
from mulgil.local.placeholders import TaskContext, resolve_command
from pipelines.compile import compile_pipeline

COMPONENTS = sorted(file.parent.name for file in (SOURCE_ROOT / "components").glob("*/__main__.py"))
# What acts on something that all runs share, and what only looks there.
ACTING = ("feature_repo", "mulgil.cluster", "mulgil.local", "mulgil.registry", "mulgil.rollout")
LOOKING = {"evaluate_model": {"mulgil.registry"}}

GOLDEN = Path(__file__).parent.parent / "golden" / "training.yaml"
PIPELINE = parse_pipeline(GOLDEN.read_text(encoding="utf-8"))


def test_the_pipeline_compiles_to_its_golden_file():
    assert yaml.safe_load(compile_pipeline("training")) == yaml.safe_load(
        GOLDEN.read_text(encoding="utf-8")
    ), "run `make golden` if the change is meant"


@pytest.mark.parametrize("name", sorted(PIPELINE.components.keys()))
def test_a_components_own_parser_takes_the_arguments_that_the_pipeline_passes(name, tmp_path):
    component = PIPELINE.components[name]
    if component.executor_label is None:
        assert component.dag is not None
        return
    container = PIPELINE.executor_of(component).container
    assert container is not None
    example = {"STRING": "text", "NUMBER_INTEGER": 7, "BOOLEAN": True}
    parameters = {
        key: example[definition.parameter_type]
        for key, definition in component.input_definitions.parameters.items()
    }
    context = TaskContext(
        run_id="run",
        task_path="task",
        input_parameters=parameters,
        input_artifacts={key: tmp_path / key for key in component.input_definitions.artifacts},
        output_artifacts={key: tmp_path / key for key in component.output_definitions.artifacts},
    )
    python, flag, module, *flags = resolve_command((*container.command, *container.args), context)

    parsed = vars(importlib.import_module(f"{module}.__main__").build_parser().parse_args(flags))

    assert (python, flag) == ("python", "-m")
    passed = {re.sub("-", "_", word[2:]) for word in flags if word.startswith("--")}
    assert passed == parsed.keys()
    assert str(parsed["project_path"]) == "text"
    for key in component.output_definitions.artifacts:
        assert parsed[f"{key}_path"] == tmp_path / key


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_says_whether_it_acts_on_what_all_runs_share(name):
    read = {
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in fingerprint_code(name)
    }
    reached = {part for part in ACTING for module in read if module == part or module.startswith(f"{part}.")}

    assert acts_outside(name) is bool(reached - LOOKING.get(name, set())), f"{name} imports {sorted(reached)}"


def acts_outside(name):
    return importlib.import_module(f"components.{name}").ACTS_OUTSIDE


def test_only_the_steps_that_touch_no_store_outside_the_run_are_cached():
    tasks = dict(PIPELINE.root.dag.tasks)
    for component in PIPELINE.components.values():
        tasks |= component.dag.tasks if component.dag else {}
    cached = {name for name, task in tasks.items() if task.caching_options.enable_cache}

    assert cached == {
        name.replace("_", "-") for name in COMPONENTS if name not in LOOKING and not acts_outside(name)
    }
