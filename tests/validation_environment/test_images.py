"""What validation asks of images: that they are there, how large they are, and that none is in two splits."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from components.validate_data.core import validate_data
from components.validate_data.tfdv import tfdv
from mulgil.artifacts import Verdict
from mulgil.errors import GateRejectedError
from mulgil.home import SOURCE_ROOT
from tests.datasets import write_dataset

SIGNS = SOURCE_ROOT / "projects" / "digits"


def _draw(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9 + seed % 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _validate(folder: Path, images: dict[str, list[bytes | None]]) -> Verdict:
    splits = {}
    for number, (split, files) in enumerate(images.items()):
        count = len(files)
        splits[split] = pa.table(
            {
                "digit_id": pa.array(range(1000 * number, 1000 * number + count), pa.int64()),
                "written_at": pa.array([0] * count, pa.timestamp("us", tz="UTC")),
                "image": pa.array(files, pa.binary()),
                "digit": [str(place % 10) for place in range(count)],
            }
        )
    write_dataset(folder / "dataset", splits)
    return validate_data(
        project_path=SIGNS,
        dataset_path=folder / "dataset",
        verdict_path=folder / "verdict.json",
        statistics_path=folder / "statistics",
        anomalies_path=folder / "anomalies",
    )


def _splits() -> dict[str, list[bytes | None]]:
    names = ("train", "validation", "test")
    return {name: [_draw(100 * number + place) for place in range(40)] for number, name in enumerate(names)}


def test_sizes_of_images_are_among_the_statistics(tmp_path: Path) -> None:
    verdict = _validate(tmp_path, _splits())
    assert "repeated:image" in [check.name for check in verdict.checks]
    statistics = tfdv.load_stats_binary(str(tmp_path / "statistics" / "train.pb"))
    found = {
        feature.name or feature.path.step[0]: feature.num_stats for feature in statistics.datasets[0].features
    }
    assert (found["image__height"].min, found["image__height"].max) == (8, 8)
    assert (found["image__width"].min, found["image__width"].max) == (9, 11)
    assert found["image__bytes"].min > 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda images: {**images, "test": [images["train"][3], *images["test"]]}, "1 images stand in more"),
        (lambda images: {**images, "test": [images["validation"][3], *images["test"]]}, "1 images stand in"),
        (lambda images: {**images, "test": [None, *images["test"]]}, "expected a value in every row"),
        (
            lambda images: {**images, "test": [b"no image", *images["test"]]},
            "expected an image, in every row",
        ),
    ],
)
def test_an_image_that_is_in_two_splits_or_is_none_is_refused(tmp_path: Path, change, reason: str) -> None:
    with pytest.raises(GateRejectedError, match=reason):
        _validate(tmp_path, change(_splits()))
