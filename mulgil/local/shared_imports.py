"""What waiting interpreters import, and which is copied from which.

An import that several components need is done once: an interpreter that has done it is copied for each. Where
their lists of imports part, there is such an interpreter; at the end of each list is the component's own.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass

Imports = tuple[str, ...]


@dataclass(frozen=True)
class Wants:
    """What a component wants to be imported before its step begins.

    Attributes:
        imports: What it needs in any case, in the order in which it may be shared.
        spare: What may follow, which it needs now and then: taken where it is there for another component.
        core: The last import, its own.
    """

    imports: Imports
    spare: Imports
    core: str


def wants_of(component: str) -> Wants:
    """Return what a component declares."""
    package = importlib.import_module(f"components.{component}")
    return Wants(
        package.IMPORTS,
        getattr(package, "SPARE_IMPORTS", ()),
        f"components.{component}.__main__:load_core",
    )


def choose_imports(wants: Mapping[str, Wants]) -> dict[str, Imports]:
    """Return what is to be imported for each of some components that run in one environment."""
    chosen = {}
    for component, wanted in wants.items():
        others = (other.imports for name, other in wants.items() if name != component)
        shared = (_common(wanted.imports + wanted.spare, imports) for imports in others)
        chosen[component] = (*max([wanted.imports, *shared], key=len), wanted.core)
    return chosen


def branch(imports: Collection[Imports]) -> dict[Imports, Imports | None]:
    """Return the interpreters that there are to be, by what each has imported.

    Args:
        imports: What the components' own are to have imported.

    Returns:
        What the one has imported that each is copied from; `None` where it is started.
    """
    nodes = {*imports, *itertools.starmap(_common, itertools.combinations(imports, 2))}
    return {
        node: max((other for other in nodes if _begins(node, other)), key=len, default=None) for node in nodes
    }


def _common(one: Imports, other: Imports) -> Imports:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return tuple(name for name, _ in pairs)


def _begins(whole: Imports, start: Imports) -> bool:
    return len(start) < len(whole) and whole[: len(start)] == start
