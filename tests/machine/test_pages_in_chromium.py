"""The pages as a browser shows them: on a desk and on a telephone, light and dark, read by axe-core."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from run_folders import EVALUATION, Made, interval, verdict

from mulgil.artifacts import Check
from mulgil.contract import DataDictionary, load_project
from mulgil.exploration.findings import explore
from mulgil.exploration.of_project import explored_table
from mulgil.home import SOURCE_ROOT
from mulgil.reports.comparison import compare
from mulgil.reports.comparison_page import render_comparison_page
from mulgil.reports.dictionary_page import render_dictionary_page
from mulgil.reports.exploration_page import render_exploration_page
from mulgil.reports.run_page import render_run_page
from mulgil.reports.writing import gather

BROWSER = Path(__file__).parent / "browser"


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """Open a page and return what a person would run into, a dictionary a width and scheme."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Chromium is needed: install it, or set CHROMIUM to its path"
    folder = tmp_path_factory.mktemp("browser")
    shutil.copytree(BROWSER, folder, dirs_exist_ok=True)
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"], cwd=folder, check=True
    )

    def open_page(html):
        page = folder / "page.html"
        page.write_text(html)
        ended = subprocess.run(
            ["node", "look.mjs", str(page), str(folder), chromium],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return open_page


def run_that_went_well():
    return render_run_page(gather(Made().write()))


def run_that_was_rejected():
    check = Check(name="column:cp", is_passed=False, value=1, limit=0, reason="cp: received 'abc' in 1 row")
    made = Made(
        validation=verdict("validate_data", check), failed=("validate-data", 3, "word " * 200 + "\nend")
    )
    return render_run_page(gather(made.write()))


def two_runs():
    worse = EVALUATION.model_copy(update={"metrics": {**EVALUATION.metrics, "roc_auc": interval(0.8)}})
    runs = (Made(run_id="a" * 60), Made(run_id="b", evaluation=worse))
    return render_comparison_page(compare(*(gather(made.write()) for made in runs)))


def dictionary():
    return render_dictionary_page(load_project(SOURCE_ROOT / "projects" / "breast_cancer"))


def table_before_learning():
    """A table of every kind of column, with a map, doubts, samples and what is to be looked at."""
    draw = np.random.default_rng(0)
    income = draw.normal(50_000, 9_000, 300)
    columns = {
        "at": [f"2024-01-{1 + i % 28:02}" for i in range(300)],
        "paid_on_the_day_after_the_longest_of_all_names": ["2024-03-01"] * 299 + ["2024-03-02"],
        "latitude": draw.uniform(33, 38, 300),
        "longitude": draw.uniform(126, 129, 300),
        "income": income,
        "copy": 2 * income,
        "note": [f"called {i} times about a bill that nobody could understand at all" for i in range(300)],
        "tariff": draw.choice(["a", "b", "a word of more than twelve letters"], 300).tolist(),
        "secret": draw.normal(size=300),
        "left": (income + draw.normal(0, 3_000, 300) > 50_000).tolist(),
    }
    cells = {name: pa.chunked_array([pa.array(values)]) for name, values in columns.items()}
    described = [
        {"name": "at", "role": "event_timestamp", "type": "timestamp"},
        {"name": "row", "role": "entity", "type": "integer", "generated": "row_number"},
        {"name": "income", "type": "float"},
        {"name": "secret", "type": "float", "sensitive": True},
        {"name": "left", "role": "target", "type": "boolean"},
    ]
    dictionary = DataDictionary.model_validate({"columns": [{**c, "description": "Any."} for c in described]})
    table = explored_table(dictionary, cells)
    return render_exploration_page("customers.csv", table, explore(table))


@pytest.mark.parametrize(
    "page", [run_that_went_well, run_that_was_rejected, two_runs, dictionary, table_before_learning]
)
def test_a_page_reads_well_at_both_widths_light_and_dark(look, page, tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))

    looks = look(page())

    assert [(seen["width"], seen["scheme"]) for seen in looks] == [
        (1440, "light"),
        (1440, "dark"),
        (390, "light"),
        (390, "dark"),
    ]
    for seen in looks:
        assert [one for one in seen["violations"] if one["impact"] in ("serious", "critical")] == []
        assert seen["checked"] > 10
        assert seen["overflow"] <= 0
        assert seen["complaints"] == []
        assert seen["requests"] == 1
    light, dark = looks[0]["background"], looks[1]["background"]
    assert light != dark


def test_the_first_tab_on_a_report_leads_to_the_result(look, tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))

    assert {seen["focused"] for seen in look(run_that_went_well())} == {"#result"}
