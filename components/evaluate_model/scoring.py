"""Asking a bundle on raw columns, as what serves it would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.evaluate_model.metrics import Floats
from mulgil.artifacts import BUNDLE_ONNX, BUNDLE_SAVED_MODEL, BUNDLE_TRANSFORM, BundleManifest
from mulgil.onnx_model import OnnxModel
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.rows import Tensors

# Together, so that the layers of many images do not fill the memory. Chosen by eye.
_ASKED_ROWS = 1 << 12


def open_model(bundle_path: Path, manifest: BundleManifest, answer_width: int) -> Callable[[Tensors], Floats]:
    """Load the ONNX model behind the transform, or else the SavedModel.

    Args:
        bundle_path: The bundle, already held against its checksums.
        manifest: Its manifest.
        answer_width: How many numbers it gives for a row.

    Returns:
        What gives the model's predictions for rows that have at least the columns that it reads; NaN where a
        number that it needs is missing.

    Shapes:
        (rows,) each to (rows,), or (rows, answer_width) where that is more than one.
    """
    transform = FittedTransform.read(bundle_path / BUNDLE_TRANSFORM)
    if BUNDLE_ONNX in manifest.files:
        executor, model = TransformExecutor(transform), OnnxModel(bundle_path / BUNDLE_ONNX, answer_width)
        return lambda tensors: _ask_onnx(model, executor.apply(tensors))
    serve = tf.saved_model.load(str(bundle_path / BUNDLE_SAVED_MODEL)).signatures["serving_default"]
    names = list(transform.names)
    return lambda tensors: _ask_signature(serve, {name: tensors[name] for name in names}, manifest.output)


def _ask_onnx(model: OnnxModel, encoded: npt.NDArray[np.float32]) -> Floats:
    predicted = model.predict(encoded).astype(np.float64)
    # A tree sends a NaN down some branch, and would answer.
    predicted[np.isnan(encoded).any(axis=1)] = np.nan
    return predicted


def _ask_signature(serve: Callable[..., Any], tensors: Tensors, output: str) -> Floats:
    rows = len(next(iter(tensors.values())))
    parts = [
        serve(**{name: tf.constant(values[start : start + _ASKED_ROWS]) for name, values in tensors.items()})
        for start in range(0, rows, _ASKED_ROWS)
    ]
    return np.concatenate([np.asarray(part[output], dtype=np.float64) for part in parts])
