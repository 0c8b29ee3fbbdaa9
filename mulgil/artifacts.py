"""What steps hand over: the records, and how they reach the disk whole.

Every record is a frozen pydantic model in a JSON file. A file or directory is written under a temporary
name beside its place and renamed, so that a reader sees all of it or none, whenever the writer dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mulgil.errors import GateRejectedError, InputError, PermanentError, describe
from mulgil.online_stores import StoreKind

SPLITS = ("train", "validation", "test")

SUMMARY = "summary.json"

# What a registered version's approval rests on, as the registry keeps it.
EVALUATION, VERDICT = "evaluation.json", "verdict.json"

# One raw row as a request carries it; `None` is missing, and an image `{"b64": …}`.
Instance = dict[str, float | int | bool | str | dict[str, str] | None]


def write_text(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees a part of it.

    Raises:
        PermanentError: The place cannot be written to; nothing is left there.
    """
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise _unwritable(path, exc) from exc


@contextlib.contextmanager
def staged_directory(path: Path) -> Iterator[Path]:
    """Give an empty directory that takes the name `path` when the block ends without an error.

    Args:
        path: The final place. What stands there is replaced.

    Yields:
        The directory to fill, beside its final place and so on the same file system.

    Raises:
        PermanentError: There can be no directory at that place.
    """
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir()
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    try:
        yield staged
        _take_place(staged, path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _take_place(staged: Path, path: Path) -> None:
    while True:
        try:
            staged.replace(path)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Another writer may have been first since the last look, or may be removing the same.
            with contextlib.suppress(FileNotFoundError):
                remove_directory(path)
        else:
            return


def remove_directory(path: Path) -> None:
    """Remove a directory, out of sight at once: nobody finds a part of it.

    Raises:
        FileNotFoundError: It is not there.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    path.replace(aside)
    shutil.rmtree(aside)


def _unwritable(path: Path, exc: OSError) -> PermanentError:
    return PermanentError(describe(f"Cannot write {path}: {exc.strerror}", next_step="give another place"))


def fingerprint_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def fingerprint_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_files(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file under `root`, by its path relative to `root`, sorted."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): fingerprint_file(path) for path in files}


def fingerprint_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    return fingerprint_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


class Record(BaseModel):
    """A frozen JSON record that one step writes and another reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, path: Path) -> None:
        """Write the record to `path`, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record.

        Raises:
            InputError: The file is missing, is not JSON, or does not hold such a record.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as exc:
            raise InputError(
                describe(
                    f"Cannot read {path}: {exc.strerror}",
                    expected=f"a {cls.__name__} written by an earlier step",
                )
            ) from exc
        except ValidationError as exc:
            raise InputError(describe(f"{path} does not hold a {cls.__name__}", received=str(exc))) from exc


DATASET_MANIFEST = "manifest.json"


class SpanSummary(Record):
    """A dated or numbered part of a source in a dataset.

    In each split its rows follow those of the span before it.

    Attributes:
        name: Its date or its number.
        rows_read: Rows in its files.
        rows: Of them, those in each split, by its name.
        rows_quarantined: Of them, those set aside with a reason.
        rows_deduplicated: Of them, exact repetitions of an earlier row.
    """

    name: str
    rows_read: int
    rows: dict[str, int]
    rows_quarantined: int
    rows_deduplicated: int


class SpanNews(Record):
    """What became of a source's spans since the last ingestion; it stands beside the rows set aside.

    A dataset does not have it: where nothing is new, it is the one of before.

    Attributes:
        new: Names of those that the last ingestion did not have.
        changed: Of those that hold something else.
        vanished: Of those that are there no longer.
    """

    FILE: ClassVar[str] = "spans.json"

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


class DatasetManifest(Record):
    """What `ingest_data` made; it stands as `DATASET_MANIFEST` beside the splits' Parquet files.

    `rows_read == sum(rows.values()) + rows_quarantined + rows_deduplicated`, always.

    Attributes:
        fingerprint: SHA-256 over the splits' rows.
        dictionary_fingerprint: Of the dictionary that the rows were read by.
        source: Where the rows came from.
        rows_read: Rows in the source.
        rows: Rows in each split, by its name.
        rows_quarantined: Rows set aside with a reason.
        rows_deduplicated: Exact repetitions of an earlier row.
        spans: The parts of the source, the oldest first, where it has such.
    """

    fingerprint: str
    dictionary_fingerprint: str
    source: str
    rows_read: int
    rows: dict[str, int]
    rows_quarantined: int
    rows_deduplicated: int
    spans: tuple[SpanSummary, ...] = ()

    def tell_spans(self, news: SpanNews | None) -> tuple[str, ...]:
        """Say which spans there are and what became of them since the last ingestion; nothing without spans.

        Args:
            news: What became of them, nothing where an earlier run's dataset is taken as it is; `None` where
                that is not known.
        """
        if not self.spans:
            return ()
        first, last = self.spans[0].name, self.spans[-1].name
        all_of_them = (
            f"{len(self.spans)} spans, {first} to {last}" if len(self.spans) > 1 else f"span {first}"
        )
        if news is None:
            return all_of_them, "which of them are new is not recorded"
        facts = {
            "new": news.new,
            "changed, and read anew": news.changed,
            "vanished, and left out": news.vanished,
        }
        told = [f"{words}: {_shorten(names)}" for words, names in facts.items() if names]
        return all_of_them, *(told or ["nothing new since the last ingestion"])


_SPANS_SHOWN = 10


def _shorten(names: Sequence[str]) -> str:
    more = len(names) - _SPANS_SHOWN
    return ", ".join(names[:_SPANS_SHOWN]) + (f" and {more} more" if more > 0 else "")


class QuarantineReason(Record):
    """One way in which rows were wrong.

    Attributes:
        column: The column, by its name in the dictionary.
        expected: What the dictionary allows.
        received: What came instead in one such row; hidden where the column is sensitive.
        rows: How many rows are wrong in this way.
    """

    column: str
    expected: str
    received: str
    rows: int


class QuarantineSummary(Record):
    """Why rows were set aside; it stands as `summary.json` beside them.

    A row that is wrong in two ways counts in both.

    Attributes:
        reasons: The commonest first.
        due: When the first row of which the time had not come is right, if there is such.
    """

    reasons: tuple[QuarantineReason, ...]
    due: datetime | None = None


class ColumnDistribution(Record):
    """How a column's values are spread, by split and by the target's answer.

    Attributes:
        edges: Of a number's bins, one more than there are bins; the last bin has its upper edge.
        categories: Of a code or an answer, one a bin; a number has none.
        rows: Rows in each bin, by split, then by the answer, `no` and `yes`; under `all` where the answer is
            sensitive.
        missing: Rows without a value, by split.
        quartiles: Least, lower quartile, median, upper quartile and greatest of a number's training rows;
            empty where there are none.
        cell_edges: Of the cells in which a number's distance from the training rows is measured; each reaches
            up to its edge, and has it. One more is above the last. A code's cells are its categories.
        cells: Rows in each of them, by split.
    """

    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    rows: dict[str, dict[str, tuple[int, ...]]]
    missing: dict[str, int]
    quartiles: tuple[float, ...] = ()
    cell_edges: tuple[float, ...] = ()
    cells: dict[str, tuple[int, ...]] = {}


class DistributionSummary(Record):
    """The spread of every column that may be shown; it stands as `summary.json` beside the statistics.

    Attributes:
        columns: By name, in the dictionary's order. A sensitive column is not among them, nor is one that
            came with the wrong type.
    """

    columns: dict[str, ColumnDistribution]


NEWEST_SPAN = "newest_span.json"


class ColumnDrift(Record):
    """How far a column's values in the newest span lie from those before.

    Attributes:
        divergence: Jensen-Shannon divergence in common cells, rows without a value in one of their own.
        chance: What samples of this size stay under, of all columns, with 95 % confidence.
        limit: The declared one, if any.
        by_tfdv: What TFDV's own drift comparator measures, in cells of its own; `None` where it does not.
        where: The values whose share changed most, in words; empty where they may not be shown.
        share_before: Their share of the spans before.
        share_newest: Their share of the newest span.
    """

    divergence: float
    chance: float
    limit: float | None
    by_tfdv: float | None
    where: str
    share_before: float
    share_newest: float

    @property
    def is_beyond_chance(self) -> bool:
        """Whether chance alone does not explain it."""
        return self.divergence > self.chance


class SpanComparison(Record):
    """The newest span beside those before; it stands as `NEWEST_SPAN` beside the statistics.

    Attributes:
        name: The newest span.
        rows: Its rows.
        rows_before: Those of the spans before.
        columns: By name, in the dictionary's order.
    """

    name: str
    rows: int
    rows_before: int
    columns: dict[str, ColumnDrift]


class Check(Record):
    """One question a gate asked.

    Attributes:
        name: What was asked, such as `roc_auc_floor` or `domain:thal`.
        is_passed: The answer.
        value: The number it was decided by, where there is one.
        limit: The number it was held against, where there is one.
        reason: The answer in a sentence for the reader of the verdict.
        is_blocking: Whether the gate says no where the answer is no; else it warns.
    """

    name: str
    is_passed: bool
    value: float | None = None
    limit: float | None = None
    reason: str
    is_blocking: bool = True


class Verdict(Record):
    """A gate's decision.

    Attributes:
        gate: The step that decided, such as `evaluate_model`.
        subject: Fingerprint of what was judged: a dataset's or a bundle's.
        is_approved: Whether every check passed that can say no.
        checks: Every check, passed or not.
    """

    gate: str
    subject: str
    is_approved: bool
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, gate: str, subject: str, checks: list[Check]) -> Self:
        """Decide: approved where every check passed that can say no, and there was at least one check."""
        approved = bool(checks) and all(check.is_passed or not check.is_blocking for check in checks)
        return cls(gate=gate, subject=subject, is_approved=approved, checks=tuple(checks))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the checks that failed and can say no."""
        return tuple(check.reason for check in self.checks if not check.is_passed and check.is_blocking)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The reasons of the checks that failed and only warn."""
        return tuple(check.reason for check in self.checks if not check.is_passed and not check.is_blocking)

    def require_approval(self) -> None:
        """Raise where the gate said no.

        Raises:
            GateRejectedError: With the reason of every check that failed.
        """
        if not self.is_approved:
            reasons = "\n".join(f"  - {reason}" for reason in self.reasons) or "  - nothing was checked"
            raise GateRejectedError(f"{self.gate} rejected {self.subject[:12]}:\n{reasons}")


def require_approval(path: Path, *, gate: str, subject: str) -> Verdict:
    """Read the verdict that a step must have before it acts.

    Args:
        path: The verdict's file.
        gate: The gate that must have decided.
        subject: Fingerprint of what is about to be used; the verdict must be about the same.

    Raises:
        GateRejectedError: The verdict is missing, unreadable, another gate's, about something else, or a no.
    """
    try:
        verdict = Verdict.read(path)
    except InputError as exc:
        raise GateRejectedError(
            describe(f"No verdict of {gate} can be read, and none means no", received=str(exc))
        ) from exc
    if (verdict.gate, verdict.subject) != (gate, subject):
        raise GateRejectedError(
            describe(
                "The verdict is about something else",
                expected=f"gate={gate} subject={subject[:12]}",
                received=f"gate={verdict.gate} subject={verdict.subject[:12]}",
            )
        )
    verdict.require_approval()
    return verdict


class FeatureServiceReference(Record):
    """The Feast feature service a model reads, and the version of the online store that holds its values.

    Attributes:
        name: The feature service.
        derived_name: The one that has the derived columns too, where there are such.
        project: The Feast project.
        store_version: Hash of the feature definitions.
        store_kind: What keeps the online values.
        online_store: Where in it: the SQLite file, or the name of Redis' hash.
        row_form: Form of the rows there (`mulgil.online_rows`); `None` in a record of before there was one.
        entity: The entity's column.
        unknown_entity: What a request by an entity that is not known gets: refused, or its features filled.
        features: The features' columns, in the model's order; none of a model of images.
    """

    name: str
    derived_name: str | None = None
    project: str
    store_version: str
    store_kind: StoreKind = "sqlite"
    online_store: str
    row_form: int | None = None
    entity: str
    unknown_entity: Literal["refuse", "fill"] = "refuse"
    features: tuple[str, ...]


class BundleManifest(Record):
    """A model bundle's `bundle.json`: what it is, and the checksum of every other file in it.

    Attributes:
        name: The model's name.
        task: The task, such as `binary_classification`.
        output: Name of the output tensor.
        data_fingerprint: Of the rows it was trained on.
        dictionary_fingerprint: Of the dictionary in the bundle.
        feature_service: What it reads by entity.
        files: SHA-256 by path relative to the bundle.
    """

    name: str
    task: str
    output: str
    data_fingerprint: str
    dictionary_fingerprint: str
    feature_service: FeatureServiceReference
    files: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the manifest, and so over every file's content."""
        return fingerprint_json(self.model_dump(mode="json"))


BUNDLE_MANIFEST = "bundle.json"
BUNDLE_SAVED_MODEL = "saved_model"
BUNDLE_LITERT = "model.tflite"
BUNDLE_ONNX = "model.onnx"
BUNDLE_TRANSFORM = "transform.json"
BUNDLE_DICTIONARY = "dictionary.json"
BUNDLE_EXAMPLE = "example.json"
BUNDLE_BACKGROUND = "background.json"
BUNDLE_CROSS_VALIDATION = "cross_validation.json"
BUNDLE_DECISION = "decision.json"
BUNDLE_CALIBRATION = "calibration.json"
BUNDLE_SELECTION = "selection.json"


def read_bundle(path: Path) -> BundleManifest:
    """Read a bundle's manifest and hold every file against its checksum.

    Raises:
        InputError: A file is missing, unexpected or changed, by name.
    """
    manifest = BundleManifest.read(path / BUNDLE_MANIFEST)
    found = fingerprint_files(path)
    found.pop(BUNDLE_MANIFEST, None)
    wrong = sorted(
        name for name in manifest.files.keys() | found.keys() if manifest.files.get(name) != found.get(name)
    )
    if wrong:
        raise InputError(
            describe(
                f"The model bundle {path} is not what was written",
                expected="every file to match its checksum in bundle.json",
                received="changed, missing or added: " + ", ".join(wrong),
                next_step="deploy the bundle again from the registry, or train again",
            )
        )
    return manifest


class ThresholdPoint(Record):
    """What calling a yes from one probability on did to validation rows.

    Attributes:
        threshold: The probability.
        false_positives: Noes that were called a yes.
        false_negatives: Yeses that were not.
        true_positives: Yeses that were.
        true_negatives: Noes that were not.
    """

    threshold: float
    false_positives: int
    false_negatives: int
    true_positives: int
    true_negatives: int


class DecisionRule(Record):
    """From which probability on a yes is called, and why; a bundle's `decision.json`.

    Attributes:
        threshold: The probability.
        rule: What it was chosen by, in words.
        is_met: Whether what was asked for holds on the validation rows.
        false_positive_cost: Of a yes that is called wrongly, where it was chosen by costs.
        false_negative_cost: Of a no that is.
        unit: What costs are counted in.
        rows: Validation rows.
        points: What every hundredth would have done to them.
    """

    threshold: float
    rule: str
    is_met: bool
    false_positive_cost: float | None = None
    false_negative_cost: float | None = None
    unit: str = ""
    rows: int
    points: tuple[ThresholdPoint, ...]


class CalibrationMap(Record):
    """How a model's probabilities were mapped to what comes true; a bundle's `calibration.json`.

    The model's own files do it; this tells of it.

    Attributes:
        kind: `isotonic`, `platt` or `temperature`.
        is_of_classes: Whether the probabilities sum to one, as those of several classes do.
        rows: Validation rows that it was fitted on.
        slopes: What log odds, or of classes under `temperature` logarithms, are multiplied by; one a column,
            or one.
        offsets: What is added to them then.
        knots: Of `isotonic`, by column, probabilities between which lines are drawn.
        levels: What each becomes.
    """

    kind: str
    is_of_classes: bool
    rows: int
    slopes: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    knots: tuple[tuple[float, ...], ...] = ()
    levels: tuple[tuple[float, ...], ...] = ()


class FeatureImportance(Record):
    """How much a feature matters, and what chance makes of one that does not.

    Attributes:
        name: The column.
        importance: By the method of its `FeatureSelection`.
        by_chance: The most that is to be expected of a feature that says nothing.
        is_kept: Whether the model reads it.
    """

    name: str
    importance: float
    by_chance: float
    is_kept: bool


class FeatureSelection(Record):
    """Which features a model reads, and why; a bundle's `selection.json`.

    Attributes:
        method: `mutual_information` in nats, `select_from_model` in shares of a forest's gain, or
            `permutation_importance` in loss.
        asked: How many features were to be kept; `None` where chance decided.
        rows: Training rows that they were chosen by.
        features: Every feature, in the dictionary's order.
    """

    method: str
    asked: int | None
    rows: int
    features: tuple[FeatureImportance, ...]

    @property
    def kept(self) -> frozenset[str]:
        """Names of the features that the model reads."""
        return frozenset(feature.name for feature in self.features if feature.is_kept)


class TuningTrial(Record):
    """Settings that were tried.

    Attributes:
        settings: By name; none are those that the project declares.
        loss: Mean over the folds, as of `FamilyScore`; `None` where they could not be fitted.
        losses: Of each fold, in one order for all trials; fewer where it was ended early.
        seconds: What it took.
        reason: Why it has no loss, or one of fewer folds.
    """

    settings: dict[str, Any]
    loss: float | None = None
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""

    @property
    def name(self) -> str:
        """Its settings in words."""
        return _name_settings(self.settings) or "as declared"


class FamilyScore(Record):
    """How a family of models did in cross-validation.

    Attributes:
        family: Its name.
        loss: Mean over the folds: log loss, or of a number the mean squared error in squares of its standard
            deviation, of its quantile the pinball loss; `None` where it was not compared.
        standard_error: Of that mean.
        seconds: How long it took.
        reason: Why it was not compared.
    """

    family: str
    loss: float | None
    standard_error: float | None
    seconds: float
    reason: str = ""


class CapacityStep(Record):
    """A model without a penalty, fitted on the training rows to see whether it overfits.

    Attributes:
        settings: What makes its capacity.
        parameters: Numbers that it learned.
        loss: On the training rows: of a network in each epoch, else one.
        val_loss: On the validation rows, likewise; empty where it could not be fitted.
        is_overfitting: Whether the validation loss rose while the training loss fell.
        seconds: What it took.
        reason: Why it could not be fitted.
    """

    settings: dict[str, Any]
    parameters: int = 0
    loss: tuple[float, ...] = ()
    val_loss: tuple[float, ...] = ()
    is_overfitting: bool = False
    seconds: float = 0.0
    reason: str = ""

    @property
    def name(self) -> str:
        """Its settings in words."""
        return _name_settings(self.settings)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the least validation loss."""
        return self.val_loss.index(min(self.val_loss)) + 1


class CapacityPath(Record):
    """Models of more and more capacity, until one overfitted.

    Attributes:
        steps: The simplest first.
        reason: Why they end without one that overfits; empty where there is one, which is the last.
    """

    steps: tuple[CapacityStep, ...]
    reason: str = ""


class LearningCurvePoint(Record):
    """What so many rows teach.

    Attributes:
        rows: That were fitted on, in each fold.
        losses: On the rows that each fold held out.
        training_losses: On those that were fitted on.
    """

    rows: int
    losses: tuple[float, ...]
    training_losses: tuple[float, ...]


class LearningCurve(Record):
    """The loss by the number of rows, on the same folds for each.

    Attributes:
        points: The fewest rows first.
        seconds: What it took.
        reason: Why a fold or a number of rows was left out; empty where none was.
    """

    points: tuple[LearningCurvePoint, ...]
    seconds: float
    reason: str = ""


class TrainingHistory(Record):
    """How a model was fitted.

    Attributes:
        family: The kind of model.
        candidates: The families that were compared, the simplest first; empty where one was asked for.
        trials: The settings that were tried, the declared ones first; empty where none were asked for.
        settings: Those of them that were taken.
        tuning_warning: Why their score is not to be trusted; empty where it may be.
        baseline_loss: Of training and of validation rows, where every row is told the training rows' shares
            or mean; `None` in a history of before it was measured.
        ladder: At which capacity the family overfits; `None` where that was not asked for.
        learning_curve: What more rows bring; `None` where that was not asked for.
        class_weights: What a row counted in the final fit, by class; empty where all counted the same.
        selection: Which features were chosen; `None` where the model reads all.
        loss: Mean loss on the training rows in each epoch, dropout and penalty included. A model that is not
            fitted by epochs has one.
        val_loss: Log loss, or of a number the mean squared error in squares of its standard deviation, of its
            quantile the pinball loss, on the validation rows after each epoch.
        best_epoch: The epoch, from 1, with the least `val_loss`; the final fit has as many.
        rows: Rows of the final fit, by split.
        fitted_rows: How many of these the family takes; `None` where it takes all of them.
        parameters: Numbers that the model learned.
        seed: What decided all that is random; `None` in a history of before it was noted.
        precision: What a network computed in while it was fitted.
        seconds: Comparison and both fits.
    """

    family: str = "neural_network"
    candidates: tuple[FamilyScore, ...] = ()
    trials: tuple[TuningTrial, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    tuning_warning: str = ""
    baseline_loss: tuple[float, float] | None = None
    ladder: CapacityPath | None = None
    learning_curve: LearningCurve | None = None
    class_weights: dict[str, float] = Field(default_factory=dict)
    selection: FeatureSelection | None = None
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    best_epoch: int
    rows: dict[str, int]
    fitted_rows: int | None = None
    parameters: int
    seed: int | None = None
    precision: str = "float32"
    seconds: float


def _name_settings(settings: Mapping[str, Any]) -> str:
    words = []
    for name, value in settings.items():
        told = " ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else value
        words.append(f"{name}={f'{told:.4g}' if isinstance(told, float) else told}")
    return ", ".join(words)


class Background(Record):
    """Rows that explanations compare an instance with.

    Attributes:
        instances: Raw training rows; a sensitive column's values are dealt anew among them, so that none of
            them stands beside the rest of its own row.
    """

    instances: tuple[Instance, ...] = Field(min_length=1)


class WarmUpExample(Record):
    """A bundle's own example: one raw row, and what the model answered for it.

    Attributes:
        instance: Raw value by column; `None` is missing.
        prediction: The model's output for it: one number, or one a class, label or target.
    """

    instance: Instance
    prediction: float | list[float]


class RegisteredModel(Record):
    """A model version in the registry.

    Attributes:
        name: The registered model.
        version: Its version, as MLflow counts them.
        storage_uri: Where KServe's storage initializer, or the local plane, finds the bundle.
        bundle_fingerprint: Of the bundle there.
    """

    name: str
    version: str
    storage_uri: str
    bundle_fingerprint: str


class Endpoint(Record):
    """Where a deployed model answers.

    Attributes:
        name: The `InferenceService`.
        namespace: Its namespace.
        url: Base address; KServe's paths, such as `/v1/models/NAME:predict`, follow it.
        model_version: The version that answered the smoke request.
        example: The instance of the smoke request.
        prediction: Its answer.
    """

    name: str
    namespace: str
    url: str
    model_version: str
    example: Instance
    prediction: float | dict[str, float | str | dict[str, float]]


class RolloutReference(Record):
    """Which rollout a new version is in, and how far.

    Attributes:
        rollout_id: Its name; `None` where the version has all the traffic without one.
        is_over: Whether it is decided.
        is_promoted: Whether the version was promoted.
        reason: Where it is and why, in words.
    """

    rollout_id: str | None
    is_over: bool
    is_promoted: bool
    reason: str


class Interval(Record):
    """A metric on the test rows with its confidence interval.

    Attributes:
        value: On all rows.
        low: Lower bound.
        high: Upper bound.
        confidence: Such as 0.95.
    """

    value: float
    low: float
    high: float
    confidence: float


class CalibrationBin(Record):
    """Rows whose probabilities lie close together.

    Attributes:
        probability: Their mean.
        share: Of yes among them.
        rows: How many they are.
    """

    probability: float
    share: float
    rows: int


class Confusion(Record):
    """How many test rows were called what, and were what.

    Attributes:
        threshold: A probability from here is called a yes.
        true_positives: Called a yes, and one.
        false_positives: Called a yes, and none.
        false_negatives: Called a no, and a yes.
        true_negatives: Called a no, and one.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class ScoreCurves(Record):
    """How well a model's probabilities tell yes from no on the test rows, as pictures show it.

    A long curve is thinned, its ends kept.

    Attributes:
        roc: Points (false positive rate, true positive rate), from (0, 0) to (1, 1).
        precision_recall: Points (recall, precision) in rising recall.
        calibration: Bins of about equally many rows, in rising probability.
        confusion: At the threshold of the metrics.
        scores: How many rows of each answer, `no` and `yes`, have a probability in each of equally wide bins
            from 0 to 1.
    """

    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]
    calibration: tuple[CalibrationBin, ...]
    confusion: Confusion
    scores: dict[str, tuple[int, ...]]


class ClassConfusion(Record):
    """How many test rows of each class were called which.

    Attributes:
        labels: The classes, in the dictionary's order.
        counts: Rows by what they are, then by the most probable class.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class NumberFit(Record):
    """How a predicted number lies to the true one on the test rows.

    Attributes:
        points: Pairs (predicted, true), thinned where there are many.
        error_edges: Of the bins of predicted less true, one more than there are bins.
        errors: Rows in each bin.
    """

    points: tuple[tuple[float, float], ...]
    error_edges: tuple[float, ...]
    errors: tuple[int, ...]


class SliceScore(Record):
    """How good a model is in one group of the test rows.

    Attributes:
        column: What divides the rows.
        group: A code, yes or no, a span of numbers, or `missing`.
        rows: How many are in it.
        is_compared_for_fairness: Whether the dictionary marks the column so.
        score: The primary metric, its interval at the group's share of the error; `None` where too little is
            there to measure.
        reason: Why it is not measured.
    """

    column: str
    group: str
    rows: int
    is_compared_for_fairness: bool
    score: Interval | None
    reason: str = ""


class WorstRow(Record):
    """A test row that a model is very wrong about.

    Attributes:
        row: Its place among the test rows, from 0.
        instance: Its features, but for sensitive ones.
        truth: What it is, in words.
        answer: What the model answers.
        loss: Surprise in nats, or of numbers the error in standard deviations.
    """

    row: int
    instance: Instance
    truth: str
    answer: float | dict[str, str | float | dict[str, float]]
    loss: float


class BehaviorExample(Record):
    """A test row in which a prediction did otherwise than it must.

    Attributes:
        row: Its place among the test rows, from 0.
        value: The column's own; `None` of a sensitive one.
        changed: What stood in its place; likewise.
        said: The prediction before.
        says: And after.
    """

    row: int
    value: float | str | None
    changed: float | str | None
    said: float
    says: float


class BehaviorFinding(Record):
    """What became of the predictions where one column changed.

    Attributes:
        title: What is asked, in words.
        column: The column.
        rows: Test rows in which it could be changed.
        broken: Those of them in which the prediction did otherwise.
        least_share: Of the rows, how many must do as is asked.
        greatest: How far beyond the tolerance the worst of them went; 0 where none did.
        examples: The worst of them.
    """

    title: str
    column: str
    rows: int
    broken: int
    least_share: float
    greatest: float
    examples: tuple[BehaviorExample, ...] = ()

    @property
    def share(self) -> float:
        """Of the rows, how many did as is asked."""
        return 1 - self.broken / self.rows if self.rows else 0.0


class Latency(Record):
    """How long a bundle takes for single rows, from raw columns to the prediction, without HTTP.

    Attributes:
        median_milliseconds: Half of the rows take no longer.
        p99_milliseconds: 99 of 100 rows take no longer.
        rows: How many were asked in a round.
        rounds: How many rounds there were; the figures are the quietest one's.
    """

    median_milliseconds: float
    p99_milliseconds: float
    rows: int
    rounds: int


class FoldAnswers(Record):
    """What a model that was fitted on the other folds says of the rows of one.

    Attributes:
        repeat: Which division of the rows the fold is of, from 0.
        target: The truth, as the rows have it.
        predicted: Probabilities, or numbers in the target's unit.
        fitted_rows: How many rows the model was fitted on.
    """

    repeat: int
    fitted_rows: int
    target: tuple[Any, ...]
    predicted: tuple[Any, ...]


class HeldOutAnswers(Record):
    """The answers of cross-validation; they stand as `BUNDLE_CROSS_VALIDATION` in the bundle.

    Attributes:
        folds: Those of each repeat, one after the other.
        rows: How many rows were divided.
    """

    folds: tuple[FoldAnswers, ...]
    rows: int


class CrossValidatedMetric(Record):
    """A metric over folds.

    Attributes:
        mean: Of the folds.
        deviation: Their standard deviation.
        low: Lower bound of the mean's interval.
        high: Upper bound.
        confidence: Of the interval.
        values: Of each fold whose rows it can be measured on.
    """

    mean: float
    deviation: float
    low: float
    high: float
    confidence: float
    values: tuple[float, ...]


class CrossValidatedScores(Record):
    """How good such models are on rows that were held out.

    Attributes:
        folds: Of each division of the rows.
        repeats: How often they were divided.
        rows: How many there are; no test row among them.
        metrics: By name.
    """

    folds: int
    repeats: int
    rows: int
    metrics: dict[str, CrossValidatedMetric]


class Evaluation(Record):
    """What `evaluate_model` measured.

    Attributes:
        bundle_fingerprint: Of the model judged.
        task: Its task.
        rows: Test rows.
        metrics: The model's, by name.
        baseline: Of always giving the shares of the answers, or the mean, among the rows trained on, on the
            same rows.
        reference: Of scikit-learn's logistic or ridge regression, fitted on the rows the model was fitted on.
        champion: The champion's on the same rows; empty where there was none to compare with.
        improvements: How much better the model's primary metric is than that of `baseline`, `reference` and
            `champion`, by that name; paired, and positive is better for a loss too.
        primary_metric: The one that the gates use.
        quantile: What is predicted, where that is compared: baseline and reference are of it then.
        reference_rows: How many rows the reference was fitted on; `None` where it was on all of them.
        curves: What was measured, as pictures show it, by `model`, `reference` and `champion`; of several
            labels, the model's by `model LABEL`. Empty for another task.
        confusions: The same of classes.
        fits: The same of numbers, by the target within.
        champion_fingerprint: Of the bundle that was the champion then, compared or not; empty where there
            was no other than the model itself.
        slices: The model in each group of rows.
        worst_rows: What it is most wrong about, the worst first.
        decision: What a yes is called by, where the project says so; else from 0.5 on.
        calibration_error: How far probabilities are from what comes true; `None` of a number, or of too few
            rows to tell.
        behaviors: What became of the predictions in the project's invariance and directional tests.
        latency: Of single rows; `None` where the project has no budget for it.
        bundle_bytes: What the bundle's files weigh together.
        cross_validation: On folds of the other rows; `None` where the project asks for none.
    """

    bundle_fingerprint: str
    task: str = "binary_classification"
    rows: int
    metrics: dict[str, Interval]
    baseline: dict[str, Interval]
    reference: dict[str, Interval]
    champion: dict[str, Interval]
    improvements: dict[str, Interval]
    primary_metric: str
    quantile: float | None = None
    reference_rows: int | None = None
    curves: dict[str, ScoreCurves] = Field(default_factory=dict)
    confusions: dict[str, ClassConfusion] = Field(default_factory=dict)
    fits: dict[str, dict[str, NumberFit]] = Field(default_factory=dict)
    champion_fingerprint: str = ""
    slices: tuple[SliceScore, ...] = ()
    worst_rows: tuple[WorstRow, ...] = ()
    decision: DecisionRule | None = None
    calibration_error: float | None = None
    behaviors: tuple[BehaviorFinding, ...] = ()
    latency: Latency | None = None
    bundle_bytes: int | None = None
    cross_validation: CrossValidatedScores | None = None
