"""The files of a scene folder. Files outside the folder are never opened."""

from __future__ import annotations

import os
from pathlib import Path

from tessera_engine.files.naming import is_utf8
from tessera_engine.scenes.products import Listing, Problem


def inside(folder: Path, path: Path) -> bool:
    """Whether a path is in a folder after all links and `..` are followed."""
    return path.resolve().is_relative_to(folder.resolve())


def list_folder(folder: Path) -> Listing:
    """Find all files of a scene folder, at any depth.

    Hidden files and folders are left out. Links to folders are not followed: their target is elsewhere in the folder
    and is found there, or it is outside.
    """
    root = folder.resolve()
    files: list[Path] = []
    problems: list[Problem] = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        named = sorted([*folders, *names])
        folders[:] = filter(is_utf8, folders)
        for name in named:
            path = Path(place, name)
            if name.startswith("."):
                continue
            if not is_utf8(path):
                problems.append(Problem(path, "a file or folder whose name is not UTF-8; rename it"))
                continue
            if path.is_symlink() and not inside(root, path):
                problems.append(
                    Problem(
                        path, "a link that leads out of the scene folder; replace it by a copy of the file"
                    )
                )
            elif path.is_symlink() and not path.exists():
                problems.append(Problem(path, "a link to a file that doesn't exist"))
            elif path.is_file():
                files.append(path)
    return Listing(root, tuple(sorted(files)), tuple(problems))
