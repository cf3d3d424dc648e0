"""Cloud-optimised GeoTIFFs: `embeddings.tif`, `scales.tif` (with int8 codes) and `observations.tif`."""

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
    from tessera_engine.formats.cog.reading import open_source

    return open_source(path, item)


def _write(content: Content, folder: Path) -> list[Asset]:
    from tessera_engine.formats.cog.writing import write

    return write(content, folder, FORMAT.media_type)


FORMAT = Format(
    name="cog",
    summary="GeoTIFFs",
    media_type="image/tiff; application=geotiff; profile=cloud-optimized",
    open=_open,
    write=_write,
    # The files with their overviews, each of a quarter of the size of the one before, if nothing can be compressed;
    # and the largest once more while it is copied
    disk_factor=4 / 3,
    fixed_bytes=40_000_000,  # GDAL with its cache
    pixels_held=3 * 256**2,
)
