"""Labels from a raster: each pixel of the grid gets the value of the nearest raster pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.fills import Tally
from tessera_engine.analysis.labels.pixels import Draw, Labels, LabelSource, NoLabels
from tessera_engine.analysis.labels.values import class_names
from tessera_engine.errors import InputError
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, gdal_reason, raster_crs, raster_reader
from tessera_engine.places.crs import no_crs, parse_crs
from tessera_engine.places.losses import Losses
from tessera_engine.scene import Grid

STRIP_PIXELS = 2_000_000
"""Pixels that are read at a time."""


def read_raster(source: LabelSource, grid: Grid, regression: bool, most: int) -> Labels:
    """The labels of a grid's pixels.

    Pixels are no label where the raster's mask or alpha band says so, and where they have its nodata value, are NaN or
    infinite. Where the raster declares no nodata, all its values count.

    Args:
        source: the raster, its band and nodata.
        grid: of the embeddings.
        regression: the values are numbers, not classes.
        most: the largest number of labels.

    Raises:
        InputError: the raster can't be used.
    """
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window as Where

    path = source.path
    try:
        with gdal_environment(), raster_reader(path) as file:
            crs = raster_crs(file)
            if source.crs is not None:
                crs = parse_crs(source.crs, "labels_crs")
            if crs is None:
                raise no_crs(path, "labels_crs")
            band = _band(source, file)
            declared = file.nodatavals[band - 1]
            nodata = declared if source.nodata is None else source.nodata
            draw, tally = Draw(most), Tally(regression)
            covered = 0
            size = {"width": grid.width, "height": grid.height}
            place = {"crs": grid.crs, "transform": grid.transform, "src_nodata": None, "nodata": None}
            alpha = any(each.name == "alpha" for each in file.colorinterp)
            # The nodata value is compared here, in the raster's own type. The alpha band marks the raster's pixels
            with WarpedVRT(file, src_crs=crs, add_alpha=not alpha, **place, **size) as warped:
                height = max(1, min(grid.height, STRIP_PIXELS // grid.width))
                for window in grid.window.blocks(grid.width, height):
                    where = Where(*window)
                    values = warped.read(band, window=where).reshape(-1)
                    there = warped.dataset_mask(window=where).reshape(-1) > 0
                    covered += int(there.sum())
                    _add(draw, tally, values, there, (nodata, window.row * grid.width, regression))
    except GDAL_ERRORS as error:
        raise InputError(f"can't read labels from {path}: {gdal_reason(error)}") from None
    if not covered:
        raise NoLabels(f"no label of {path} lies on the embeddings; give labels of the same place")
    if not draw.seen:
        raise NoLabels(f"no label of {path} is left: its pixels on the embeddings are all without data")
    return draw.labels(grid.width, Losses(), tally.hints("pixels") if nodata is None else ())


def _add(
    draw: Draw,
    tally: Tally,
    values: NDArray[Any],
    there: NDArray[np.bool_],
    how: tuple[float | None, int, bool],
) -> None:
    nodata, first, regression = how
    there &= np.isfinite(values)
    if nodata is not None and not np.isnan(nodata):
        # As the raster's type holds it: the float32 of 0.1 isn't the float64
        there &= values != np.asarray(nodata).astype(values.dtype) if _holds(values.dtype, nodata) else True
    pixels = np.flatnonzero(there)
    found = values[pixels]
    tally.add(found.astype(np.float64))
    draw.add(pixels + first, found.astype(np.float64) if regression else found)


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    if dtype.kind == "f":
        return True
    about = np.iinfo(dtype)
    return float(value).is_integer() and about.min <= value <= about.max


def _band(source: LabelSource, file: Any) -> int:
    """The number of the band to read.

    Raises:
        InputError: there are several and none is named, there is no such band, or it has complex numbers.
    """
    data = [i for i, meaning in zip(file.indexes, file.colorinterp, strict=True) if meaning.name != "alpha"]
    if source.band is not None:
        if source.band not in data:
            raise InputError(
                f"{source.path} has no band={source.band}; it has the bands {_listed(file, data)}"
            )
    elif len(data) != 1:
        raise InputError(
            f"{source.path} has {len(data)} bands: {_listed(file, data)}; give band=, the one with the labels"
        )
    band = int(data[0] if source.band is None else source.band)
    if "complex" in file.dtypes[band - 1]:
        raise InputError(
            f"{source.path} has complex numbers, expected classes or real numbers as labels; save it as one of them"
        )
    return band


def _listed(file: Any, bands: list[int]) -> str:
    names = [f"{i} ({file.descriptions[i - 1]})" if file.descriptions[i - 1] else str(i) for i in bands]
    return ", ".join(names if len(names) <= 12 else [*names[:10], "...", names[-1]])


def named(labels: NDArray[Any]) -> NDArray[Any]:
    """(N,) values of a raster as names of classes."""
    return class_names(labels, None)
