"""KServe's two ways to deploy a service, by the names that objects and settings have for them."""

from __future__ import annotations

from enum import StrEnum

MODE_ANNOTATION = "serving.kserve.io/deploymentMode"


class DeploymentMode(StrEnum):
    """How a service is deployed, which decides which of KServe's two forms its object has."""

    KNATIVE = "Knative"
    STANDARD = "Standard"


# What the modes were called before 0.16; KServe still takes the old names.
_FORMER_NAMES = {"Serverless": DeploymentMode.KNATIVE, "RawDeployment": DeploymentMode.STANDARD}
# By every name that KServe takes.
MODES = {mode.value: mode for mode in DeploymentMode} | _FORMER_NAMES


def normalize_mode(name: str) -> str:
    """Return a mode by its present name; what is none stays as it is."""
    return MODES.get(name, name)
