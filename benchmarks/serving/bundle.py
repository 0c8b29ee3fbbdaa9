"""The bundles that all servers serve: a shipped project's columns before its network.

They are fitted on made-up rows, which cost no download: how fast a model answers does not depend on how right
it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mulgil.artifacts import FeatureServiceReference, WarmUpExample, read_bundle
from mulgil.contract import Column, ColumnType, DataDictionary, load_project
from mulgil.contract.specifications import specify_features, specify_preprocessing
from mulgil.home import SOURCE_ROOT
from mulgil.images import decode_image, encode_png
from mulgil.preprocessing.rows import TrainingRows

# 13 columns before a small network, and an image of 28 x 28 before a convolutional one.
PROJECT = SOURCE_ROOT / "projects" / "heart_disease"
IMAGE_PROJECT = SOURCE_ROOT / "projects" / "sign_language"
_ROWS = 64


def make_bundle(
    path: Path,
    feature_service: FeatureServiceReference | None = None,
    *,
    project: Path = PROJECT,
    onnx: Path | None = None,
) -> dict[str, Any]:
    """Write a bundle; return an instance that it answers.

    Args:
        path: Its directory.
        feature_service: What it reads by entity; nothing if left out.
        project: Whose columns and network.
        onnx: Where its network is written as ONNX too; nowhere if left out.
    """
    from components.train_model.checkpoints import Checkpoints
    from components.train_model.export import write_bundle
    from components.train_model.fit_transform import fit_transform
    from components.train_model.fitting import fit_network
    from components.train_model.heads import make_head
    from components.train_model.learners import Examples
    from components.train_model.network import NetworkBuilder
    from components.train_model.neural_network import FittedNetwork
    from components.train_model.progress import LocalProgress
    from mulgil.preprocessing import TransformExecutor

    folder = load_project(project)
    classes = len(folder.dictionary.targets[0].categories or ())
    truth = np.arange(_ROWS) % classes if classes else np.arange(_ROWS) % 2 == 0
    rows = TrainingRows(make_rows(folder.dictionary), truth, left_out=0)
    transform = fit_transform(specify_preprocessing(folder.dictionary), rows.tensors)
    numbers = TransformExecutor(transform).apply(rows.tensors)
    head = make_head(folder.project.task, classes or 1, rows)
    examples = Examples(numbers, head.encode(rows))
    image = next((column.image for column in folder.dictionary.features if column.image), None)
    builder = NetworkBuilder(folder.project.training, image, folder.path)
    fitted = fit_network(builder, head, examples, 1, Checkpoints(LocalProgress(path.parent / "checkpoints")))
    if onnx is not None:
        from benchmarks.serving.onnx_network import write_onnx

        write_onnx(onnx, fitted)
    network = FittedNetwork(fitted, head)
    specification = specify_features(folder.dictionary)
    write_bundle(
        path,
        folder=folder,
        transform=transform,
        model=network,
        rows=rows,
        data_fingerprint="0" * 64,
        feature_service=feature_service
        or FeatureServiceReference(
            name=folder.project.name,
            project=folder.project.name,
            store_version=specification.version,
            online_store="",
            entity=specification.entity,
            features=tuple(feature.name for feature in specification.features),
        ),
    )
    read_bundle(path)
    return dict(WarmUpExample.read(path / "example.json").instance)


def make_rows(dictionary: DataDictionary) -> pa.Table:
    """Make up rows that the dictionary allows, the same ones each time."""
    random = np.random.default_rng(0)
    return pa.table({column.name: _make_values(column, random) for column in dictionary.features})


def list_instances(dictionary: DataDictionary) -> list[dict[str, Any]]:
    """Return the same rows as instances of V1, images as pixels."""
    instances: list[dict[str, Any]] = make_rows(dictionary).to_pylist()
    for column in dictionary.features:
        if (form := column.image) is not None:
            for instance in instances:
                pixels = decode_image(instance[column.name], form).astype(int)
                instance[column.name] = pixels.reshape(form.height, form.width).tolist()
    return instances


def _make_values(column: Column, random: np.random.Generator) -> list[Any]:
    if (form := column.image) is not None:
        images = random.integers(0, 256, (_ROWS, form.height, form.width), np.uint8)
        return [encode_png(image) for image in images]
    if column.type is ColumnType.CATEGORY:
        return [str(code) for code in random.choice(list(column.categories or ()), _ROWS)]
    if column.type is ColumnType.BOOLEAN:
        return [bool(value) for value in random.integers(0, 2, _ROWS)]
    low, high = column.range or (0.0, 1.0)
    values = random.uniform(low or 0.0, 1.0 if high is None else high, _ROWS)
    if column.type is ColumnType.INTEGER:
        return [int(value) for value in np.clip(np.round(values), low, high)]
    return [round(float(value), 1) for value in values]
