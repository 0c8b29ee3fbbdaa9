"""Preprocessing fitted once on the training rows: its record, and its execution without TensorFlow."""

from mulgil.preprocessing.executor import TransformExecutor
from mulgil.preprocessing.fitted import MISSING_CODE, FittedColumn, FittedTransform

__all__ = ["MISSING_CODE", "FittedColumn", "FittedTransform", "TransformExecutor"]
