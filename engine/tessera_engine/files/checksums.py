"""Checksums of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path


def folder_sha256(path: Path) -> str:
    """Hex sha256 of a folder: of the lines "<sha256>  <path in the folder>" of its files, sorted by path."""
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n".encode())
    return digest.hexdigest()


def path_sha256(path: Path) -> str:
    """Hex sha256 of a file or a folder."""
    return folder_sha256(path) if path.is_dir() else file_sha256(path)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
