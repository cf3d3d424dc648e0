"""Checksums of files and folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
"""Endings of the files that are one shapefile: shapes, their index, their values, the CRS, and the values' encoding."""


def folder_sha256(path: Path, known: Callable[[str], str | None] | None = None) -> str:
    """Hex sha256 of a folder: of the lines "<sha256>  <path in the folder>" of its files, sorted by path.

    Args:
        path: the folder.
        known: gives the hex sha256 of a file, by its path in the folder, that isn't read; None for one that is.
    """
    digest = hashlib.sha256()
    for name in _names(path, ""):
        sha256 = known(name) if known is not None else None
        digest.update(f"{sha256 or file_sha256(path / name)}  {name}\n".encode())
    return digest.hexdigest()


def _names(folder: Path, before: str) -> Iterator[str]:
    """The files of a folder at any depth, sorted by the parts of their paths: a store may have millions."""
    with os.scandir(folder) as found:
        entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    for name, is_folder in entries:
        if is_folder:
            yield from _names(folder / name, f"{before}{name}/")
        elif (folder / name).is_file():
            yield f"{before}{name}"


def path_sha256(path: Path) -> str:
    """Hex sha256 of a file or a folder; of a shapefile that of all its files, as of a folder of them."""
    if path.is_dir():
        return folder_sha256(path)
    if path.suffix.lower() != ".shp":
        return file_sha256(path)
    beside = [file for file in path.parent.iterdir() if file.stem == path.stem and file.is_file()]
    return _together(path.parent, [file for file in beside if file.suffix.lower() in _SHAPEFILE])


def _together(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file_sha256(file)}  {file.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
