"""YAML that remembers on which line each value stands, for error messages."""

from __future__ import annotations

import re
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


class _Loader(yaml.SafeLoader):
    """Reads the scalars of JSON, and everything else as the text that stands there.

    PyYAML's own rules are those of YAML 1.1, where `no` is false, `010` is 8, `12:30` is 750, `1e-3` is text
    and `2024-01-31` is a date: a category's code would silently become another.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the base class declares it.

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # A file of a few lines can grow without bound by aliases, or contain itself.
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias (*name) is not accepted here; write the value out",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)


# YAML 1.2.2, section 10.3.2 (core schema), without octal and hexadecimal; a leading zero makes a code.
for _tag, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?((0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\.?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^({_pattern})$"), None)


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
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        data = None if root is None else _construct(loader, root, (), lines, path)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ContractError(describe(f"{path}:{line}: cannot be read as YAML: {exc.problem}")) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ContractError(describe(f"{path}: cannot be read as YAML: {exc}")) from exc
    return YamlDocument(path, data, lines)


def _construct(
    loader: yaml.SafeLoader, node: yaml.Node, at: Location, lines: dict[Location, int], path: Path
) -> Any:
    # A list item's own line is its first key's, which is what an editor jumps to.
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ContractError(
                    describe(
                        f"{path}:{line}: a key is a list or a mapping", expected="a word, as in `name: age`"
                    )
                )
            key = loader.construct_object(key_node)
            if key in result:
                raise ContractError(
                    describe(
                        f"{path}:{line}: the key {key!r} stands twice",
                        expected="each key once",
                        next_step="delete one of the two",
                    )
                )
            result[key] = _construct(loader, value_node, (*at, key), lines, path)
            lines[(*at, key)] = line
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*at, i), lines, path) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
