"""What a component's imports leave behind in the process that is copied for its steps."""

import json
import subprocess

import pytest

from mulgil.home import SOURCE_ROOT
from mulgil.local.environments import find_environment
from mulgil.local.shared_imports import wants_of

COMPONENTS = sorted(file.parent.name for file in (SOURCE_ROOT / "components").glob("*/__main__.py"))
# jemalloc, which Arrow brings, sees to its thread at a fork; so does OpenBLAS, which has none here.
SURVIVING = ["jemalloc_bg_thd"]
LOOK = """
import importlib, json, sys
from pathlib import Path
importlib.import_module(sys.argv[1]).load_core()
threads = [thread.joinpath("comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
print(json.dumps({"threads": threads, "modules": sorted(sys.modules)}))
"""


@pytest.mark.parametrize("component", COMPONENTS)
def test_after_its_imports_a_component_has_begun_nothing_and_has_all_that_it_names_for_sharing(
    component, tmp_path
):
    environment = find_environment(f"mulgil/{component.replace('_', '-')}:0.1.0")
    looked = subprocess.run(
        [environment.prefix / "bin" / "python", "-c", LOOK, f"components.{component}.__main__"],
        env={**environment.variables, "OPENBLAS_NUM_THREADS": "1", "MULGIL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert looked.returncode == 0, looked.stderr
    seen = json.loads(looked.stdout.splitlines()[-1])

    main, *others = sorted(seen["threads"], key=lambda name: name in SURVIVING)
    assert "python" in main
    assert set(others) <= set(SURVIVING)
    assert {name.partition(":")[0] for name in wants_of(component).imports} <= set(seen["modules"])
