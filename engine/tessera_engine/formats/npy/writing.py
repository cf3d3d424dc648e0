"""The published layout: `<name>.npy` (H, W, K), `<name>_scales.npy` (H, W), and `<name>_observations.npy` (H, W, 2).

Codes * scales is NaN where there is no data: the code there is -128 and the scale NaN.
"""

from __future__ import annotations

from pathlib import Path

from tessera_engine.errors import TesseraError
from tessera_engine.files.durable import link
from tessera_engine.formats.format import Content
from tessera_engine.formats.layers import layers
from tessera_engine.stac.items import Asset

SUFFIXES = {"embeddings": "", "scales": "_scales", "observations": "_observations", "quality": "_quality"}
"""What follows the scene's name in the name of a layer's file."""


def write(content: Content, folder: Path, media_type: str) -> list[Asset]:
    """Write the published layout: see `tessera_engine.formats.format.Format`."""
    assets = []
    for layer in layers(content.staging):
        path = folder / f"{content.name}{SUFFIXES[layer.key]}.npy"
        try:
            # The staged file is the published file already. A second name for it takes neither time nor room on the
            # disk, and leaves the staging as it is.
            link(layer.raster.path, path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise TesseraError(
                f"can't write {path}: {error.strerror}; make room and give the same command again"
            ) from None
        assets.append(layer.asset(content.staging.grid, path.name, media_type))
    return assets
