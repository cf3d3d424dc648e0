"""The published layout: `<name>.npy` (H, W, K), `<name>_scales.npy` (H, W), and `<name>_observations.npy` (H, W, 2).

Codes * scales is NaN where there is no data: the code is -128 there and the scale NaN.
"""

from __future__ import annotations

from pathlib import Path

from tessera_engine.errors import TesseraError
from tessera_engine.files.durable import link
from tessera_engine.files.staging import Staging
from tessera_engine.formats.layers import layers
from tessera_engine.stac.writing import Asset

SUFFIXES = {"embeddings": "", "scales": "_scales", "observations": "_observations"}

MEDIA_TYPE = "application/octet-stream"
"""None is registered for .npy."""


def write(staging: Staging, folder: Path, name: str) -> list[Asset]:
    """Write the published layout: see `tessera_engine.formats.writing.write`."""
    assets = []
    for layer in layers(staging):
        path = folder / f"{name}{SUFFIXES[layer.key]}.npy"
        try:
            # The staged file is the published file already. A second name for it costs neither time nor disk, and
            # leaves the staging as it is.
            link(layer.raster.path, path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise TesseraError(
                f"can't write {path}: {error.strerror}; make room and give the same command again"
            ) from None
        assets.append(layer.asset(staging.grid, path.name, MEDIA_TYPE))
    return assets
