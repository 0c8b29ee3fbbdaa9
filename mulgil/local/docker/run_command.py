"""The command line of a container: what it may see, use and reach, as a pure function of what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# A directory in every container, and the only one in its own layer's place that can be written to.
TEMPORARY = "/tmp"

Network = Literal["none", "host", "bridge"]


@dataclass(frozen=True)
class User:
    """Whom a container's processes run as, by number."""

    user_id: int
    group_id: int


@dataclass(frozen=True)
class ContainerPlan:
    """A container that is to run.

    Attributes:
        name: Unique on this machine.
        image: What it runs in.
        words: The command line.
        user: Whom its processes run as; never root.
        labels: By which it is found again.
        variables: Of its own.
        passed_on: Variables that have the values of this process's; they stand on no command line.
        read: Files and folders that it sees at their own paths, and cannot change.
        written: Folders that it sees at their own paths, and may write to.
        scratch: The folder that is its `/tmp`; in memory where it is not given.
        empty: A folder that begins empty, around some of the others, and is lost.
        network: What it can reach.
        published: Ports that are reached on this machine's loopback address alone, in a network of its own.
        core_limit: The most that it may use; `None` sets no limit.
        memory_limit: Likewise.
        is_removed: Whether the engine forgets it as soon as it has ended.

    Units:
        Memory in bytes.
    """

    name: str
    image: str
    words: tuple[str, ...]
    user: User
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    passed_on: tuple[str, ...] = ()
    read: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    scratch: Path | None = None
    empty: Path | None = None
    network: Network = "none"
    published: tuple[int, ...] = ()
    core_limit: float | None = None
    memory_limit: float | None = None
    is_removed: bool = False


def run_command(plan: ContainerPlan) -> list[str]:
    """Return the words behind `docker` that run a container to its end, its output on this process's."""
    program, *arguments = plan.words
    return [
        *("run", "--name", plan.name, "--pull", "never", "--init", "--log-driver", "none"),
        *(["--rm"] if plan.is_removed else []),
        *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--user", f"{plan.user.user_id}:{plan.user.group_id}", "--workdir", TEMPORARY),
        *("--network", plan.network),
        *_flags("--publish", [f"127.0.0.1:{port}:{port}" for port in plan.published]),
        *_limits(plan),
        *_flags("--label", [f"{name}={value}" for name, value in plan.labels.items()]),
        *_flags("--env", [f"{name}={value}" for name, value in plan.variables.items()]),
        *_flags("--env", plan.passed_on),
        *_scratch(plan.scratch),
        *_empty(plan),
        *_flags("--mount", [_bind(path, path, is_read_only=True) for path in plan.read]),
        *_flags("--mount", [_bind(path, path) for path in plan.written]),
        *("--entrypoint", program, plan.image, *arguments),
    ]


def _limits(plan: ContainerPlan) -> list[str]:
    words = []
    if plan.core_limit is not None:
        words += ["--cpus", f"{plan.core_limit:g}"]
    if plan.memory_limit is not None:
        # Without swap, as in Kubernetes.
        words += [
            word for flag in ("--memory", "--memory-swap") for word in (flag, f"{plan.memory_limit:.0f}")
        ]
    return words


def _scratch(folder: Path | None) -> list[str]:
    if folder is None:
        return ["--tmpfs", f"{TEMPORARY}:mode=1777"]
    return ["--mount", _bind(folder, Path(TEMPORARY))]


def _empty(plan: ContainerPlan) -> list[str]:
    if plan.empty is None:
        return []
    owner = f"uid={plan.user.user_id},gid={plan.user.group_id}"
    return ["--tmpfs", f"{plan.empty}:mode=0755,{owner}"]


def _flags(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def _bind(source: Path, target: Path, *, is_read_only: bool = False) -> str:
    fields = ["type=bind", f"source={source}", f"target={target}", *(["readonly"] if is_read_only else [])]
    # The flag is a line of CSV.
    return ",".join(_quoted(field) for field in fields)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if set(text) & set(',"') else text
