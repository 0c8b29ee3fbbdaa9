"""Asking a bundle's SavedModel, on raw columns, as TensorFlow Serving would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.evaluate_model.metrics import Floats
from mulgil.artifacts import BUNDLE_SAVED_MODEL, BUNDLE_TRANSFORM, BundleManifest
from mulgil.preprocessing import FittedTransform
from mulgil.preprocessing.rows import Tensors


def predict(bundle_path: Path, manifest: BundleManifest, tensors: Tensors) -> Floats:
    """Score rows.

    Args:
        bundle_path: The bundle, already held against its checksums.
        manifest: Its manifest.
        tensors: At least the columns that the model reads.

    Returns:
        What the model gives for each row.

    Shapes:
        (rows,) each; returns (rows,), or (rows, width) where the model gives several numbers.
    """
    transform = FittedTransform.read(bundle_path / BUNDLE_TRANSFORM)
    model = tf.saved_model.load(str(bundle_path / BUNDLE_SAVED_MODEL))
    serve = model.signatures["serving_default"]
    answer = serve(**{column.name: tf.constant(tensors[column.name]) for column in transform.columns})
    return np.asarray(answer[manifest.output], dtype=np.float64)
