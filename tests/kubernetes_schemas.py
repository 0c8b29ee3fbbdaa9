"""Kubernetes' published schemas and the CRDs beside the checkout, held strictly against objects."""

import functools
import re

import jsonschema
import referencing
import yaml
from kubernetes_validate.utils import all_versions, schema_contents

from mulgil.home import SOURCE_ROOT

KUBERNETES = "1.35"
# Too large, and not ours, to lie in the repository; where they come from stands in their SOURCES.md.
CRDS = SOURCE_ROOT.parent / "shared" / "crds"


def problems(manifest):
    """Return what a schema says against an object; an unknown field is a problem.

    Raises:
        LookupError: There is no schema for its kind here.
    """
    errors = _validator(manifest["apiVersion"], manifest["kind"]).iter_errors(manifest)
    return sorted(f"{'.'.join(map(str, error.absolute_path))}: {error.message:.300}" for error in errors)


def has_schema(manifest):
    """Whether a kind has a schema here."""
    try:
        _validator(manifest["apiVersion"], manifest["kind"])
    except LookupError:
        return False
    return True


@functools.cache
def _validator(api_version, kind):
    group, _, version = api_version.rpartition("/")
    try:
        return _kubernetes_validator(f"{kind.lower()}-{group.partition('.')[0]}-{version}".replace("--", "-"))
    except FileNotFoundError:
        pass
    definitions = _custom_definitions()
    if (api_version, kind) not in definitions:
        raise LookupError(f"no schema for {api_version} {kind} in {CRDS}")
    return jsonschema.Draft202012Validator(_closed(_read_definition(*definitions[api_version, kind])))


def _kubernetes_validator(name):
    folder = f"kubernetes-json-schema/v{_schema_version()}-local-strict"
    registry = referencing.Registry()
    for file in (f"{folder}/{name}.json", f"{folder}/_definitions.json"):
        resource = referencing.Resource.from_contents(schema_contents(file, KUBERNETES))
        registry = resource @ registry
    schema = schema_contents(f"{folder}/{name}.json", KUBERNETES)
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.cache
def _schema_version():
    *_, version = (v for v in all_versions() if v.startswith(f"{KUBERNETES}."))
    return version


@functools.cache
def _custom_definitions():
    """Return (API version, kind) to (file, version) of each CRD; most are never parsed."""
    found = {}
    for path in sorted(CRDS.glob("*/*.yaml")):
        text = path.read_text(encoding="utf-8")
        group, kind = (re.search(rf"^ +{key}: (\S+)$", text, re.MULTILINE)[1] for key in ("group", "kind"))
        for version in re.findall(r"^ {2,6}(?:- )?name: (v\d\w*)$", text, re.MULTILINE):
            found[f"{group}/{version}", kind] = (path, version)
    return found


def _read_definition(path, version):
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    (schema,) = (
        v["schema"]["openAPIV3Schema"] for v in definition["spec"]["versions"] if v["name"] == version
    )
    return schema


def _closed(schema, *, is_root=True):
    """Turn a structural schema into a JSON Schema that refuses the fields that an API server prunes."""
    if not isinstance(schema, dict):
        return schema
    closed = {k: v for k, v in schema.items() if not k.startswith("x-") and k not in ("format", "nullable")}
    if schema.get("x-kubernetes-int-or-string"):
        closed = {"type": ["integer", "string"]}
    if schema.get("nullable"):
        return {"anyOf": [{"type": "null"}, _closed({k: v for k, v in schema.items() if k != "nullable"})]}
    properties = {name: _closed(part, is_root=False) for name, part in schema.get("properties", {}).items()}
    if is_root:
        properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _METADATA}
    if properties:
        closed["properties"] = properties
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            closed[key] = _closed(schema[key], is_root=False)
    for key in ("allOf", "anyOf", "oneOf"):
        # They only narrow what stands beside them; they name fields without defining them.
        if key in closed:
            closed[key] = [{k: v for k, v in part.items() if not k.startswith("x-")} for part in schema[key]]
    return closed


_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        **{"name": {"type": "string"}, "namespace": {"type": "string"}},
        **{"labels": _TEXTS, "annotations": _TEXTS},
        **{"uid": {"type": "string"}, "resourceVersion": {"type": "string"}},
        **{"generation": {"type": "integer"}, "creationTimestamp": {"type": "string"}},
        **{"finalizers": {"type": "array"}, "ownerReferences": {"type": "array"}},
        **{"managedFields": {"type": "array"}},
    },
}
