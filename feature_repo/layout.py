"""Where the feature store keeps its files."""

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

    def online(self, project: str, version: str) -> Path:
        """Return the SQLite file of one version's latest values.

        Bundles of before there was a form of our own name `online_store.db` beside it, which stays as it was.
        """
        return self.root / "online" / project / version / "rows.db"
