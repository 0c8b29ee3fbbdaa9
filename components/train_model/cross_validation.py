"""The answers of models that were fitted without the rows that they are about, for the evaluation to score.

Folds are those of the comparison and the search; each fits its own preprocessing and choice of features, and
no test row is read. The models are not calibrated: that takes rows that the fold could not be scored on.
"""

from __future__ import annotations

import numpy as np

from components.train_model.comparison import answer_fold, divide_into
from components.train_model.learners import Learner
from mulgil.artifacts import FoldAnswers, HeldOutAnswers
from mulgil.contract import Task
from mulgil.contract.cross_validation import CrossValidation
from mulgil.contract.learning import Training, shift_seed
from mulgil.contract.specifications import PreprocessingSpecification
from mulgil.errors import InputError, describe
from mulgil.preprocessing.rows import TrainingRows

# They are kept in the bundle, some twenty bytes each. More rows tell a score well enough by one look.
_MOST_ANSWERS = 500_000


def require_few_rows(asked: CrossValidation, rows: int) -> None:
    """Refuse folds of more rows than their answers can be kept of.

    Args:
        asked: How often each row is answered.
        rows: How many there are to divide.

    Raises:
        InputError: There are too many for so many repeats.
    """
    if asked.repeats * rows > _MOST_ANSWERS:
        raise InputError(
            describe(
                "Cross-validation is for tables that are small",
                expected=f"at most {_MOST_ANSWERS} rows, counted once a repeat",
                received=f"{rows} rows x {asked.repeats} repeats",
                next_step="ask for fewer repeats, or leave `cross_validation` out of project.yaml",
            )
        )


def cross_validate(
    learner: Learner,
    training: Training,
    asked: CrossValidation,
    task: Task,
    answer_width: int,
    specification: PreprocessingSpecification,
    rows: TrainingRows,
) -> HeldOutAnswers:
    """Fit a model for each fold, and have it answer the rows that were held out.

    Args:
        learner: The model.
        training: Its settings.
        asked: Folds, repeats and seed.
        task: The task.
        answer_width: How many numbers a model gives for a row.
        specification: How columns become numbers.
        rows: Rows to divide; no test row among them.

    Raises:
        InputError: There are too few entities to divide.
    """
    folds = []
    for repeat in range(asked.repeats):
        for fold in divide_into(asked.folds, shift_seed(asked.seed, repeat), task, rows):
            head, held_out, predicted = answer_fold(
                learner, task, answer_width, specification, rows, fold, training
            )
            given = head.in_unit(np.asarray(predicted, np.float64))
            given = given.reshape(len(held_out), -1)
            folds.append(
                FoldAnswers(
                    repeat=repeat,
                    fitted_rows=len(fold[0]),
                    target=tuple(held_out.target.tolist()),
                    predicted=tuple((given[:, 0] if given.shape[1] == 1 else given).tolist()),
                )
            )
    return HeldOutAnswers(folds=tuple(folds), rows=len(rows))
