"""TFDV, imported without its noise: what it, TensorFlow, Beam and Google's clients say about themselves.

There is no narrower import. Every part of TFDV imports Beam and TensorFlow through the package's own
`__init__`: three to eight seconds, once a process.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings

# TensorFlow's C++ part reads it as it loads. 3 leaves what is fatal: without a GPU, its errors are about
# CUDA libraries registered twice.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl
    from tensorflow_data_validation.statistics.generators import basic_stats_generator
    from tfx_bsl.arrow import array_util

    logging.disable(logging.NOTSET)

__all__ = ["array_util", "basic_stats_generator", "stats_impl", "tfdv"]
