"""Asking a bundle on raw columns, as what serves it would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.evaluate_model.metrics import Floats
from mulgil.artifacts import BUNDLE_ONNX, BUNDLE_SAVED_MODEL, BUNDLE_TRANSFORM, BundleManifest
from mulgil.onnx_model import OnnxModel
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.rows import Tensors

# Together, so that the layers of many images do not fill the memory. Chosen by eye.
_ASKED_ROWS = 1 << 12


def predict(bundle_path: Path, manifest: BundleManifest, tensors: Tensors, answer_width: int) -> Floats:
    """Score rows by the ONNX model behind the transform, or else by the SavedModel.

    Args:
        bundle_path: The bundle, already held against its checksums.
        manifest: Its manifest.
        tensors: At least the columns that the model reads.
        answer_width: How many numbers it gives for a row.

    Returns:
        What the model gives for each row; NaN where a number that it needs is missing.

    Shapes:
        (rows,) each; returns (rows,), or (rows, answer_width) where that is more than one.
    """
    transform = FittedTransform.read(bundle_path / BUNDLE_TRANSFORM)
    if BUNDLE_ONNX in manifest.files:
        encoded = TransformExecutor(transform).apply(tensors)
        predicted = OnnxModel(bundle_path / BUNDLE_ONNX, answer_width).predict(encoded).astype(np.float64)
        # A tree sends a NaN down some branch, and would answer.
        predicted[np.isnan(encoded).any(axis=1)] = np.nan
        return predicted
    model = tf.saved_model.load(str(bundle_path / BUNDLE_SAVED_MODEL))
    serve = model.signatures["serving_default"]
    rows = len(tensors[transform.inputs[0].name])
    parts = [
        serve(
            **{
                column.name: tf.constant(tensors[column.name][start : start + _ASKED_ROWS])
                for column in transform.inputs
            }
        )
        for start in range(0, rows, _ASKED_ROWS)
    ]
    return np.concatenate([np.asarray(part[manifest.output], dtype=np.float64) for part in parts])
