"""Each family's learner, as a project says how it is fitted."""

from __future__ import annotations

from dataclasses import replace

from components.train_model.checkpoints import Checkpoints
from components.train_model.estimators import Estimators
from components.train_model.learners import Learner
from components.train_model.network import NetworkBuilder
from components.train_model.neural_network import NeuralNetwork
from mulgil.contract import ProjectFolder
from mulgil.contract.learning import Family, Training


def make_learner(family: Family, folder: ProjectFolder, checkpoints: Checkpoints) -> Learner:
    """Make a family's learner, as a project says how it is fitted."""
    training = folder.project.training
    if family is not Family.NEURAL_NETWORK:
        return Estimators(family, training)
    image = next((column.image for column in folder.dictionary.features if column.image is not None), None)
    return NeuralNetwork(NetworkBuilder(training, image, folder.path), checkpoints)


def with_training(folder: ProjectFolder, training: Training) -> ProjectFolder:
    """Return a project that is fitted in another way."""
    return replace(folder, project=folder.project.model_copy(update={"training": training}))
