"""The layers of an output: the staged arrays, described once for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera_engine.files.staging import CODE_NODATA, ROW_VALUES, RasterFile, Staging
from tessera_engine.geo import grid_fields
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset

QUALITY_BANDS = (
    "clear Sentinel-2 dates",
    "valid ascending Sentinel-1 observations",
    "valid descending Sentinel-1 observations",
    "months with a clear Sentinel-2 date",
    "longest run of days without a clear Sentinel-2 date",
    "status: 0 = not looked at, 1 = good, 2 = few clear dates, 3 = water, 4 = no data",
)
"""What `tessera_kernels.quality` counts, and the status of a pixel."""

FEW_CLEAR = 2
"""The status of pixels with fewer clear dates than asked for."""


def count_few_clear(staging: Staging) -> int:
    """Pixels that are flagged for their few clear dates."""
    if staging.quality is None:
        return 0
    found, width = 0, staging.grid.width
    for window in staging.grid.window.blocks(width, max(1, ROW_VALUES // width)):
        found += int((staging.quality.read(window)[..., -1] == FEW_CLEAR).sum())
    return found


@dataclass(frozen=True)
class Layer:
    """One staged array and its description.

    Attributes:
        key: `embeddings`, `scales`, `observations` or `quality`.
        raster: (height, width) or (height, width, bands).
        title: what it is, for people.
        roles: STAC roles.
        bands: a name for each band.
        nodata: the value of pixels without data; None where every value means something.
    """

    key: str
    raster: RasterFile
    title: str
    roles: tuple[str, ...]
    bands: tuple[str, ...]
    nodata: float | None

    def asset(self, grid: Grid, file_name: str, media_type: str) -> Asset:
        """The layer as a file of the output."""
        fields: dict[str, Any] = {"data_type": self.raster.dtype.name}
        if self.nodata is not None:
            # JSON has no NaN; STAC uses the string.
            fields["nodata"] = "nan" if np.isnan(self.nodata) else int(self.nodata)
        fields |= {"bands": [{"name": band} for band in self.bands]} | grid_fields(grid)
        return Asset(self.key, file_name, media_type, self.title, self.roles, fields)


def layers(staging: Staging) -> list[Layer]:
    """The layers of an output: embeddings, scales where codes are stored, observations, and quality where known."""
    int8 = staging.scales is not None
    found = [
        Layer(
            "embeddings",
            staging.embeddings,
            "TESSERA embedding of each pixel" + (", int8 codes: multiply by its scale" if int8 else ""),
            ("data",),
            tuple(f"embedding {k:03d}" for k in range(1, staging.dim + 1)),
            CODE_NODATA if int8 else np.nan,
        )
    ]
    if staging.scales is not None:
        title = "Scale of each pixel's codes: embedding = code * scale"
        found.append(Layer("scales", staging.scales, title, ("data",), ("scale",), np.nan))
    found.append(
        Layer(
            "observations",
            staging.observations,
            "Number of observations that each pixel's embedding was made from",
            ("metadata",),
            ("clear Sentinel-2 observations", "valid Sentinel-1 observations"),
            # 0 is a valid count
            None,
        )
    )
    if staging.quality is not None:
        title = "How well each pixel was seen"
        found.append(Layer("quality", staging.quality, title, ("metadata",), QUALITY_BANDS, None))
    return found
