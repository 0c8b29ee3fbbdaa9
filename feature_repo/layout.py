"""Where the feature store keeps its files, and the name that stands for a version of the definitions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoreLayout:
    """The files under one root.

    Attributes:
        root: `feature_store` in Mulgil's home.
    """

    root: Path

    @property
    def registry(self) -> Path:
        """Feast's registry, one for all projects."""
        return self.root / "registry.db"

    @property
    def lock(self) -> Path:
        """Held while the store changes."""
        return self.root / "lock"

    @property
    def staging(self) -> Path:
        """Where the next state is built, by the holder of the lock alone."""
        return self.root / "staging"

    def offline(self, project: str, version: str) -> Path:
        """Return the Parquet file of one version's values."""
        return self.root / "offline" / project / version / "features.parquet"

    def dataset(self, project: str, version: str) -> Path:
        """Return the file that says whose rows one version's values are: the dataset's fingerprint."""
        return self.root / "offline" / project / version / "dataset"

    def online(self, project: str, version: str) -> Path:
        """Return the SQLite file of one version's latest values.

        Bundles of before there was a form of our own name `online_store.db` beside it, which stays as it was.
        """
        return self.root / "online" / project / version / "rows.db"


def definition_name(project: str, version: str) -> str:
    """Return the name that the objects of one version share.

    Args:
        project: The project's name. It has hyphens and no underscores, Feast's SQLite tables the reverse, so
            two projects never meet.
        version: Of the definitions.
    """
    return f"{project.replace('-', '_')}_{version}"
