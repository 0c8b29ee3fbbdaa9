"""What of images can be held against a schema: how high, wide and long each file is."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from mulgil.artifacts import Check
from mulgil.images import UnreadableImageError, measure_image

MEASURES = ("height", "width", "bytes")


def name_of(column: str, measure: str) -> str:
    """Return a measure's name among TFDV's columns: none of ours has two underscores, and a dot it quotes."""
    return f"{column}__{measure}"


def measure_images(images: pa.Array) -> list[pa.Array]:
    """Return each measure of some files; null where there is none, or no image."""
    sizes = [_measure(content) for content in images.to_pylist()]
    return [
        pa.array([None if size is None else size[place] for size in sizes], pa.int64())
        for place in range(len(MEASURES))
    ]


def judge_repeated_images(name: str, splits: Mapping[str, pa.ChunkedArray]) -> Check:
    """Refuse an image that stands in two splits: what is judged on it was learned from it.

    A row that repeats another in everything is gone before; this finds the same file under another name.

    Args:
        name: The column.
        splits: The images by split.
    """
    found = {split: set(pc.unique(images).to_pylist()) - {None} for split, images in splits.items()}
    training = found.pop("train", set())
    others = [images for _, images in sorted(found.items())]
    shared = sum(len(training & images) for images in others)
    if len(others) == 2:
        shared += len(others[0] & others[1])
    finding = f"{shared} images stand in more than one split" if shared else "no image stands in two splits"
    advice = "; keep one of each in the source, or split by group" if shared else ""
    return Check(
        name=f"repeated:{name}",
        is_passed=not shared,
        value=shared,
        limit=0,
        reason=f"{name}: {finding}{advice}",
    )


def _measure(content: bytes | None) -> tuple[int, int, int] | None:
    if content is None:
        return None
    try:
        return (*measure_image(content), len(content))
    except UnreadableImageError:
        return None
