"""The image projects from their sources to judged bundles, and a network with all that may be in one."""

import numpy as np
import tensorflow as tf
from image_projects import draw, write_image_project
from learning_project import train_project

from mulgil.artifacts import TrainingHistory
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
    train_project(project, tmp_path)
    files = [encode_png(draw(5000 + place)[0]) for place in range(6)]
    served = ServedModel(tmp_path / "bundle").predict({"image": files}, len(files))
    model = tf.saved_model.load(str(tmp_path / "bundle" / "saved_model"))
    answer = model.signatures["serving_default"](image=tf.constant(np.array(files, dtype=object)))
    np.testing.assert_allclose(served, answer["probabilities"].numpy(), atol=TOLERANCE)
    assert len(TrainingHistory.read(tmp_path / "history.json").loss) == 3
