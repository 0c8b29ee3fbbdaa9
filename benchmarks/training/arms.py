"""One way of fitting, in a process of its own: `python -m benchmarks.training.arms ARM ROWS EPOCHS BATCH`.

For each line that it reads, it fits a new network of the same layers to the same rows, and prints the seconds
of every epoch, as JSON. What comes before the first epoch ends (tracing, compiling) is told apart.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from components.tensorflow_startup import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

from components.train_model import fitting  # noqa: E402
from components.train_model.checkpoints import Checkpoints  # noqa: E402
from components.train_model.heads import Head  # noqa: E402
from components.train_model.learners import Examples  # noqa: E402
from components.train_model.network import NetworkBuilder  # noqa: E402
from components.train_model.progress import LocalProgress  # noqa: E402
from components.train_model.stored_examples import StoredExamples, count_shard_rows  # noqa: E402
from mulgil.contract import Task  # noqa: E402
from mulgil.contract.learning import Training  # noqa: E402

_NUMBERS = 20
HEAD = Head(Task.BINARY_CLASSIFICATION, 1)


class _Clock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.ends = [time.perf_counter()]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.ends.append(time.perf_counter())


def _fit_ours(examples: Examples | StoredExamples, training: Training, folder: Path) -> list[float]:
    clock = _Clock()

    class _Timed(fitting._Progress):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            super().on_epoch_end(epoch, logs)
            clock.on_epoch_end(epoch)

    progress, fitting._Progress = fitting._Progress, _Timed  # type: ignore[misc]
    try:
        builder = NetworkBuilder(training, None, folder)
        # A folder of its own each time, or the next would find its checkpoint.
        checkpoints = Checkpoints(LocalProgress(folder / f"{time.monotonic_ns()}"))
        fitting.fit_network(builder, HEAD, examples, training.max_epochs, checkpoints)
    finally:
        fitting._Progress = progress  # type: ignore[misc]
    return clock.ends


def _fit_plain(examples: Examples, training: Training, **compiled: object) -> list[float]:
    keras.utils.set_random_seed(training.seed)
    network = NetworkBuilder(training, None, Path()).build(examples.width, HEAD)
    network.compile(keras.optimizers.Adam(training.learning_rate), loss=HEAD.loss, **compiled)
    clock = _Clock()
    network.fit(
        examples.numbers,
        examples.target,
        batch_size=training.batch_size,
        epochs=training.max_epochs,
        callbacks=[clock],
        verbose=0,
    )
    return clock.ends


def _store(examples: Examples, training: Training, folder: Path) -> StoredExamples:
    """Write shards as a training does."""
    records = np.column_stack([examples.numbers, examples.target]).astype(np.float32)
    shard_rows = count_shard_rows(records.shape[1], training.batch_size)
    for number, start in enumerate(range(0, len(records), shard_rows)):
        records[start : start + shard_rows].tofile(folder / f"{number:06}.f32")
    return StoredExamples(folder, len(examples), examples.width, HEAD, shard_rows, "")


def main() -> None:
    """Fit as often as it is told."""
    arm, rows, epochs, batch = sys.argv[1], *map(int, sys.argv[2:])
    random = np.random.default_rng(0)
    numbers = random.normal(size=(rows, _NUMBERS)).astype(np.float32)
    target = (numbers[:, 0] + random.normal(size=rows) > 0).astype(np.float32)
    examples = Examples(numbers, target)
    training = Training(max_epochs=epochs, batch_size=batch)
    steps = -(-rows // batch)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        stored = _store(examples, training, folder) if arm == "streamed" else None
        fits: dict[str, Callable[[], list[float]]] = {
            "ours": lambda: _fit_ours(examples, training, folder),
            "streamed": lambda: _fit_ours(stored or examples, training, folder),
            "plain": lambda: _fit_plain(examples, training),
            "plain_one_call": lambda: _fit_plain(
                examples, training, steps_per_execution=steps, jit_compile=False
            ),
        }
        for _ in sys.stdin:
            ends = fits[arm]()
            print(json.dumps(np.diff(ends).tolist()), flush=True)


if __name__ == "__main__":
    main()
