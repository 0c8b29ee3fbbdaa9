"""docs/pipeline-features.md and the tests that it names."""

import ast
import re
from pathlib import Path

UNIT = Path(__file__).parent
TABLE = UNIT.parent.parent / "docs" / "pipeline-features.md"


def names_in(name):
    tree = ast.parse((UNIT / name).read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def rows():
    """Return the cells of every row but the headings."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] != "Feature"]


def test_every_row_names_tests_that_exist():
    known = names_in("test_pipeline_features.py") | names_in("test_pipeline_runner.py")
    known |= names_in("test_pipelines_of_strangers.py")

    assert len(rows()) > 50
    for row in rows():
        named = re.findall(r"`(test_\w+)`", row[-1])
        assert named, row
        assert set(named) <= known, row


def test_every_feature_that_is_tested_has_a_row():
    named = set(re.findall(r"`(test_\w+)`", TABLE.read_text(encoding="utf-8")))

    assert names_in("test_pipeline_features.py") <= named
