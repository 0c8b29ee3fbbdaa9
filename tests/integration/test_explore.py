"""`mulgil explore`: the page of a project and of a bare table."""

import base64
import re

import numpy as np
import pandas as pd
import pytest

from mulgil import cli
from mulgil.images import encode_png, measure_image


@pytest.fixture
def explore(monkeypatch, capsys, tmp_path):
    """Run `mulgil explore`; return the exit code, what was written to the terminal, and the page."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        page = tmp_path / "page.html"
        monkeypatch.setattr("sys.argv", ["mulgil", "explore", *words, "--output", str(page)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        return left.value.code or 0, printed.out + printed.err, text

    return run


@pytest.fixture
def table(tmp_path):
    draw = np.random.default_rng(0)
    income = draw.normal(50_000, 9_000, 200).round(2)
    frame = pd.DataFrame(
        {
            "email": [f"secret{i % 9}@example.org" for i in range(200)],
            "latitude": draw.uniform(33, 38, 200).round(4),
            "longitude": draw.uniform(126, 129, 200).round(4),
            "income": [f"${value:,.2f}" for value in income],
            "note": [
                f"<b>called</b> {i} times about a bill that nobody could understand" for i in range(200)
            ],
            "left": income + draw.normal(0, 4_000, 200) > 50_000,
        }
    )
    frame.to_csv(tmp_path / "shop.csv", index=False)
    return tmp_path / "shop.csv"


def test_a_bare_table_becomes_a_page_without_network_and_without_what_is_sensitive(explore, table):
    code, printed, page = explore(str(table), "--target", "left")

    assert code == 0, printed
    assert "Map of the rows" in page and "income" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", page) and "<script" not in page
    assert "secret" not in page
    assert "&lt;b&gt;called&lt;/b&gt;" in page and "<b>called" not in page


def test_a_project_is_explored_by_its_dictionary(explore, table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["mulgil", "init", str(tmp_path / "shop"), "--from", str(table), "--target", "left"]
    )
    with pytest.raises(SystemExit):
        cli.main()
    capsys.readouterr()

    code, printed, page = explore(str(tmp_path / "shop"))
    assert code == 0, printed
    assert "<h1>shop</h1>" in page

    code, printed, _ = explore(str(tmp_path / "shop"), "--target", "income")
    assert code == 2
    assert "A project says itself what its columns are" in printed


def test_a_table_without_a_target_is_asked_for_one(explore, table):
    code, printed, page = explore(str(table))

    assert (code, page) == (2, "")
    assert "name the column to predict: --target" in printed


def test_images_are_shown_by_class(explore, tmp_path):
    for place in range(40):
        file = tmp_path / "pets" / ("cat", "dog")[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(np.full((300, 200), place, np.uint8)))
    (tmp_path / "pets" / "cat" / "broken.png").write_bytes(b"no image")

    code, printed, page = explore(str(tmp_path / "pets"))

    assert code == 0, printed
    _, _, page = page.partition('<section id="images">')
    rows = re.findall(r'<tr><th scope="row">(cat|dog)</th>', page)
    assert sorted(rows) == ["cat", "dog"]
    images = re.findall(r'alt="Row \d+" title="Row \d+" src="data:image/png;base64,([^"]+)"', page)
    # Eight of each class; that it was not read is said by ingestion.
    assert 14 <= len(images) <= 16
    assert {measure_image(base64.b64decode(image)) for image in images} == {(96, 64)}


def test_a_newest_span_that_is_otherwise_is_told_in_plain_words_and_one_that_is_alike_too(
    explore, table, tmp_path
):
    whole = pd.read_csv(table).sample(frac=1, random_state=0)
    (tmp_path / "days").mkdir()
    for day in range(4):
        part = whole.iloc[day * 50 : (day + 1) * 50]
        part.to_csv(tmp_path / "days" / f"2026-11-{day + 1:02}.csv", index=False)
    code, printed, page = explore(f"{tmp_path}/days/{{date}}.csv", "--target", "left")

    assert (code, "is not in span" in printed) == (0, False)
    assert "Span 2026-11-04" in page
    assert "like those before" in page
    part.assign(latitude=np.nan).to_csv(tmp_path / "days" / "2026-11-04.csv", index=False)
    _, printed, page = explore(f"{tmp_path}/days/{{date}}.csv", "--target", "left")
    printed = " ".join(printed.split())

    assert (
        "latitude is not in span 2026-11-04 as before: rows without a value in 100.0% of its rows, 0.0% of "
        "those before. To do: mend the delivery" in printed
    )
    assert "differs in 1 of" in page


def test_a_draft_of_dated_spans_takes_their_dates_for_a_time(explore, table, tmp_path, monkeypatch):
    (tmp_path / "days").mkdir()
    for day in (1, 2):
        pd.read_csv(table).to_csv(tmp_path / "days" / f"2026110{day}.csv", index=False)
    monkeypatch.setattr(
        "sys.argv",
        [
            "mulgil",
            "init",
            str(tmp_path / "shop"),
            "--from",
            f"{tmp_path}/days/{{date}}.csv",
            "--target=left",
        ],
    )
    with pytest.raises(SystemExit) as left:
        cli.main()

    assert not left.value.code
    assert "generated: span" in (tmp_path / "shop" / "data_dictionary.yaml").read_text()
    assert "days/{date}.csv" in (tmp_path / "shop" / "project.yaml").read_text()
