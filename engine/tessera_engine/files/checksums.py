"""Checksums of files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")
"""Endings of the files that are one shapefile: shapes, their index, their values, the CRS, and the values' encoding."""


def folder_sha256(path: Path) -> str:
    """Hex sha256 of a folder: of the lines "<sha256>  <path in the folder>" of its files, sorted by path."""
    return _together(path, [file for file in path.rglob("*") if file.is_file()])


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
