"""The files of a scene folder. Files outside the folder are never opened."""

from __future__ import annotations

import os
from pathlib import Path

from tessera_engine.files.inside import inside
from tessera_engine.files.naming import is_utf8
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.files.partial import LOCK
from tessera_engine.scenes.products import Listing, Problem

_OF_SYSTEMS = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "desktop.ini",
        "icon\r",
    }
)
"""What macOS, Windows and network drives add to folders and zips, in lower case."""


def is_of_system(name: str) -> bool:
    """Whether a file or folder is hidden or was added by an operating system, so that it belongs to no product."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def list_folder(folder: Path) -> Listing:
    """Find all files of a scene folder, at any depth.

    Hidden files and folders, those of operating systems and outputs of this engine are left out. Links to folders are
    not followed: their target is elsewhere in the folder and is found there, or it is outside.
    """
    root = folder.resolve()
    files: list[Path] = []
    problems: list[Problem] = []
    visited: set[Path] = set()

    def unreadable(error: OSError) -> None:
        problems.append(Problem(Path(error.filename), _no_permission(error.strerror or str(error))))

    for place, folders, names in os.walk(root, onerror=unreadable):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not is_of_system(name) and not _is_ours(here / name))
        visited.add(here)
        named, below = sorted([*folders, *names]), set(folders)
        folders[:] = filter(is_utf8, folders)
        for name in named:
            path = here / name
            if is_of_system(name):
                continue
            problem = _problem(path, root, name in below)
            if problem is not None:
                problems.append(problem)
            elif path.is_file():
                files.append(path)
    return Listing(root, tuple(sorted(files)), tuple(problems), _empty(root, visited, files, problems))


def _problem(path: Path, root: Path, is_folder: bool) -> Problem | None:
    """Why a file, folder or link can't be used at all; None where it can."""
    if not is_utf8(path):
        return Problem(path, "a file or folder whose name is not UTF-8; rename it")
    if path.is_symlink():
        if not inside(root, path):
            return Problem(
                path, "a link that leads out of the scene folder; replace it by a copy of the file"
            )
        if not path.exists():
            return Problem(path, "a link to a file that doesn't exist")
    if is_folder:
        return None
    if not path.is_file():
        return Problem(path, "is no regular file", lost=False)
    return None if os.access(path, os.R_OK) else Problem(path, _no_permission("Permission denied"))


def _no_permission(reason: str) -> str:
    return f"can't be opened ({reason}); give yourself permission to read it"


def _is_ours(folder: Path) -> bool:
    """Whether a folder is an output of this engine, or the folder in which one is made."""
    if (folder / ITEM).is_file():
        return is_output(folder)
    return folder.suffix == ".partial" and (folder / LOCK).is_file()


def _empty(root: Path, visited: set[Path], files: list[Path], problems: list[Problem]) -> tuple[Path, ...]:
    """The outermost folders that have nothing in them."""
    filled = {
        parent for path in (*files, *(problem.source for problem in problems)) for parent in path.parents
    }
    filled |= {root, *(problem.source for problem in problems)}
    return tuple(sorted(folder for folder in visited - filled if folder.parent in filled))
