"""The project that docs/your_table.md writes down."""

import re

import pytest

from components.ingest_data.core import ingest_data
from mulgil.contract import load_project
from mulgil.errors import InputError
from mulgil.home import SOURCE_ROOT

PAGE = (SOURCE_ROOT / "docs" / "your_table.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    table, settings, dictionary = re.findall(r"```(?:csv|yaml)\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "project.yaml").write_text(settings, encoding="utf-8")
    (tmp_path / "data_dictionary.yaml").write_text(dictionary, encoding="utf-8")
    header, row = table.splitlines()
    rows = [row.replace("C-0001", f"C-{i}").replace(",no", ",yes" if i % 2 else ",no") for i in range(40)]
    (tmp_path / "customers.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return tmp_path


def ingest(project):
    return ingest_data(
        project_path=project,
        source="",
        dataset_path=project / "dataset",
        quarantine_path=project / "quarantine",
    )


def test_it_reads_the_table_that_the_page_shows(project):
    manifest = ingest(project)

    assert (manifest.rows_read, manifest.rows_quarantined) == (40, 0)


def test_it_says_no_more_than_is_needed(project):
    dictionary = project / "data_dictionary.yaml"
    dictionary.write_text(
        dictionary.read_text(encoding="utf-8").replace("    source_name: Income\n", ""), encoding="utf-8"
    )

    assert "income" in [column.name for column in load_project(project).dictionary.features]
    with pytest.raises(InputError, match="columns that are missing: income"):
        ingest(project)
