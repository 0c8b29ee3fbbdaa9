"""KServe's own types, held against a manifest: its generated client keeps no schema but these."""

import re

import kserve.models
import kubernetes.client
from kserve.models.knative_addressable import KnativeAddressable
from kserve.models.knative_condition import KnativeCondition

# Times and addresses are text in JSON, and empty types in the generated client.
_SCALARS = {
    **{"str": str, "int": int, "float": (int, float), "bool": bool, "object": object, "datetime": str},
    **{"V1Time": str, "KnativeVolatileTime": str, "KnativeURL": str},
}
# From Knative's API, which the generated client refers to and lacks.
_KNATIVE = {
    "KnativeDevServingPkgApisServingV1TrafficTarget": {
        **{"configurationName": "str", "latestRevision": "bool", "percent": "int"},
        **{"revisionName": "str", "tag": "str", "url": "KnativeURL"},
    },
}
_UNLISTED = {"KnativeCondition": KnativeCondition, "KnativeAddressable": KnativeAddressable}


def misfits(value, type_name, path=""):
    """Return the paths in a manifest that KServe's types do not have, or have with another type."""
    if listed := re.fullmatch(r"list\[(.+)\]", type_name):
        if not isinstance(value, list):
            return [path]
        return [p for i, item in enumerate(value) for p in misfits(item, listed[1], f"{path}[{i}]")]
    if mapped := re.fullmatch(r"dict\(str, (.+)\)", type_name):
        if not isinstance(value, dict):
            return [path]
        return [p for key, item in value.items() for p in misfits(item, mapped[1], f"{path}.{key}")]
    if type_name in _SCALARS:
        return [] if isinstance(value, _SCALARS[type_name]) else [path]
    if not isinstance(value, dict):
        return [path]
    fields = _fields(type_name)
    return [
        p
        for key, item in value.items()
        for p in (misfits(item, fields[key], f"{path}.{key}") if key in fields else [f"{path}.{key}"])
    ]


def _fields(type_name):
    if type_name in _KNATIVE:
        return _KNATIVE[type_name]
    kind = (
        _UNLISTED.get(type_name)
        or getattr(kserve.models, type_name, None)
        or getattr(kubernetes.client, type_name)
    )
    return {key: kind.openapi_types[name] for name, key in kind.attribute_map.items()}
