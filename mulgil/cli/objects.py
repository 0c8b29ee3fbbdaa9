"""InferenceServices on the command line: how they are named, and how files of them are read."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from mulgil.errors import InputError, describe
from mulgil.local.plane.objects import KIND

# As kubectl writes a resource of this kind.
RESOURCE = "inferenceservice.serving.kserve.io"
KINDS = ("isvc", "inferenceservice", "inferenceservices", RESOURCE)

Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The namespace.")]
Files = Annotated[
    list[str] | None,
    typer.Option("--filename", "-f", help="YAML or JSON file, or `-` for standard input; may be repeated."),
]


def check_kind(kind: str) -> None:
    """Refuse kinds that this machine does not have.

    Raises:
        InputError: It is another one.
    """
    if kind.lower() not in KINDS:
        raise InputError(
            describe(
                "There are no such objects here", expected=" or ".join(KINDS[:2]), received=f"kind={kind}"
            )
        )


def split_name(kind: str, name: str | None) -> str:
    """Return the name in `isvc NAME` or `isvc/NAME`.

    Raises:
        InputError: There is none, or the kind is another one.
    """
    if name is None:
        kind, _, name = kind.partition("/")
    check_kind(kind)
    if not name:
        raise InputError(describe(f"The name of the {KIND} is missing", expected=f"{KINDS[0]} NAME"))
    return name


def read_manifests(files: list[str]) -> list[Any]:
    """Read every object in some files: several documents each, and lists of objects.

    Raises:
        InputError: A file cannot be read, is not YAML, or holds nothing.
    """
    found = [item for name in files for item in _read(name)]
    if not found:
        raise InputError(describe(f"No objects in {', '.join(files)}", expected=f"a manifest of an {KIND}"))
    return found


def _read(name: str) -> list[Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as exc:
        raise InputError(
            describe(f"Cannot read {name}: {exc.strerror}", expected="a YAML or JSON file")
        ) from exc
    except UnicodeDecodeError as exc:
        raise InputError(describe(f"{name} is not text", expected="a YAML or JSON file in UTF-8")) from exc
    try:
        documents = _parse(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise InputError(describe(f"{name} is not YAML", received=str(exc))) from exc
    found: list[Any] = []
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items") or []
            if not isinstance(items, list):
                raise InputError(
                    describe(
                        f"items in {name} is wrong",
                        expected="a list of objects",
                        received=f"items={items!r:.200}",
                    )
                )
            found += items
        elif document is not None:
            found.append(document)
    return found


class _Loader(yaml.SafeLoader):
    """As kubectl with its strict validation: of a key that stands twice, neither is silently left out."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: list[Any] = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.append(key.value)
        return node


def _parse(text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        # JSON may be indented with tabs, which YAML may not; what is not JSON may still be YAML.
        with contextlib.suppress(ValueError):
            return [json.loads(text, object_pairs_hook=_once)]
    return list(yaml.load_all(text, _Loader))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def age(timestamp: str) -> str:
    """Write how long ago something was, as kubectl does."""
    seconds = time.time() - datetime.fromisoformat(timestamp).timestamp()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"
