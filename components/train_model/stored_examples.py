"""Examples that are more than the memory is for: encoded once, into shards on the disk.

Each row is dealt to a shard by a permutation that the seed decides, so that a shard is a sample of all rows
whatever their order in the table. A table of one shard keeps its order, and so the order in which its rows
are learned from is that of the same rows in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, overload

import numpy as np
import tensorflow as tf

from components.train_model.heads import Head
from components.train_model.learners import Examples, Floats
from components.train_model.shuffling import DEALING, shuffle
from mulgil.contract.learning import Training
from mulgil.errors import TemporaryError, describe
from mulgil.preprocessing import FittedTransform, TransformExecutor
from mulgil.preprocessing.draws import draw_places
from mulgil.preprocessing.rows import TrainingRows
from mulgil.preprocessing.stored_rows import StoredRows

# Of a shard; eight of them are shuffled together. Chosen by eye: a disk reads so much at once at full speed.
SHARD_BYTES = 1 << 22


@dataclass(frozen=True)
class StoredExamples:
    """Rows as a model takes them, on the disk.

    Attributes:
        folder: Where the shards are.
        rows: How many rows there are.
        width: How many numbers a row has; its truth follows them.
        head: It says what the truth is.
        shard_rows: Rows of each shard but the last; a multiple of the batch size.
        digest: Of their content.
        seed: Of what is drawn of them.
    """

    folder: Path
    rows: int
    width: int
    head: Head
    shard_rows: int
    digest: str
    seed: int = 0

    def __len__(self) -> int:
        return self.rows

    @property
    def identity(self) -> list[str]:
        """What makes them these."""
        return [self.digest]

    @property
    def shards(self) -> list[str]:
        """The shards' files; each is float32, a row's numbers and then its truth."""
        count = -(-self.rows // self.shard_rows)
        return [str(_shard(self.folder, shard)) for shard in range(count)]

    def parts(self, rows: int) -> Iterator[Examples]:
        """Return all rows, at most so many at a time."""
        for shard in self.shards:
            yield from self._read(shard).parts(rows)

    def first(self, rows: int) -> Examples:
        """Return so many rows, drawn by lot, or all where there are no more."""
        needed = self.shards[: -(-min(rows, self.rows) // self.shard_rows)]
        parts = [self._read(shard) for shard in needed]
        # Which shard a row is in is by lot; in a shard they keep the table's order.
        rest = rows - sum(map(len, parts[:-1]))
        parts[-1] = parts[-1].take(draw_places(len(parts[-1]), rest, self.seed))
        return Examples(
            np.concatenate([part.numbers for part in parts]), np.concatenate([part.target for part in parts])
        )

    def _read(self, shard: str) -> Examples:
        records = np.fromfile(shard, np.float32).reshape(-1, self.width + self.head.targets)
        target = records[:, self.width :].astype(self.head.target_type)
        return Examples(
            np.ascontiguousarray(records[:, : self.width]), target[:, 0] if self.head.targets == 1 else target
        )


class ExampleStore:
    """Where the examples of one training are: in memory, or where there are too many of them in a folder.

    The folder is made when it is needed, and is gone in the end. So is then what trainings that were killed
    left beside it: they hold no lock on it any more.

    Args:
        folder: Of all trainings on this machine.
        training: Seed and batch size decide what is in which shard.
    """

    def __init__(self, folder: Path, training: Training) -> None:
        self._folder = folder
        self._training = training
        self._own: Path | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove what was encoded until now."""
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
        self._own = None
        self._held.close()

    def require_room(self, rows: int, transform: FittedTransform, head: Head) -> None:
        """Refuse rows that the disk has surely no room for, before hours are spent on writing some of them.

        Raises:
            TemporaryError: It has not.
        """
        needed = rows * _count_record(transform, head) * np.dtype(np.float32).itemsize
        free = shutil.disk_usage(self._open()).free
        if free < needed:
            raise TemporaryError(
                describe(
                    f"There is no room for the {rows} rows as they are learned from, encoded on the disk",
                    expected=f"{needed / 1e6:,.3f} MB at {self._folder}",
                    received=f"{free / 1e6:,.3f} MB",
                    next_step="make room, with `mulgil runs prune` or `mulgil cache prune`, or set "
                    "MULGIL_HOME to a place on another disk",
                )
            )

    @overload
    def encode(self, transform: FittedTransform, head: Head, rows: TrainingRows) -> Examples: ...

    @overload
    def encode(self, transform: FittedTransform, head: Head, rows: StoredRows) -> StoredExamples: ...

    def encode(
        self, transform: FittedTransform, head: Head, rows: TrainingRows | StoredRows
    ) -> Examples | StoredExamples:
        """Encode rows; those on the disk into shards there, of nearly as many as are read at once."""
        if isinstance(rows, TrainingRows):
            return Examples(TransformExecutor(transform).apply(rows.tensors), head.encode(rows))
        folder = self._open() / uuid.uuid4().hex
        folder.mkdir()
        # Whole batches, so that a shard that is shuffled with others leaves no part of one.
        shard_rows = round_up(rows.batch_rows, self._training.batch_size)
        width = transform.width
        digest = hashlib.sha256(f"{len(rows)} {width} {shard_rows}".encode())
        start = 0
        for batch in rows.batches():
            records = _encode(transform, head, batch)
            digest.update(records.data)
            for shard, part in self._deal(records, start, len(rows), shard_rows):
                with _shard(folder, shard).open("ab") as file:
                    file.write(part.data)
            start += len(batch)
        return StoredExamples(
            folder, len(rows), width, head, shard_rows, digest.hexdigest(), self._training.seed
        )

    def _deal(self, records: Floats, start: int, rows: int, shard_rows: int) -> Iterator[tuple[int, Floats]]:
        """Return which shards some of the rows go to, and which rows go there, in their order."""
        if rows <= shard_rows:
            yield 0, records
            return
        places = tf.range(start, start + len(records), dtype=tf.int64)
        shards = np.asarray(shuffle(places, self._training.seed, 0, DEALING, rows=rows)) // shard_rows
        order = np.argsort(shards, kind="stable")
        records, shards = records[order], shards[order]
        found, starts = np.unique(shards, return_index=True)
        yield from zip(found.tolist(), np.split(records, starts[1:]), strict=True)

    def _open(self) -> Path:
        if self._own is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # One at a time, so that nobody takes a folder that is just being made for one that was left.
            with _locked(self._folder, wait=True):
                for entry in os.scandir(self._folder):
                    with contextlib.suppress(OSError), _locked(Path(entry.path)):
                        shutil.rmtree(entry.path)
                own = self._folder / uuid.uuid4().hex
                own.mkdir()
                self._held.enter_context(_locked(own))
            self._own = own
        return self._own


def _count_record(transform: FittedTransform, head: Head) -> int:
    return transform.width + head.targets


def _encode(transform: FittedTransform, head: Head, rows: TrainingRows) -> Floats:
    records = np.empty((len(rows), _count_record(transform, head)), np.float32)
    records[:, : transform.width] = TransformExecutor(transform).apply(rows.tensors)
    records[:, transform.width :] = head.encode(rows).reshape(len(rows), -1)
    return records


def count_shard_rows(record: int, batch_size: int) -> int:
    """Return how many rows of so many numbers a shard has: whole batches of about `SHARD_BYTES`."""
    return round_up(max(1, SHARD_BYTES // (4 * record)), batch_size)


def round_up(rows: int, batch_size: int) -> int:
    """Return the least number of rows from `rows` on that is so many whole batches."""
    return -(-rows // batch_size) * batch_size


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder.

    Raises:
        BlockingIOError: Another process does, and it is not to be waited for.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.f32"
