"""The model that serves now, asked about the same test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.evaluate_model.bundle_dictionary import read_dictionary
from components.evaluate_model.metrics import Floats
from components.evaluate_model.scoring import open_model
from mulgil import registry
from mulgil.artifacts import read_bundle
from mulgil.contract import DataDictionary, Task
from mulgil.contract.answers import AnswerForm
from mulgil.errors import InputError
from mulgil.preprocessing.rows import TrainingRows


@dataclass(frozen=True)
class ChampionAnswer:
    """What the champion said.

    Attributes:
        version: Its version; `None` where there is no champion but the candidate itself.
        fingerprint: Of its bundle; empty where there is none.
        predicted: What it gives for each test row; `None` where it cannot be compared.
        reason: Why not.
    """

    version: str | None = None
    fingerprint: str = ""
    predicted: Floats | None = None
    reason: str = ""


def ask_champion(
    name: str, candidate_fingerprint: str, dictionary: DataDictionary, test: TrainingRows
) -> ChampionAnswer:
    """Score the test rows with the registered model's champion.

    The champion may have been fitted on some of them, where the split has changed since; that makes the
    comparison harder for the candidate, never easier.

    Args:
        name: The registered model.
        candidate_fingerprint: Of the candidate's bundle, which is not held against itself.
        dictionary: The dictionary of the candidate, which the rows were read by.
        test: The test rows.

    Raises:
        InputError: The champion's bundle is damaged.
    """
    champion = registry.find_champion(name, other_than=candidate_fingerprint)
    if champion is None:
        return ChampionAnswer(reason=f"no other version of {name} is the champion")
    version, fingerprint = champion.version, champion.bundle_fingerprint
    path = registry.bundle_directory(champion)
    manifest = read_bundle(path)
    who = f"the champion, version {version},"
    try:
        mismatch = explain_mismatch(read_dictionary(path), dictionary)
    except InputError:
        mismatch = "has a dictionary of another version of Mulgil"
    if mismatch is not None:
        return ChampionAnswer(version, fingerprint, reason=f"{who} {mismatch}")
    answer_width = AnswerForm.of(Task(manifest.task), dictionary).width
    predicted = open_model(path, manifest, answer_width)(test.tensors)
    unanswered = int(np.isnan(predicted.reshape(len(test), -1)).any(axis=1).sum())
    if unanswered:
        return ChampionAnswer(
            version, fingerprint, reason=f"{who} needs a value that {unanswered} of the test rows lack"
        )
    return ChampionAnswer(version, fingerprint, predicted)


def explain_mismatch(champion: DataDictionary, candidate: DataDictionary) -> str | None:
    """Say why rows of the candidate's dictionary are not the champion's to judge; `None` where they are."""
    old, new = (
        [(target.name, target.type, target.derived, tuple(target.categories or ())) for target in targets]
        for targets in (champion.targets, candidate.targets)
    )
    if old != new:
        told = [f"{name} ({derived or 'as it stands in the source'})" for name, _, derived, _ in old]
        return f"predicts something else: {', '.join(told)}"
    types = {column.name: column.type for column in candidate.inputs}
    gone = [column.name for column in champion.inputs if column.name not in types]
    if gone:
        return "reads columns that are not there any more: " + ", ".join(gone)
    changed = [
        f"{column.name} as {column.type}" for column in champion.inputs if column.type != types[column.name]
    ]
    return f"reads {', '.join(changed)}" if changed else None
