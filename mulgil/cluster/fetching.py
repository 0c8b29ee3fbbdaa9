"""What a cluster's run left in the object store, fetched into the shape of a local run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mulgil.cluster.object_store import get, list_files
from mulgil.local.task_folder import TaskFolder

# Verdicts, metrics and manifests are small; rows and weights stay where they are. Chosen by eye.
LARGEST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class RemoteFile:
    """One file of an artifact.

    Attributes:
        task: The task's path in the pipeline.
        place: Its path below the task's artifacts.
        address: Where it is.
    """

    task: str
    place: PurePosixPath
    address: str


def locate(
    root: str, sizes: Mapping[str, int], outputs: Mapping[str, frozenset[str]]
) -> Iterable[RemoteFile]:
    """Read KFP's layout `TASK/[EXECUTION/]ARTIFACT[/…]` below a run's root.

    Args:
        root: The run's.
        sizes: By path below the root.
        outputs: Names of the output artifacts, by the tasks' paths.
    """
    paths = {path.rpartition("/")[2]: path for path in outputs}
    for path, size in sizes.items():
        task, *rest = PurePosixPath(path).parts
        if task not in paths or size > LARGEST_BYTES:
            continue
        names = outputs[paths[task]]
        # Newer launchers put the execution's identity between.
        inside = rest if rest and rest[0] in names else rest[1:]
        if inside and inside[0] in names:
            yield RemoteFile(paths[task], PurePosixPath(*inside), f"{root}/{path}")


def fetch_artifacts(root: str, outputs: Mapping[str, frozenset[str]], run_folder: Path) -> int:
    """Copy a run's small artifacts into the folders that a local run would have.

    Returns:
        How many files were copied.

    Raises:
        TemporaryError: The object store does not answer.
    """
    found = list(locate(root, list_files(root), outputs))
    for file in found:
        name, *inside = file.place.parts
        get(file.address, TaskFolder(run_folder, file.task).place_artifact(name).joinpath(*inside))
    return len(found)
