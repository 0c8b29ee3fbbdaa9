"""YAML that remembers on which line each value stands, for error messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mulgil.errors import ContractError, describe

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlDocument:
    """A parsed YAML file.

    Attributes:
        path: The file.
        data: Plain dicts, lists and scalars.
        lines: The line, from 1, of each value by its keys and indices.
    """

    path: Path
    data: Any
    lines: dict[Location, int]

    def line_of(self, location: Location) -> int:
        """Return the line of a value, or of the nearest thing around it that is in the file."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1


def read_yaml(path: Path) -> YamlDocument:
    """Parse a YAML file.

    Raises:
        ContractError: The file is missing, not UTF-8, not YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise ContractError(
            describe(f"{path} does not exist", expected=f"a project folder with a {path.name} in it")
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ContractError(describe(f"Cannot read {path}: {exc}", expected="a YAML file in UTF-8")) from exc
    lines: dict[Location, int] = {}
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        data = None if root is None else _construct(loader, root, (), lines, path)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ContractError(describe(f"{path}:{line}: this is not YAML: {exc.problem}")) from exc
    finally:
        loader.dispose()
    return YamlDocument(path, data, lines)


def _construct(
    loader: yaml.SafeLoader, node: yaml.Node, at: Location, lines: dict[Location, int], path: Path
) -> Any:
    # A list item's own line is its first key's, which is what an editor jumps to.
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in result:
                raise ContractError(
                    describe(
                        f"{path}:{key_node.start_mark.line + 1}: the key {key!r} stands twice",
                        expected="each key once",
                        next_step="delete one of the two",
                    )
                )
            result[key] = _construct(loader, value_node, (*at, key), lines, path)
            lines[(*at, key)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*at, i), lines, path) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
