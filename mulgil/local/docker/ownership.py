"""Whom containers run as, and how what they are given becomes theirs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mulgil.local.docker.run_command import User

# The images' own.
IMAGE_USER = User(65532, 65532)


def user_of_containers() -> User:
    """Return the user of this process, so that what containers write is theirs; the images' for root."""
    return IMAGE_USER if os.getuid() == 0 else User(os.getuid(), os.getgid())


def hand_over(path: Path, user: User) -> None:
    """Make a file or a folder and all that is in it a user's, where this process may: it is root.

    Args:
        path: In Mulgil's home.
        user: Whose it is to be.
    """
    if os.getuid() != 0:
        return
    for folder, _, names in os.walk(path):
        _own(Path(folder), user)
        for name in names:
            _own(Path(folder, name), user)
    _own(path, user)


def _own(path: Path, user: User) -> None:
    # What goes on beside may have renamed or removed it meanwhile.
    with contextlib.suppress(FileNotFoundError):
        facts = path.lstat()
        if (facts.st_uid, facts.st_gid) != (user.user_id, user.group_id):
            os.chown(path, user.user_id, user.group_id, follow_symlinks=False)
