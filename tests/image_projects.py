"""A project of small images, two classes that a stripe tells apart, and its training rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from learning_project import LearningProject

from mulgil.artifacts import SPLITS, DatasetManifest, FeatureServiceReference
from mulgil.contract import load_project
from mulgil.images import encode_png

SIDE = 10
LABELS = ("across", "down")


def columns(side: int = SIDE, **image: object) -> list[dict[str, object]]:
    """The dictionary's columns."""
    return [
        {
            "name": "key",
            "role": "entity",
            "type": "integer",
            "generated": "row_number",
            "description": "Row.",
        },
        {
            "name": "at",
            "role": "event_timestamp",
            "type": "timestamp",
            "generated": "2020-01-01T00:00:00Z",
            "description": "When.",
        },
        {
            "name": "image",
            "type": "image",
            "image": {"height": side, "width": side, **image},
            "description": "A stripe.",
        },
        {
            "name": "label",
            "role": "target",
            "type": "category",
            "categories": list(LABELS),
            "description": "Which way it goes.",
        },
    ]


def draw(seed: int, side: int = SIDE) -> tuple[np.ndarray, str]:
    """A dim picture with one bright stripe, and which way that goes."""
    random = np.random.default_rng(seed)
    picture = random.integers(0, 120, (side, side)).astype(np.uint8)
    place = int(random.integers(side))
    if seed % 2:
        picture[:, place] = 255
    else:
        picture[place, :] = 255
    return picture, LABELS[seed % 2]


def write_image_project(root: Path, dictionary: list[dict[str, object]] | None = None, **changes: object):
    """Write the project, its training rows and its feature service's reference."""
    path = root / "project"
    path.mkdir(parents=True)
    training = {
        "convolutions": [4],
        "hidden_units": [8],
        "learning_rate": 0.01,
        "max_epochs": 8,
        "dropout": 0.1,
        "l2": 0,
        **changes.pop("training", {}),
    }
    project = {
        "name": "stripes",
        "problem": {"goal": "Test.", "success_measure": "Green."},
        "task": "multiclass_classification",
        "source": {"kind": "image_folder", "location": "images"},
        "training": training,
        "gates": {"champion_margin": 0.05},
        **changes,
    }
    (path / "project.yaml").write_text(json.dumps(project), encoding="utf-8")
    (path / "data_dictionary.yaml").write_text(
        json.dumps({"columns": dictionary or columns()}), encoding="utf-8"
    )
    folder = load_project(path)
    (root / "rows").mkdir()
    for number, split in enumerate(SPLITS):
        drawn = [draw(1000 * number + place) for place in range(80)]
        images = pa.array([encode_png(picture) for picture, _ in drawn], pa.binary())
        labels = pa.array([label for _, label in drawn])
        pq.write_table(pa.table({"image": images, "label": labels}), root / "rows" / f"{split}.parquet")
    DatasetManifest(
        fingerprint="f" * 64,
        dictionary_fingerprint=folder.dictionary.fingerprint,
        source="tests",
        rows_read=240,
        rows=dict.fromkeys(SPLITS, 80),
        rows_quarantined=0,
        rows_deduplicated=0,
    ).write(root / "rows" / "manifest.json")
    FeatureServiceReference(
        name="stripes", project="stripes", store_version="1", online_store="", entity="key", features=()
    ).write(root / "feature_service.json")
    return LearningProject(folder, root / "rows", root / "feature_service.json")
