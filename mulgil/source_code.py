"""What decides how code of ours behaves: its files, and the versions of the libraries that it calls."""

from __future__ import annotations

import functools
from importlib import metadata

from mulgil.artifacts import fingerprint_file, fingerprint_json
from mulgil.home import SOURCE_ROOT


@functools.cache
def fingerprint_source(patterns: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """Return the hash of files and versions, so that what other code kept is not taken for this one's.

    Args:
        patterns: Of the files, in the checkout.
        libraries: By the names that they are installed under.
    """
    files = [file for pattern in patterns for file in sorted(SOURCE_ROOT.glob(pattern))]
    versions = {name: metadata.version(name) for name in libraries}
    # By their paths: modules of several folders have the same name.
    content = {file.relative_to(SOURCE_ROOT).as_posix(): fingerprint_file(file) for file in files}
    return fingerprint_json([versions, content])
