"""Folders into which nobody else could have put a file: only from these is code loaded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

ROOT = 0
"""The user who can run anything as anybody."""


def not_private(folder: Path, sticky: bool = False) -> str | None:
    """Why others could have put files into a folder, in words; None where they couldn't.

    On Windows always None: others have no rights there in a user's own folders.

    Args:
        folder: an existing folder.
        sticky: accept a folder like /tmp, where anybody makes folders and nobody can replace those of others.

    Raises:
        OSError: it doesn't exist or can't be looked at.
    """
    if not hasattr(os, "geteuid"):
        return None
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), ROOT):
        return f"belongs to another user ({_name(found.st_uid)})"
    if not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or (sticky and found.st_mode & stat.S_ISVTX):
        return None
    return "can be written by other users"


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
