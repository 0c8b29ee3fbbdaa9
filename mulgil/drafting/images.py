"""From a folder of images, in folders by class, to both files of a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mulgil.contract.learning import Task
from mulgil.contract.sources import files_at, images_in
from mulgil.drafting.draft import ColumnDraft, ProjectDraft
from mulgil.drafting.profile import profile_column
from mulgil.drafting.target import draft_target, rare_classes
from mulgil.errors import InputError, describe
from mulgil.images import UnreadableImageError, is_grey, measure_image

_ENDINGS = frozenset({".png", ".jpg", ".jpeg"})
# Of a file beside the class folders that is a table, compressed or not, and no licence or archive.
_TABLE_ENDINGS = frozenset({".csv", ".tsv", ".data", ".parquet", ".pq", ".jsonl", ".ndjson"})
# What folders are called that divide rows, and tell no class.
_DIVISIONS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
# Looked at for size and colour, evenly over the folder. Chosen by eye.
_LOOKED_AT = 200
# A larger side costs a network on two cores more than it tells. Chosen by eye.
_LONGEST_SIDE = 64
# Each layer halves the image; from here on two leave something of it. Chosen by eye.
_LEAST_SIDE_OF_TWO_LAYERS = 16

LABEL = "label"


def is_image_folder(path: Path) -> bool:
    """Whether a path is a folder with folders of images in it, and no table beside them."""
    if not path.is_dir() or any(_is_table(file) for file in files_at(path)):
        return False
    return any(file.suffix.lower() in _ENDINGS and file.parent != path for file in images_in(path))


def draft_images(
    name: str, source: Mapping[str, Any], folder: Path, task: str | None, collected_at: str
) -> ProjectDraft:
    """Draft a project that tells the images' classes.

    Args:
        name: The project's.
        source: Its `source` section.
        folder: Where the images are.
        task: What the user says that it is.
        collected_at: A time in ISO 8601 for every image.

    Raises:
        InputError: There are not two classes, the folders are none, or no file is an image.
    """
    files = images_in(folder)
    labels = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in files]
    _require_classes(folder, files)
    profile = profile_column(LABEL, pa.chunked_array([pa.array(labels, pa.string())]))
    taken = {"path", "image", "collected_at"}
    targets = draft_target(LABEL, profile, taken, task or Task.MULTICLASS_CLASSIFICATION)
    form, found = _draft_form(files)
    rare = rare_classes(profile) if targets.task == Task.MULTICLASS_CLASSIFICATION else {}
    columns = (
        ColumnDraft(
            {
                "name": "path",
                "role": "entity",
                "type": "text",
                "description": "The image's place in the folder.",
            },
            ("TODO: do several images show one thing or person? They must not be in two splits",),
        ),
        ColumnDraft(
            {"name": "image", "type": "image", "image": form, "description": "TODO: what it shows"}, (found,)
        ),
        *targets.columns,
        ColumnDraft(
            {
                "name": "collected_at",
                "role": "event_timestamp",
                "type": "timestamp",
                "generated": collected_at,
                "description": "When the newest file was written; the folder gives no time for an image.",
            },
            ("TODO: when were the images taken?",),
        ),
    )
    has_two_layers = min(form["height"], form["width"]) >= _LEAST_SIDE_OF_TWO_LAYERS
    decisions = [f"classes with too few images are set aside: {', '.join(rare)}; bring more"] if rare else []
    return ProjectDraft(
        name=name,
        task=targets.task,
        source=source,
        columns=columns,
        training={"convolutions": [32, 64] if has_two_layers else [32]},
        decisions=tuple(decisions),
    )


def _is_table(file: Path) -> bool:
    return any(ending.lower() in _TABLE_ENDINGS for ending in file.suffixes)


def _require_classes(folder: Path, files: Sequence[Path]) -> None:
    images = [file for file in files if file.suffix.lower() in _ENDINGS and file.parent != folder]
    names = sorted({file.relative_to(folder).parts[0] for file in images})
    if names and {name.lower() for name in names} <= _DIVISIONS:
        raise InputError(
            describe(
                "The folders divide the images, and are no classes",
                expected="a folder for each class",
                received=", ".join(names),
                next_step=f"name one of them, --from {folder / names[0]}, and a run divides its images; or "
                "bring each class's folders together",
            )
        )


def _draft_form(files: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """Return the form that images are brought to, and what was seen of them."""
    places = np.linspace(0, len(files) - 1, min(_LOOKED_AT, len(files))).astype(np.int64)
    sizes, are_grey = [], []
    for place in places.tolist():
        try:
            content = files[place].read_bytes()
            grey = is_grey(content)
        except (UnreadableImageError, OSError):
            # Ingestion sets it aside, and says why.
            continue
        sizes.append(measure_image(content))
        are_grey.append(grey)
    if not are_grey:
        raise InputError(
            describe(
                "No file that was looked at is an image",
                expected="PNG or JPEG files, in a folder for each class",
                received=", ".join(file.name for file in files[:3]),
                next_step="convert them to PNG or JPEG, or name another folder",
            )
        )
    heights, widths = np.array(sizes).T
    height, width = float(np.median(heights)), float(np.median(widths))
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    is_one_size = len(set(sizes)) == 1
    seen = (
        f"{heights[0]} x {widths[0]} pixels"
        if is_one_size
        else (f"{heights.min()} to {heights.max()} pixels high and {widths.min()} to {widths.max()} wide")
    )
    form = {
        "height": max(1, round(height * shrink)),
        "width": max(1, round(width * shrink)),
        "colors": "grey" if all(are_grey) else "rgb",
    }
    return (
        form,
        f"Of {len(are_grey)} that were looked at: {seen}. A model sees this size; more tells and costs more",
    )
