"""What lies in an output folder and isn't of the output: files of the user's, which nothing may remove."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_BESIDE = (".aux.xml", ".ovr", ".msk")
"""What GDAL and QGIS write beside a file, behind its whole name. They make it again from the file."""

_STYLES = (".qml", ".qmd")
"""What QGIS keeps beside a file, in the place of its suffix; the first is written with an output."""

_OF_SYSTEMS = frozenset({".ds_store", ".directory", "thumbs.db", "desktop.ini", "@eadir"})
"""What systems and network drives leave in every folder that is looked at, in lower case."""

_OF_MACOS, _OF_NFS = "._", ".nfs"
"""Beginnings of names: a file's attributes on drives that have none, and a file that is removed while it is open."""

_IN_STORES = re.compile(r"zarr\.json|\d+|grid_[-\d._]+(_scales)?\.(npy|tiff)")
"""Names of files in the folders of Zarr stores and of geotessera trees."""

_YEAR = re.compile(r"\d{4}")


def foreign(folder: Path, item: Mapping[str, Any], item_name: str) -> str | None:
    """The first file or folder in an output that isn't of the output.

    A file is, if the item names it, or if it lies in a folder that the item names and is called as files of stores
    are; so is what programs make of it again.

    Args:
        folder: the output.
        item: its item.
        item_name: the name of the file that holds the item.

    Returns:
        Its path in the folder; None where there is none.
    """
    ours = {str(PurePosixPath(href)) for href in (item_name, *_hrefs(item))}
    return next(_Search(ours, _years(item["properties"])).unnamed(folder), None)


def _hrefs(item: Mapping[str, Any]) -> Iterator[str]:
    assets = item.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if isinstance(href, str):
            yield href


def _years(properties: Mapping[str, Any]) -> set[str]:
    """The years of a store; empty where the item doesn't say."""
    several, one = properties.get("tessera:years"), properties.get("tessera:year")
    if isinstance(several, dict):
        return set(several)
    return {str(one)} if isinstance(one, int) else set()


class _Search:
    """For what an output doesn't name."""

    def __init__(self, ours: set[str], years: set[str]) -> None:
        self._ours, self._years = ours, years
        self._above = {str(parent) for name in ours for parent in PurePosixPath(name).parents}

    def unnamed(self, folder: Path, before: str = "") -> Iterator[str]:
        for entry in _entries(folder):
            name, is_folder = before + entry.name, entry.is_dir(follow_symlinks=False)
            if name in self._ours and is_folder:
                yield from self._in_store(folder / entry.name, f"{name}/", first=True)
            elif name in self._above and is_folder:
                yield from self.unnamed(folder / entry.name, f"{name}/")
            elif name not in self._ours and not self._of_a_program(name):
                yield name

    def _in_store(self, folder: Path, before: str, first: bool = False) -> Iterator[str]:
        for entry in _entries(folder):
            name = before + entry.name
            if entry.is_dir(follow_symlinks=False):
                other = first and _YEAR.fullmatch(entry.name) and entry.name not in self._years
                if self._years and other:
                    yield name
                yield from self._in_store(folder / entry.name, f"{name}/")
            elif entry.is_symlink() or not (_IN_STORES.fullmatch(entry.name) or self._of_a_program(name)):
                yield name

    def _of_a_program(self, name: str) -> bool:
        """Whether a program or the system left it there, and would make it again."""
        last = PurePosixPath(name).name.lower()
        if last in _OF_SYSTEMS or last.startswith((_OF_MACOS, _OF_NFS)):
            return True
        for ending in _BESIDE:
            if name.endswith(ending):
                whole = name.removesuffix(ending)
                return whole in self._ours or _IN_STORES.fullmatch(PurePosixPath(whole).name) is not None
        stem, dot, ending = name.rpartition(".")
        return dot + ending in _STYLES and any(each.rpartition(".")[0] == stem for each in self._ours)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda each: each.name)
