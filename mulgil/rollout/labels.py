"""What was true, joined with what was predicted: losses of each version, as far as labels came.

A label that comes late counts when it comes. What is returned is always all that is known since a time, so
that nothing is counted twice or left out, whoever asks.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mulgil.contract.labels import LabelKind, Labels
from mulgil.errors import InputError, TemporaryError, describe
from mulgil.rollout.evidence import Array
from mulgil.rollout.sources import Arms

# Labels come by the hour; to read them all with each window would cost more than it tells.
_LOOK_SECONDS = 60.0
_WORDS = {
    "true": True,
    "yes": True,
    "1": True,
    "1.0": True,
    "false": False,
    "no": False,
    "0": False,
    "0.0": False,
}
# The identity of a prediction, and what is judged.
_COLUMNS = (
    *("_id", "_source", "_prediction_id", "_instance", "_instances", "_time", "_version"),
    *("_prediction", "_answer"),
)


@dataclass(frozen=True)
class Judged:
    """Predictions of one version whose truth has come.

    Attributes:
        times: When they were made.
        losses: 1 for a wrong class and 0 for a right one; or squared errors, of a quantile pinball losses.

    Units:
        Times in seconds since the epoch.
    """

    times: Array
    losses: Array

    def between(self, start: float, end: float) -> Array:
        """Return the losses of predictions made from a time on until another."""
        losses: Array = self.losses[(self.times >= start) & (self.times < end)]
        return losses


class LabelSource(Protocol):
    """A place where labels come."""

    kind: LabelKind

    def judge(self, arms: Arms, since: float) -> Mapping[str, Judged] | None:
        """Return what is known of each version's predictions since a time; `None` where it is too soon.

        Raises:
            MulgilError: It cannot be read.
        """


class LabelFiles:
    """Labels in files, joined with the prediction log.

    Args:
        labels: Where they come, and how they name a prediction.
        predictions: Folder of the prediction log.
        needs_logger: Whether predictions come there only where the InferenceService asks for it.
        look_seconds: From one look to the next.
        clock: For that.
    """

    def __init__(
        self,
        labels: Labels,
        predictions: Path,
        *,
        needs_logger: bool = False,
        look_seconds: float = _LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = labels.kind
        self.needs_logger = needs_logger
        self._labels = labels
        self._predictions = predictions
        self._look_seconds, self._clock = look_seconds, clock
        self._looked_at = -math.inf

    def check(self) -> None:
        """Refuse labels that are there already, and are not what the policy says.

        Raises:
            InputError: A column is missing, or the files are not what they are called.
        """
        for _ in self._tables():
            pass

    def judge(self, arms: Arms, since: float) -> Mapping[str, Judged] | None:
        """Return what is known of each version's predictions since a time."""
        if self._clock() - self._looked_at < self._look_seconds:
            return None
        truths = self._read_truths()
        rows = self._read_predictions(arms, since, truths)
        pairs = self._by_id(rows, truths) if self._labels.entity is None else self._by_entity(rows, truths)
        losses: dict[str, list[tuple[float, float]]] = {arms.stable: [], arms.canary: []}
        for row, truth in pairs:
            loss = self._loss(row, truth)
            if loss is not None:
                losses[row["_version"]].append((row["_time"].timestamp(), loss))
        self._looked_at = self._clock()
        return {
            version: Judged(*np.array(known, dtype=np.float64).reshape(-1, 2).T)
            for version, known in losses.items()
        }

    def _read_truths(self) -> list[dict[str, Any]]:
        """Return the labels that name something and say something."""
        rows = (row for table in self._tables() for row in table.to_pylist())
        return [row for row in rows if all(value is not None and value == value for value in row.values())]

    def _tables(self) -> Iterator[Any]:
        labels = self._labels
        named = labels.prediction_id, labels.instance, labels.entity, labels.time, labels.label
        columns = [name for name in named if name is not None]
        # In CSV a key of digits is a text that looks like a number.
        keys = [name for name in (labels.prediction_id, labels.entity) if name is not None]
        for system, path in _find_files(labels.path):
            yield _read_table(system, path, columns, keys)

    def _read_predictions(
        self, arms: Arms, since: float, truths: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the predictions of both versions that a label may name, in the order of their times."""
        # It reads Parquet: 40 MB.
        import pyarrow as pa
        import pyarrow.compute as pc

        from mulgil.prediction_log.reading import read_predictions

        key = "_prediction_id" if self._labels.entity is None else self._labels.entity
        name = self._labels.prediction_id or self._labels.entity
        assert name is not None
        keys = pa.array(sorted({_text(row[name]) for row in truths}), pa.string())

        def is_named(table: pa.Table) -> pa.Table:
            if key not in table.column_names:
                return table.slice(0, 0)
            return table.filter(pc.is_in(pc.cast(table[key], pa.string()), value_set=keys))

        rows = [
            row
            for version in (arms.stable, arms.canary)
            if version
            for row in read_predictions(
                self._predictions,
                arms.service,
                version=version,
                namespace=arms.namespace,
                start=datetime.fromtimestamp(since, UTC),
                status=200,
                columns=(*_COLUMNS, key),
                keep=is_named,
            ).to_pylist()
        ]
        return sorted(rows, key=lambda row: row["_time"])

    def _by_id(
        self, rows: list[dict[str, Any]], truths: list[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """Pair predictions with labels of their id; of two labels of one prediction the last one counts."""
        place, name = self._labels.instance, self._labels.prediction_id
        assert name is not None
        known = {
            (_text(truth[name]), "0" if place is None else _text(truth[place])): truth for truth in truths
        }
        for row in rows:
            # Of a request with several rows, an id alone does not say which.
            if place is None and row["_instances"] != 1:
                continue
            truth = known.get((row["_prediction_id"], str(row["_instance"] or 0)))
            if truth is not None:
                yield row, truth[self._labels.label]

    def _by_entity(
        self, rows: list[dict[str, Any]], truths: list[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """Pair each label with its entity's newest prediction before, each prediction once."""
        entity, when = self._labels.entity, self._labels.time
        assert entity is not None
        assert when is not None
        made: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        for row in rows:
            made.setdefault(_text(row[entity]), []).append((row["_time"].timestamp(), row))
        taken = set()
        for truth in sorted(truths, key=lambda truth: _seconds(truth[when])):
            at, own = _seconds(truth[when]), made.get(_text(truth[entity]), [])
            place = bisect_right(own, at, key=lambda one: one[0]) - 1
            if place < 0 or at - own[place][0] > self._labels.within_hours * 3600:
                continue
            row = own[place][1]
            if (identity := (row["_source"], row["_id"], row["_instance"])) not in taken:
                taken.add(identity)
                yield row, truth[self._labels.label]

    def _loss(self, row: Mapping[str, Any], truth: Any) -> float | None:
        """Judge a prediction; `None` where it or its label is none of the kind."""
        prediction = row["_prediction"]
        if self.kind is LabelKind.NUMBER:
            try:
                missing = None if prediction is None else float(truth) - prediction
            except ValueError:
                return None
            return None if missing is None else _loss_of_number(missing, self._labels.quantile)
        if prediction is not None:
            yes = _WORDS.get(str(truth).strip().lower())
            return None if yes is None else float((prediction >= self._labels.threshold) is not yes)
        called = _called(row["_answer"])
        return None if called is None else float(called != _text(truth))


def _loss_of_number(missing: float, quantile: float | None) -> float:
    """Judge a number that is so much too low by what it was fitted for: the mean, or a quantile."""
    return missing**2 if quantile is None else max(quantile * missing, (quantile - 1) * missing)


def _find_files(address: str) -> Iterator[tuple[Any, str]]:
    """Return the files of a path or URL; none where there is nothing yet."""
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(address)
        paths = system.find(root) if system.exists(root) else []
    except (OSError, ValueError, ImportError) as exc:
        raise TemporaryError(describe(f"Labels at {address} cannot be read", received=str(exc))) from exc
    for path in sorted(paths):
        # What a writer has not finished begins so, by the custom of Spark and of Hadoop.
        if not path.rpartition("/")[2].startswith((".", "_")):
            yield system, path


def _read_table(system: Any, path: str, columns: list[str], keys: list[str]) -> Any:
    """Read the columns of one file, of which some are keys.

    Raises:
        InputError: It lacks one, or is none of the three formats.
        TemporaryError: It cannot be read, as one that is just being written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet as pq

    ending = path.rpartition(".")[2].lower()
    try:
        with system.open(path, "rb") as file:
            match ending:
                case "parquet":
                    table = pq.read_table(file)
                case "csv":
                    types = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(keys, pa.string()))
                    table = pyarrow.csv.read_csv(file, convert_options=types)
                case "jsonl" | "ndjson" | "json":
                    table = pyarrow.json.read_json(file)
                case _:
                    raise InputError(
                        describe(
                            f"{path} is not a file of labels",
                            expected=".parquet, .csv, .jsonl, .ndjson or .json with an object a line",
                            received=path.rpartition("/")[2],
                        )
                    )
    except (OSError, pa.ArrowException) as exc:
        raise TemporaryError(describe(f"Labels in {path} cannot be read", received=str(exc))) from exc
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise InputError(
            describe(
                f"Labels in {path} lack {', '.join(missing)}",
                expected=f"the columns {', '.join(columns)}, as rollout.labels names them",
                received=", ".join(table.column_names),
            )
        )
    return table.select(columns)


def _called(answer: str | None) -> str | None:
    """Return the class that an answer calls; `None` where it is none of classes."""
    try:
        content = json.loads(answer or "null")
    except ValueError:
        return None
    return _text(content["label"]) if isinstance(content, dict) and "label" in content else None


def _text(value: Any) -> str:
    """Write a key so that equal ones are equal, whether a file has it as 7, 7.0 or "7"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _seconds(moment: Any) -> float:
    """Return seconds since the epoch; a time without a zone is UTC.

    Raises:
        InputError: It is no time.
    """
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return float(moment)
    try:
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        read = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    except ValueError as exc:
        raise InputError(
            describe(
                "A label's time is none",
                expected="ISO 8601, or seconds since the epoch",
                received=str(moment),
            )
        ) from exc
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
