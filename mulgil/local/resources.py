"""What a step requests and may use: cores and memory, as Kubernetes quantities.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mulgil.errors import InputError, describe
from mulgil.local.pipeline_spec import Resources
from mulgil.local.placeholders import TaskContext, resolve_text

_QUANTITY = re.compile(r"^(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<suffix>[numkMGTPE]|[KMGTPE]i|)$")
_FACTORS = {
    "": 1.0,
    **{suffix: 1000.0**power for power, suffix in ((-3, "n"), (-2, "u"), (-1, "m"), (1, "k"))},
    **{suffix: 1000.0**power for power, suffix in enumerate("MGTPE", start=2)},
    **{f"{suffix}i": 1024.0**power for power, suffix in enumerate("KMGTPE", start=1)},
}
# For a step that requests nothing: its numeric libraries use what cores there are, so that more such steps
# than cores only wait for each other.
_CORES_UNREQUESTED = 1.0


@dataclass(frozen=True)
class Demand:
    """What one step requests and may use.

    Attributes:
        cores: Reserved for it.
        memory: Reserved for it.
        core_limit: The most that it may use; `None` sets no limit.
        memory_limit: The most that it may use; `None` sets no limit.

    Units:
        Memory in bytes.
    """

    cores: float = _CORES_UNREQUESTED
    memory: float = 0.0
    core_limit: float | None = None
    memory_limit: float | None = None


def parse_quantity(text: str) -> float:
    """Read a Kubernetes quantity, such as `500m` or `1.5Gi`.

    Raises:
        InputError: It is not one.
    """
    match = _QUANTITY.match(text)
    if match is None:
        raise InputError(
            describe("A resource is not a Kubernetes quantity", expected="such as 500m or 2Gi", received=text)
        )
    return float(match["number"]) * _FACTORS[match["suffix"]]


def read_demand(resources: Resources, context: TaskContext) -> Demand:
    """Resolve what a container requests and may use.

    Raises:
        InputError: A value is not a Kubernetes quantity.
        UnsupportedPipelineError: A placeholder stands for nothing.
    """

    def read(quantity: str, number: float, unit: str) -> float | None:
        if not quantity and not number:
            return None
        return parse_quantity(resolve_text(quantity, context) if quantity else f"{number:f}{unit}")

    return Demand(
        cores=read(resources.resource_cpu_request, resources.cpu_request, "") or _CORES_UNREQUESTED,
        memory=read(resources.resource_memory_request, resources.memory_request, "G") or 0.0,
        core_limit=read(resources.resource_cpu_limit, resources.cpu_limit, ""),
        memory_limit=read(resources.resource_memory_limit, resources.memory_limit, "G"),
    )
