"""The data dictionary as a page."""

from html.parser import HTMLParser

import pytest

from mulgil.artifacts import FeatureImportance, FeatureSelection
from mulgil.contract import DataDictionary, MissingPolicy, ProjectFolder, load_project
from mulgil.home import SOURCE_ROOT
from mulgil.reports.dictionary_page import render_dictionary_page
from mulgil.reports.page import describe_missing

FOLDER = load_project(SOURCE_ROOT / "projects" / "heart_disease")


class Text(HTMLParser):
    """Collects a page's text and the tags that it opened."""

    def __init__(self, page):
        super().__init__()
        self.text = ""
        self.tags = []
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


@pytest.mark.parametrize("column", FOLDER.dictionary.columns, ids=lambda column: column.name)
def test_every_column_stands_on_the_page_with_its_meaning(column):
    text = Text(render_dictionary_page(FOLDER)).text

    assert column.name in text
    assert column.description in text
    for code, meaning in (column.categories or {}).items():
        assert f"{code} {meaning}" in text


def test_a_description_cannot_bring_markup():
    columns = [column.model_dump() for column in FOLDER.dictionary.columns]
    columns[2]["description"] = "<script>alert(1)</script>"
    dictionary = DataDictionary.model_validate({"columns": columns})

    page = Text(render_dictionary_page(ProjectFolder(FOLDER.path, FOLDER.project, dictionary)))

    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_the_page_asks_for_nothing_from_a_network():
    page = render_dictionary_page(FOLDER)

    assert "src=" not in page
    assert "href=" not in page
    assert "@import" not in page


def test_the_page_tells_which_features_the_last_model_reads_and_why():
    selection = FeatureSelection(
        method="mutual_information",
        asked=None,
        rows=242,
        features=tuple(
            FeatureImportance(
                name=column.name, importance=0.25, by_chance=0.125, is_kept=column.name != "chol"
            )
            for column in FOLDER.dictionary.features
        ),
    )

    text = Text(render_dictionary_page(FOLDER, selection)).text

    kept = len(FOLDER.dictionary.features) - 1
    assert text.count("Kept by mutual information: 0.25, by chance 0.125.") == kept
    assert text.count("Left out by mutual information") == 1
    assert f"{kept} were kept by mutual information, on 242 training rows" in text
    assert "Left out" not in Text(render_dictionary_page(FOLDER)).text


@pytest.mark.parametrize("policy", MissingPolicy)
def test_every_policy_for_a_missing_value_is_told_in_words(policy):
    described = describe_missing(FOLDER.dictionary.columns[0].model_copy(update={"missing": policy}))

    assert len(described) > 5
