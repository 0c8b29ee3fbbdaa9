"""Where the rows of a training are: in memory, or on the disk where there are too many of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from components.train_model.stored_examples import count_shard_rows
from mulgil.contract import DataDictionary, Task
from mulgil.contract.answers import AnswerForm
from mulgil.contract.learning import Training
from mulgil.preprocessing.rows import RowKey, TrainingRows, read_rows
from mulgil.preprocessing.stored_rows import (
    StoredRows,
    count_numbers,
    count_rows,
    count_rows_in_memory,
    open_rows,
)

# Of the rows that a bundle keeps as examples, at most.
_EXAMPLES = 32


Rows = TypeVar("Rows", TrainingRows, StoredRows)


@dataclass(frozen=True)
class Splits(Generic[Rows]):
    """The rows that are fitted on, and those that choices are made on.

    Attributes:
        train: The former.
        validation: The latter.
        most_rows: How many there may be in memory, of both together.
        seed: Of what is drawn by lot.
    """

    train: Rows
    validation: Rows
    most_rows: int
    seed: int

    @property
    def both(self) -> Rows:
        """All of them."""
        return self.train.joined(self.validation)

    def drawn(self) -> Splits[TrainingRows]:
        """Return them in memory: as many as there may be, drawn by lot."""
        share = self.most_rows / (len(self.train) + len(self.validation))
        train, validation = (
            rows.sample(max(1, int(len(rows) * share)), self.seed) if isinstance(rows, StoredRows) else rows
            for rows in (self.train, self.validation)
        )
        return Splits(train, validation, self.most_rows, self.seed)


def open_splits(
    training_rows_path: Path,
    dictionary: DataDictionary,
    task: Task,
    training: Training,
    *,
    key: RowKey | None = None,
) -> Splits[TrainingRows] | Splits[StoredRows]:
    """Read the rows, or only look at them where they are more than `training.memory_megabytes`.

    Args:
        training_rows_path: A directory with one Parquet file a split.
        dictionary: What the columns mean.
        task: The task.
        training: How much memory there is, and the seed.
        key: What each row has, so that folds go by it.

    Raises:
        InputError: As `read_rows`.
    """
    names = ("train", "validation")
    record = count_numbers(dictionary) + AnswerForm.of(task, dictionary).width
    most_rows = count_rows_in_memory(record, training.memory_megabytes)
    if sum(count_rows(training_rows_path, name) for name in names) <= most_rows:
        train, validation = (read_rows(training_rows_path, name, dictionary, key=key) for name in names)
        return Splits(train, validation, most_rows, training.seed)
    batch_rows = count_shard_rows(record, training.batch_size)
    opened, held_out = (
        open_rows(training_rows_path, name, dictionary, batch_rows, key=key) for name in names
    )
    return Splits(opened, held_out, most_rows, training.seed)


def choose_examples(rows: TrainingRows | StoredRows) -> TrainingRows:
    """Return what a bundle's examples are taken from: all rows, or a few of those on the disk."""
    return rows.evenly(_EXAMPLES) if isinstance(rows, StoredRows) else rows
