"""The code of this checkout as an archive that steps on a cluster can run in place of their images' own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mulgil.artifacts import fingerprint_bytes
from mulgil.home import SOURCE_ROOT
from mulgil.project_location import pack

# What an image has below /app, as far as a step imports any of it.
_PACKAGES = ("components", "feature_repo", "mulgil")
_NOT_CODE = {".venv", "__pycache__"}


@dataclass(frozen=True)
class CodeArchive:
    """Packed code.

    Attributes:
        content: The archive.
    """

    content: bytes

    def address(self, root: str) -> str:
        """Return where it lies under a root: equal code has one address, and so one entry in KFP's cache."""
        return f"{root.rstrip('/')}/code/{fingerprint_bytes(self.content)[:12]}.zip"


def pack_code(root: Path = SOURCE_ROOT) -> CodeArchive:
    """Pack the packages of a checkout.

    Args:
        root: The checkout.
    """
    files = {
        file.relative_to(root).as_posix(): file.read_bytes()
        for package in _PACKAGES
        for file in sorted((root / package).rglob("*"))
        if file.is_file() and not _NOT_CODE & set(file.relative_to(root).parts)
    }
    return CodeArchive(pack(files))
