"""Names of files that libraries would read as places elsewhere: a URI, or a member of an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_RESOLVERS = ("get_vsi_path_or_buffer", "vsi_path")
"""The functions with which pyogrio's modules turn a name into GDAL's."""

_READ_AS_ZIP = (".gpkg.zip", ".shp.zip", ".gdb.zip")
"""Zips that drivers open by their own names."""


def gdal_name(path: Path) -> str:
    """The name of a file or folder by which GDAL opens that one; a zip is looked into."""
    name = os.path.abspath(path)  # noqa: PTH100, keeps links
    if name.startswith("/vsi"):  # GDAL's own file systems
        name = f"/.{name}"
    return f"/vsizip/{name}" if name.endswith(".zip") and not name.endswith(_READ_AS_ZIP) else name


@contextmanager
def plain_names(pyogrio: Any) -> Iterator[None]:
    """Let pyogrio give GDAL every name as it is, for the whole process.

    pyogrio reads `!`, `;`, `?`, line breaks and two slashes in a name as parts of a URI, so that another file would be
    opened or written. It has no option that leaves names alone.

    Args:
        pyogrio: the library.
    """
    modules = [vars(module) for module in (pyogrio.core, pyogrio.raw)]
    before = [{name: module[name] for name in _RESOLVERS if name in module} for module in modules]
    try:
        for module, resolvers in zip(modules, before, strict=True):
            module.update(dict.fromkeys(resolvers, os.fspath))
        yield
    finally:
        for module, resolvers in zip(modules, before, strict=True):
            module.update(resolvers)
