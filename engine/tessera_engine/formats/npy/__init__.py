"""The published layout of .npy files: codes, scales and observations as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.formats.format import Content, Format

if TYPE_CHECKING:
    from tessera_engine.formats.embeddings.stored import Source
    from tessera_engine.stac.items import Asset


def _open(path: Path, item: Mapping[str, Any], time: int | date | None) -> Source:
    from tessera_engine.formats.npy.reading import open_source

    return open_source(path, item)


def _write(content: Content, folder: Path) -> list[Asset]:
    from tessera_engine.formats.npy.writing import write

    return write(content, folder, FORMAT.media_type)


FORMAT = Format(
    name="npy",
    summary="the published layout",
    media_type="application/octet-stream",  # none is registered for .npy
    open=_open,
    write=_write,
    disk_factor=0,  # second names of the staged files
)
