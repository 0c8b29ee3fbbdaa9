"""A bundle's fast model, whichever runtime it is of: what is served behind the fitted transform."""

from __future__ import annotations

from pathlib import Path

from mulgil.artifacts import BUNDLE_LITERT, BUNDLE_ONNX
from mulgil.litert_model import LiteRTModel
from mulgil.onnx_model import OnnxModel


def load_numeric_model(path: Path, answer_width: int) -> LiteRTModel | OnnxModel:
    """Load the bundle's ONNX model where it has one, or else its LiteRT model.

    Args:
        path: The bundle.
        answer_width: How many numbers the model must give for a row.

    Raises:
        InputError: Its runtime cannot load it, or its input or output is of another form.
    """
    if (path / BUNDLE_ONNX).exists():
        return OnnxModel(path / BUNDLE_ONNX, answer_width)
    return LiteRTModel(path / BUNDLE_LITERT, answer_width)
