"""A project with a column of every type and missing policy, and training rows of a known model."""

import json
import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mulgil.artifacts import SPLITS, DatasetManifest, FeatureServiceReference, TrainingHistory
from mulgil.contract import ColumnType, MissingPolicy, ProjectFolder, Task, load_project
from mulgil.contract.expressions import parse_expression

CATEGORIES = ("low", "3", "é", "물길", "never")

_POLICIES = {
    ColumnType.FLOAT: ("reject", "drop_row", "mean", "median", "most_frequent", "constant"),
    ColumnType.INTEGER: ("reject", "drop_row", "mean", "median", "most_frequent", "constant"),
    ColumnType.BOOLEAN: ("reject", "drop_row", "mean", "median", "most_frequent", "constant"),
    ColumnType.CATEGORY: ("reject", "drop_row", "most_frequent", "constant", "new_category"),
}
_CONSTANTS = {
    ColumnType.FLOAT: -2.5,
    ColumnType.INTEGER: 7,
    ColumnType.BOOLEAN: True,
    ColumnType.CATEGORY: "3",
}
_ARROW_TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True)
class LearningProject:
    """Where everything is that the learning steps read."""

    folder: ProjectFolder
    rows_path: Path
    feature_service_path: Path

    @property
    def path(self) -> Path:
        return self.folder.path


_DERIVED = (
    ("share", "float", "float_mean / integer_median", "median"),
    ("level", "float", "log(abs(float_most_frequent) + 1) - sqrt(float_reject * float_reject)", "mean"),
    ("is_high", "boolean", "boolean_mean and float_mean > 0.1 or integer_mean >= 7", "most_frequent"),
    ("band", "category", "bucket(float_median, -9.5, 0, 10)", "new_category"),
    ("pair", "category", "cross(category_constant, bucket(integer_reject, 0))", "most_frequent"),
    ("night", "boolean", 'hour(since, "Europe/Paris") < 6', "most_frequent"),
    ("weekday", "category", "code(weekday(since))", "new_category"),
    ("age", "float", "days_between(since, at)", "median"),
)

SINCE = {"name": "since", "role": "input", "type": "timestamp", "missing": "keep", "description": "Since."}

CLASSES = ("mild", "물길", "3")
TARGETS: dict[Task, list[dict[str, object]]] = {
    Task.BINARY_CLASSIFICATION: [{"name": "answer", "type": "boolean"}],
    Task.MULTICLASS_CLASSIFICATION: [{"name": "grade", "type": "category", "categories": list(CLASSES)}],
    Task.MULTILABEL_CLASSIFICATION: [{"name": name, "type": "boolean"} for name in ("first", "second")],
    Task.SCALAR_REGRESSION: [{"name": "cost", "type": "float"}],
    Task.VECTOR_REGRESSION: [{"name": "cost", "type": "float"}, {"name": "days", "type": "integer"}],
}


def columns(task: Task = Task.BINARY_CLASSIFICATION, without: str = "") -> list[dict[str, object]]:
    """The dictionary's columns but one; types take turns, so that numbers and codes alternate."""
    features = [
        {
            "name": f"{kind}_{policy}",
            "type": kind,
            "description": "Any.",
            "missing": policy,
            **({"categories": list(CATEGORIES)} if kind is ColumnType.CATEGORY else {}),
            **({"range": [-100, 100]} if kind.is_numeric else {}),
            **({"missing_constant": _CONSTANTS[kind]} if policy == "constant" else {}),
        }
        for place in range(6)
        for kind, policies in _POLICIES.items()
        for policy in policies[place : place + 1]
        if f"{kind}_{policy}" != without
    ]
    return [
        {"name": "key", "role": "entity", "type": "integer", "description": "Who."},
        {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
        *features,
        *([SINCE] if without != "since" else []),
        *(
            {"name": name, "type": kind, "derived": derived, "missing": policy, "description": "Made."}
            for name, kind, derived, policy in _DERIVED
            if without not in parse_expression(derived).columns
        ),
        *({**target, "role": "target", "description": "Whether."} for target in TARGETS[task]),
    ]


def project(**changes: object) -> dict[str, object]:
    """The project file."""
    return {
        "name": "every-column",
        "problem": {"goal": "Test.", "success_measure": "Green."},
        "task": "binary_classification",
        "source": {"kind": "csv", "location": "rows.csv"},
        "training": {"hidden_units": [4], "learning_rate": 0.05, "max_epochs": 8, "patience": 3},
        "gates": {"floors": {"roc_auc": 0.6}, "champion_margin": 0.02},
        **changes,
    }


def write_task_project(root: Path, task: Task, **changes: object) -> LearningProject:
    """Write a project of a task, without floors."""
    return write_project(root, task=task, **{"gates": {}, **changes})


def write_project(
    root: Path, without: str = "", *, task: Task = Task.BINARY_CLASSIFICATION, **changes: object
) -> LearningProject:
    """Write the project, but for one column, its training rows and its feature service's reference."""
    path = root / "project"
    path.mkdir(parents=True)
    # JSON is YAML.
    (path / "project.yaml").write_text(json.dumps(project(task=task, **changes)), encoding="utf-8")
    (path / "data_dictionary.yaml").write_text(
        json.dumps({"columns": columns(task, without)}),
        encoding="utf-8",
    )
    folder = load_project(path)
    for number, split in enumerate(SPLITS):
        write_rows(root / "rows" / f"{split}.parquet", folder, rows=60, seed=number)
    DatasetManifest(
        fingerprint="f" * 64,
        dictionary_fingerprint=folder.dictionary.fingerprint,
        source="tests",
        rows_read=180,
        rows=dict.fromkeys(SPLITS, 60),
        rows_quarantined=0,
        rows_deduplicated=0,
    ).write(root / "rows" / "manifest.json")
    FeatureServiceReference(
        name="every-column",
        project="tests",
        store_version="1",
        online_store="nowhere",
        entity="key",
        features=tuple(column.name for column in folder.dictionary.stored),
    ).write(root / "feature_service.json")
    return LearningProject(folder, root / "rows", root / "feature_service.json")


def train_project(project: LearningProject, out: Path) -> TrainingHistory:
    """Train in this process, into a folder; return how it went."""
    # Only here: whoever writes a project alone does not wait for TensorFlow.
    from components.train_model.core import train_model

    train_model(
        project_path=project.path,
        training_rows_path=project.rows_path,
        feature_service_path=project.feature_service_path,
        bundle_path=out / "bundle",
        history_path=out / "history.json",
    )
    return TrainingHistory.read(out / "history.json")


def write_rows(path: Path, folder: ProjectFolder, rows: int, seed: int) -> None:
    """Write one split; the target follows every column a little, and a tenth of the cells is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    # Of its own, so that the other columns' values are what they were before there were times.
    of_times = random.Random(-seed - 1)
    table: dict[str, list[object]] = {column.name: [] for column in folder.dictionary.inputs}
    targets: dict[str, list[object]] = {column.name: [] for column in folder.dictionary.targets}
    for _ in range(rows):
        severity = generator.gauss(0, 1)
        for place, column in enumerate(folder.dictionary.targets):
            targets[column.name].append(_target(column.type, severity, place, generator))
        for column in folder.dictionary.inputs:
            if column.type is ColumnType.TIMESTAMP:
                is_missing = column.missing is not MissingPolicy.REJECT and of_times.random() < 0.1
                table[column.name].append(None if is_missing else _moment(of_times))
                continue
            is_missing = column.missing is not MissingPolicy.REJECT and generator.random() < 0.1
            # Fewer, or the two dozen columns together would drop every row.
            is_missing = is_missing and (column.missing is not MissingPolicy.DROP_ROW or severity > 1)
            level = severity + generator.gauss(0, 1)
            table[column.name].append(None if is_missing else _value(column.type, level))
    arrays = {
        column.name: pa.array(table[column.name], _ARROW_TYPES[column.type])
        for column in folder.dictionary.inputs
    }
    answers = {
        column.name: pa.array(targets[column.name], _ARROW_TYPES[column.type])
        for column in folder.dictionary.targets
    }
    pq.write_table(pa.table({**arrays, **answers}), path)


def _target(kind: ColumnType, severity: float, place: int, generator: random.Random) -> object:
    if kind is ColumnType.BOOLEAN:
        # A second label follows the other way.
        return generator.random() < 1 / (1 + math.exp(-4 * severity * (1 - 2 * place)))
    level = severity + generator.gauss(0, 0.3)
    if kind is ColumnType.CATEGORY:
        return CLASSES[min(2, max(0, round(level + 1)))]
    # Of another size each, as units are.
    return 5000 + 1000 * level if kind is ColumnType.FLOAT else round(30 - 10 * level)


def _moment(generator: random.Random) -> datetime:
    # On both sides of 1970.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=1000 * generator.gauss(0, 1))


def _value(kind: ColumnType, level: float) -> object:
    match kind:
        case ColumnType.FLOAT:
            return max(-100.0, min(100.0, 10 * level))
        case ColumnType.INTEGER:
            return round(max(-100, min(100, 10 * level)))
        case ColumnType.BOOLEAN:
            return level > 0
    # The last code is in no row.
    return CATEGORIES[min(3, max(0, round(level + 1.5)))]
