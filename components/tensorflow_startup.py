"""Starting TensorFlow on the CPU without its greetings.

Called by the programs that use TensorFlow before anything imports it; this module does not import it when it
is imported itself.
"""

from __future__ import annotations

import os


def start_tensorflow() -> None:
    """Import TensorFlow, so that later imports are free and print nothing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN's order of summation depends on the machine; these models are too small to need it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # Its loader writes to the descriptor before its log level counts. An import that fails still raises.
    kept = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(silence)
        os.close(kept)
