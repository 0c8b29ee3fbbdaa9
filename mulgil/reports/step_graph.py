"""Which step of a run came after which, read from the compiled pipeline and put in rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Edges = Mapping[str, frozenset[str]]


def read_edges(pipeline: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return, for each container task of a compiled pipeline, the container tasks that it waits for.

    It takes any IR, also one that the runner refuses: the picture of a refused run is still its picture.

    Args:
        pipeline: The `PipelineSpec`, as its YAML reads.

    Returns:
        By path: a task's name, with those of the graphs around it before slashes.
    """
    components = pipeline.get("components", {})
    edges: dict[str, frozenset[str]] = {}

    def walk(component: Mapping[str, Any], prefix: str, before: frozenset[str]) -> None:
        tasks = component.get("dag", {}).get("tasks", {})
        leaves = {name: frozenset(_leaves(components, name, task, prefix)) for name, task in tasks.items()}
        for name, task in tasks.items():
            waits = before.union(*(leaves[upstream] for upstream in _upstream(task) if upstream in leaves))
            inner = components.get(task["componentRef"]["name"], {})
            if "dag" in inner:
                walk(inner, f"{prefix}{name}/", waits)
            else:
                edges[prefix + name] = waits

    walk(pipeline.get("root", {}), "", frozenset())
    return edges


def reduce_edges(edges: Edges, order: Sequence[str]) -> list[tuple[int, int]]:
    """Return the edges between the rows of an order, without those that a longer way says already."""
    known = {name: _known_before(edges, name, order) for name in order}
    reach: dict[str, set[str]] = {}
    for name in order:
        reach[name] = set().union(*({before} | reach.get(before, set()) for before in known[name]))
    rows = {name: row for row, name in enumerate(order)}
    return [
        (rows[before], rows[name])
        for name in order
        for before in sorted(known[name], key=rows.__getitem__)
        if not any(before in reach[other] for other in known[name] if other != before)
    ]


def plain_path(task: str) -> str:
    """Return a task's path without the numbers of its iterations."""
    return "/".join(part for part in task.split("/") if not part.isdigit())


def _known_before(edges: Edges, name: str, order: Sequence[str]) -> set[str]:
    """Return the rows above one that it waits for; of a graph that did not run, what its tasks wait for."""
    above = order[: order.index(name)]
    plain = plain_path(name)
    waits = set(edges.get(plain, ()))
    for path, before in edges.items():
        if path.startswith(f"{plain}/"):
            waits |= {task for task in before if not task.startswith(f"{plain}/")}
    return {row for row in above if plain_path(row) in waits}


def _leaves(components: Mapping[str, Any], name: str, task: Mapping[str, Any], prefix: str) -> Iterator[str]:
    inner = components.get(task["componentRef"]["name"], {})
    if "dag" not in inner:
        yield prefix + name
        return
    for below, nested in inner["dag"].get("tasks", {}).items():
        yield from _leaves(components, below, nested, f"{prefix}{name}/")


def _upstream(task: Mapping[str, Any]) -> set[str]:
    inputs = task.get("inputs", {})
    sources = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
    outputs = [
        source[kind]
        for source in sources
        for kind in ("taskOutputParameter", "taskOutputArtifact")
        if kind in source
    ]
    return {output["producerTask"] for output in outputs} | set(task.get("dependentTasks", ()))
