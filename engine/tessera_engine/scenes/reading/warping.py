"""Rasters brought to a window of the scene's grid: copied where their pixels are pixels of the grid, else resampled.

Only the part of a raster that the window needs is read. A resampled pixel depends only on the four pixels around it,
so the result doesn't depend on the size of windows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.scene import Grid, Window
from tessera_engine.scenes.products import S1Units
from tessera_engine.scenes.reading.rasters import Geometry, Raster, read_block
from tessera_engine.scenes.reading.target import shift_on
from tessera_kernels import resample, sar

Floats = NDArray[np.float64]


class Points:
    """The centres of a window's pixels, in any CRS."""

    def __init__(self, grid: Grid, window: Window) -> None:
        self.grid, self.window = grid, window
        self._in: dict[str, tuple[Floats, Floats]] = {}
        self._blocks: dict[Geometry, Window | None] = {}

    def coordinates(self, crs: str) -> tuple[Floats, Floats]:
        """Coordinates x and y, (height, width) float64 each; not finite outside the CRS's domain."""
        if crs not in self._in:
            # Two threads may compute it at the same time; both get the same values
            self._in[crs] = self._compute(crs)
        return self._in[crs]

    def block_of(self, geometry: Geometry) -> Window | None:
        """The block of a raster's pixels that all points need, with one more on each side; None where there is none."""
        if geometry not in self._blocks:
            self._blocks[geometry] = _needed_block(geometry, *self.coordinates(geometry.crs))
        return self._blocks[geometry]

    def _compute(self, crs: str) -> tuple[Floats, Floats]:
        transform, window = self.grid.transform, self.window
        cols = window.col + np.arange(window.width) + 0.5
        rows = (window.row + np.arange(window.height) + 0.5)[:, None]
        x = transform.a * cols + transform.b * rows + transform.c
        y = transform.d * cols + transform.e * rows + transform.f
        if crs == self.grid.crs:
            return x, y
        from rasterio.warp import transform as project

        xs, ys = project(self.grid.crs, crs, x.ravel(), y.ravel())
        return np.reshape(xs, x.shape), np.reshape(ys, y.shape)


def read_nearest(raster: Raster, points: Points) -> NDArray[Any] | None:
    """For each pixel of the window, the value of the raster's pixel that contains its centre.

    Returns:
        (height, width) of the raster's dtype, 0 outside the raster; None where the whole window is outside.
    """
    part = _aligned_part(raster, points)
    if part is not None:
        block, rows, cols = part
        if block is None:
            return None
        values = read_block(raster, block)
        out = np.zeros((points.window.height, points.window.width), values.dtype)
        out[rows, cols] = values
        return out
    needed = points.block_of(raster.geometry)
    if needed is None:
        return None
    values = read_block(raster, needed)
    return resample.nearest(values, *points.coordinates(raster.geometry.crs), _to_pixel(raster, needed))


def read_bilinear(raster: Raster, points: Points, out: NDArray[np.uint16]) -> None:
    """Digital numbers: copied, or the bilinear mean of the four pixels around, rounded (half to even).

    Args:
        raster: whole numbers, 0 = no data; negative numbers count as 0.
        points: where to read.
        out: (height, width) uint16, zeros; filled where the raster has values.
    """
    part = _aligned_part(raster, points)
    if part is not None:
        block, rows, cols = part
        if block is not None:
            out[rows, cols] = _digital_numbers(read_block(raster, block))
        return
    needed = points.block_of(raster.geometry)
    if needed is not None:
        values = _digital_numbers(read_block(raster, needed))
        coordinates = points.coordinates(raster.geometry.crs)
        out[:] = np.rint(resample.bilinear(values, *coordinates, _to_pixel(raster, needed)))


def read_codes(raster: Raster, points: Points, units: S1Units, out: NDArray[np.int16]) -> None:
    """Sentinel-1 codes: of each value, or of the bilinear mean of the four pixels around, taken in linear power.

    Args:
        raster: backscatter.
        points: where to read.
        units: units of the raster's values.
        out: (height, width) int16, zeros; filled where the raster has values.
    """
    part = _aligned_part(raster, points)
    if part is not None:
        block, rows, cols = part
        if block is not None:
            out[rows, cols] = sar.to_codes(read_block(raster, block), units)
        return
    needed = points.block_of(raster.geometry)
    if needed is not None:
        power = sar.to_power(read_block(raster, needed), units)
        coordinates = points.coordinates(raster.geometry.crs)
        out[:] = sar.to_codes(resample.bilinear(power, *coordinates, _to_pixel(raster, needed)), "power")


def _digital_numbers(values: NDArray[Any]) -> NDArray[np.uint16]:
    if values.dtype == np.uint16:
        return values
    numbers: NDArray[np.uint16] = np.clip(values, 0, 65535).astype(np.uint16)
    return numbers


def _aligned_part(raster: Raster, points: Points) -> tuple[Window | None, slice, slice] | None:
    """For a raster whose pixels are pixels of the grid: its block in the window, and where in the window that is.

    None where the raster has to be resampled; the block is None where the window is outside the raster.
    """
    shift = shift_on(points.grid, raster.geometry)
    if shift is None:
        return None
    place = Window(*shift, raster.geometry.width, raster.geometry.height)
    part = place.intersection(points.window)
    if part is None:
        return None, slice(0), slice(0)
    inner = part.relative_to(points.window)
    return (
        part.relative_to(place),
        slice(inner.row, inner.row + inner.height),
        slice(inner.col, inner.col + inner.width),
    )


def _needed_block(geometry: Geometry, x: Floats, y: Floats) -> Window | None:
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return None
    to_pixel = ~geometry.transform
    cols = to_pixel.a * x[finite] + to_pixel.b * y[finite] + to_pixel.c
    rows = to_pixel.d * x[finite] + to_pixel.e * y[finite] + to_pixel.f
    left, top = math.floor(cols.min()) - 1, math.floor(rows.min()) - 1
    around = Window(left, top, math.floor(cols.max()) + 2 - left, math.floor(rows.max()) + 2 - top)
    return Window(0, 0, geometry.width, geometry.height).intersection(around)


def _to_pixel(raster: Raster, block: Window) -> resample.ToPixel:
    inverse = ~(raster.geometry.transform @ Affine.translation(block.col, block.row))
    return (*inverse[:6],)
