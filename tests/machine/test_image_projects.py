"""The image projects from their sources to judged bundles, and a network with all that may be in one."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from image_projects import draw, write_image_project

from components.train_model.core import train_model
from mulgil.artifacts import TrainingHistory
from mulgil.home import SOURCE_ROOT
from mulgil.images import encode_png
from mulgil.serving.model import TOLERANCE, ServedModel


def test_an_augmented_and_normalised_network_is_served_as_it_was_trained(tmp_path):
    training = {
        "batch_normalization": True,
        "augmentation": {"shift": 0.1, "rotation": 5, "zoom": 0.1, "flip": True},
        "schedule": "cosine",
        "max_epochs": 3,
    }
    project = write_image_project(tmp_path, training=training)
    train_model(
        project_path=project.path,
        training_rows_path=project.rows_path,
        feature_service_path=project.feature_service_path,
        bundle_path=tmp_path / "bundle",
        history_path=tmp_path / "history.json",
    )
    files = [encode_png(draw(5000 + place)[0]) for place in range(6)]
    served = ServedModel(tmp_path / "bundle").predict({"image": files}, len(files))
    model = tf.saved_model.load(str(tmp_path / "bundle" / "saved_model"))
    answer = model.signatures["serving_default"](image=tf.constant(np.array(files, dtype=object)))
    np.testing.assert_allclose(served, answer["probabilities"].numpy(), atol=TOLERANCE)
    assert len(TrainingHistory.read(tmp_path / "history.json").loss) == 3


@pytest.mark.parametrize("project", ["digits", "sign_language"])
def test_an_image_project_is_approved_and_not_below_a_linear_model_of_its_pixels(
    tmp_path, project, monkeypatch
):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "mulgil.cli", "run", f"projects/{project}", "--no-deploy"]
    subprocess.run(command, cwd=SOURCE_ROOT, check=True, timeout=1200)
    [path] = (tmp_path / "home" / "runs").glob("*/tasks/evaluate-model/artifacts/evaluation")
    measured = json.loads(path.read_text(encoding="utf-8"))
    # Not below it: the interval of the difference has zero in it, or lies above.
    assert measured["improvements"]["reference"]["high"] >= 0, measured["improvements"]
