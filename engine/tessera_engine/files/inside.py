"""Whether files lie in the folder that the user named, after all links and `..` are followed."""

from __future__ import annotations

import os
from pathlib import Path

ATTEMPTS = 100
"""How often a folder may be renamed while a path is looked up."""


def inside(folder: Path, path: Path) -> bool:
    """Whether a path is in a folder after all links and `..` are followed."""
    # An output that is read may be given another name meanwhile, more than once
    for _ in range(ATTEMPTS):
        place = folder.resolve()
        found = path.resolve().is_relative_to(place)
        if found or folder.resolve() == place:
            return found
    return False


def is_there(path: Path) -> bool:
    """Whether a path exists; False, too, for a name that no file can have, such as one of 300 characters."""
    try:
        return path.exists()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; as `is_there`."""
    return is_there(path) and path.is_dir()


def link_out(folder: Path, root: Path) -> Path | None:
    """The first link in a folder, at any depth, that leads out of `root`; None if there is none.

    Links to folders are not followed: what they lead to is elsewhere in `root`, or outside.
    """
    for place, folders, names in os.walk(folder):
        for name in sorted([*folders, *names]):
            path = Path(place, name)
            if path.is_symlink() and not inside(root, path):
                return path
    return None
