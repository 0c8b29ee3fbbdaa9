"""Tables that nobody described, by two commands to a model that answers."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from mulgil.home import SOURCE_ROOT
from mulgil.images import encode_png

# Real tables beside the checkout, as projects/sign_language has its images.
SHARED = SOURCE_ROOT.parent / "shared" / "data"


def driver_stats(folder: Path) -> list[str]:
    """Feast's own example has no target: whether a driver's day was a busy one."""
    rows = pd.read_parquet(SHARED / "driver_stats" / "driver_stats.parquet")
    # What the target is made of goes with it.
    busy = rows.pop("avg_daily_trips") > 500
    rows.assign(is_busy=busy).to_parquet(folder / "rows.parquet")
    return [
        *("--from", str(folder / "rows.parquet"), "--target", "is_busy"),
        *("--entity", "driver_id", "--event-timestamp", "event_timestamp"),
    ]


def kaggle_heart(folder: Path) -> list[str]:
    return ["--from", str(SHARED / "heart" / "heart.csv"), "--target", "target"]


def three_hundred_columns(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(800, 300)).round(4)
    rows = pd.DataFrame(numbers, columns=[f"f{i}" for i in range(300)])
    rows["y"] = numbers[:, 0] + draw.normal(size=800) > 0
    rows.to_csv(folder / "rows.csv", index=False)
    return ["--from", str(folder / "rows.csv"), "--target", "y"]


def text_and_dates(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    age = draw.normal(45, 10, 600)
    pd.DataFrame(
        {
            "Customer ID": [f"C-{i:04}" for i in range(600)],
            "signed up": [f"{1 + i % 28:02}.{1 + i % 12:02}.2023" for i in range(600)],
            "renewed": [f"Mar {1 + i % 28}, 2024" for i in range(600)],
            "Age (years)": age.round(),
            "tariff": draw.choice(["A/B", "010", "x, y", 'q"q'], 600),
            "notes": [f"called {i} times about the bill and much else said at length" for i in range(600)],
            "Churn?": np.where(age + draw.normal(0, 5, 600) > 48, "gone", "stays"),
        }
    ).to_csv(folder / "rows.csv", index=False)
    return ["--from", str(folder / "rows.csv"), "--target", "Churn?"]


def two_fifths_missing(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    cells = draw.normal(size=(1_000, 12)).round(3)
    rows = pd.DataFrame(cells, columns=list("abcdefghijkl")).mask(draw.random((1_000, 12)) < 0.4)
    rows["code"] = pd.Series(draw.choice(["red", "green"], 1_000)).mask(draw.random(1_000) < 0.4)
    rows["y"] = cells[:, 0] + cells[:, 1] + draw.normal(size=1_000) > 0
    rows.to_csv(folder / "rows.csv", index=False, na_rep="NA")
    return ["--from", str(folder / "rows.csv"), "--target", "y"]


def survey(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({f"Q{place}": draw.integers(1, 4, 900) for place in range(3)})
    is_sure = (rows["Q0"] > 1) ^ (draw.random(900) < 0.15)
    rows["Would you recommend us?"] = np.where(is_sure, "Sure", "No way")
    rows.to_csv(folder / "rows.csv", index=False)
    return ["--from", str(folder / "rows.csv"), "--target", "Would you recommend us?"]


def accounts(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    balance = draw.normal(0, 4_000, 600).round(2)
    written = [f"{abs(b):,.2f}".translate(str.maketrans(",.", ".,")) for b in balance]
    rows = pd.DataFrame(
        {
            "잔액": [f"({text})" if b < 0 else text for b, text in zip(balance, written, strict=True)],
            "방문 횟수": np.where(draw.random(600) < 0.05, "모름", draw.poisson(9, 600).astype(str)),
            "연체": np.where(balance + draw.normal(0, 2_000, 600) < 0, "예", "아니오"),
            " ": "",
            "  ": "",
        }
    )
    rows.to_csv(folder / "rows.csv", sep=";", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return ["--from", str(folder / "rows.csv"), "--target", "연체"]


def visits_of_patients(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    pressure = draw.normal(130, 15, 700).round()
    pd.DataFrame(
        {
            "visitID": range(90_001, 90_701),
            "patient_id": draw.integers(4_000, 4_090, 700),
            "seen": [
                f"{1 + i % 12}/{1 + i % 28}/{2022 + i // 350} {1 + i % 12}:{i % 60:02} PM" for i in range(700)
            ],
            "pressure": np.where(draw.random(700) < 0.1, 0, pressure),
            "earlier visits": draw.poisson(1, 700),
            "admitted": np.where(pressure + draw.normal(0, 8, 700) > 140, "Y", "N"),
        }
        # With its index, of which the name is empty.
    ).to_csv(folder / "rows.csv")
    return [
        *("--from", str(folder / "rows.csv"), "--target", "admitted"),
        *("--entity", "patient_id", "--event-timestamp", "seen"),
    ]


def one_million_rows(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(1_000_000, 6)).round(3)
    rows = pd.DataFrame(numbers, columns=list("abcdef"))
    rows["code"] = draw.choice(list("xyz"), 1_000_000)
    rows["y"] = numbers[:, 0] + draw.normal(size=1_000_000) > 0
    rows.to_csv(folder / "rows.csv", index=False)
    return ["--from", str(folder / "rows.csv"), "--target", "y"]


def digits_in_folders(folder: Path) -> list[str]:
    digits = load_digits()
    for place, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / "digits" / str(digit) / f"{place:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png((pixels * 15.9).astype(np.uint8)))
    return ["--from", str(folder / "digits")]


@pytest.mark.parametrize(
    "write",
    [
        kaggle_heart,
        three_hundred_columns,
        text_and_dates,
        two_fifths_missing,
        survey,
        accounts,
        visits_of_patients,
    ],
)
def test_two_commands_bring_a_table_to_a_model_that_answers(tmp_path, mulgil, write: Callable):
    project = str(tmp_path / "drafted")
    mulgil("init", project, *write(tmp_path))
    mulgil("run", project)

    answer = json.loads(mulgil("predict", project).splitlines()[0])
    assert 0 <= answer["prediction"] <= 1


def test_two_commands_bring_one_million_rows_to_a_model_that_answers_in_bounded_memory(tmp_path, mulgil):
    project = str(tmp_path / "drafted")
    mulgil("init", project, *one_million_rows(tmp_path))
    mulgil("run", project)

    answer = json.loads(mulgil("predict", project).splitlines()[0])
    assert 0 <= answer["prediction"] <= 1
    # Of the step that takes most; TensorFlow alone takes 0.9.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    assert peak <= 2.5


def test_two_commands_bring_a_folder_of_images_to_a_model_that_answers(tmp_path, mulgil):
    project = str(tmp_path / "drafted")
    mulgil("init", project, *digits_in_folders(tmp_path))
    mulgil("run", project)

    answer = json.loads(mulgil("predict", project).splitlines()[0])
    assert answer["prediction"]["label"] in [str(digit) for digit in range(10)]


def test_a_table_that_tells_nothing_of_its_target_gets_that_for_a_verdict(tmp_path, mulgil):
    project = str(tmp_path / "drafted")
    mulgil("init", project, *driver_stats(tmp_path))

    # Feast draws each of its columns by itself.
    assert "FAILED better_than_baseline" in mulgil("run", project, code=3)
