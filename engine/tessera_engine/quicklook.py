"""The quicklook: the first three principal components of the embeddings as red, green and blue."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.provenance import Asset, grid_fields
from tessera_engine.scene import Grid
from tessera_engine.staging import Staging

LARGEST_SIDE = 2048
SMALLEST_SIDE = 256
"""Pixels of the picture's longer side."""

SAMPLE = 20_000
"""Pixels that the components and the stretch are computed from, at most."""

STRETCH = (2, 98)
"""Percentiles of the sample that become black and full colour."""

BLOCK_ROWS = 1024
"""Rows of the sample that are in float64 at once."""

STRIP_VALUES = 1_000_000
"""Values of the embeddings that are in memory at a time."""

PNG_END = b"IEND\xaeB`\x82"
"""The last chunk of every PNG file, with its checksum."""


@dataclass(frozen=True)
class _Colours:
    """From embeddings to RGB.

    Attributes:
        components: (K, 3) float32, unit length, by falling variance.
        low: (3,) float32, the projection that becomes 0.
        span: (3,) float32, how far above it 255 lies; 0 where a component doesn't vary.
    """

    components: NDArray[np.float32]
    low: NDArray[np.float32]
    span: NDArray[np.float32]

    def paint(self, embeddings: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(N, K) -> (N, 3)."""
        above = embeddings @ self.components - self.low
        share = np.full_like(above, 0.5)
        np.divide(above, self.span, out=share, where=self.span > 0)
        colours: NDArray[np.uint8] = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
        return colours


def write_quicklook(staging: Staging, path: Path) -> Asset:
    """Write the picture as PNG, transparent where there is no data.

    The same staged values give the same picture, in whatever order they were staged. Large scenes are thinned to
    `LARGEST_SIDE`, small ones enlarged, so that a pixel is a square.

    Args:
        staging: the finished arrays.
        path: of the PNG.

    Raises:
        TesseraError: the picture couldn't be written; nothing of it is left.
    """
    step = -(-max(staging.grid.width, staging.grid.height) // LARGEST_SIDE)
    picture = _paint(staging, step, _colours(_sample(staging, step)))
    factor = -(-SMALLEST_SIDE // max(picture.shape[:2]))
    picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    _write_png(path, picture)
    return Asset(
        "quicklook",
        path.name,
        "image/png",
        "First three principal components of the embeddings",
        ("overview",),
        grid_fields(_picture_grid(staging.grid, step, factor, picture)),
    )


def _strips(staging: Staging, step: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The thinned scene from top to bottom: first thinned row, (rows, columns, K) embeddings."""
    width = staging.grid.width
    columns = -(-width // step)
    rows = max(1, STRIP_VALUES // (columns * staging.dim))
    for window in staging.grid.window.blocks(width, rows * step):
        yield window.row // step, staging.read_embeddings(window, step)


def _sample(staging: Staging, step: int) -> NDArray[np.float32]:
    """(N, K) every n-th pixel that has data, row by row; n is a power of three that leaves at most `SAMPLE`."""
    sample, every, seen = np.empty((0, staging.dim), np.float32), 1, 0
    for _, strip in _strips(staging, step):
        pixels = strip[np.isfinite(strip[..., 0])]
        sample = np.concatenate([sample, pixels[-seen % every :: every]])
        seen += len(pixels)
        while len(sample) > SAMPLE:
            # Not by two: scenes are often a power of two wide, and the sample would stand in a few columns.
            sample, every = sample[::3], every * 3
    return sample


def _blocks(sample: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """The sample in float64, some rows at a time: a copy of all of it would be the largest array of the run."""
    for start in range(0, len(sample), BLOCK_ROWS):
        yield sample[start : start + BLOCK_ROWS].astype(np.float64)


def _colours(sample: NDArray[np.float32]) -> _Colours | None:
    """None for a sample of nothing."""
    if not len(sample):
        return None
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = (block - mean for block in _blocks(sample))
    _, vectors = np.linalg.eigh(sum(block.T @ block for block in centred))
    components = vectors[:, :-4:-1]
    # An eigenvector may point either way; let its largest element be positive, so that colours don't depend on the
    # linear algebra library.
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, range(components.shape[1])])
    projected = np.concatenate([block @ components for block in _blocks(sample)])
    low, high = np.percentile(projected, STRETCH, axis=0)
    # What differs between embeddings that are all alike is rounding, which shall not be stretched to full colour.
    rounding = 1e-5 * np.abs(sample).max()
    span = np.where(high - low > rounding, high - low, 0.0)
    return _Colours(components.astype(np.float32), low.astype(np.float32), span.astype(np.float32))


def _paint(staging: Staging, step: int, colours: _Colours | None) -> NDArray[np.uint8]:
    """(height, width, 4) RGBA of the thinned scene."""
    size = (-(-staging.grid.height // step), -(-staging.grid.width // step))
    picture = np.zeros((*size, 4), np.uint8)
    if colours is None:
        return picture
    for row, strip in _strips(staging, step):
        valid = np.isfinite(strip[..., 0])
        part = picture[row : row + len(strip)]
        part[valid, :3] = colours.paint(strip[valid])
        part[valid, 3] = 255
    return picture


def _picture_grid(grid: Grid, step: int, factor: int, picture: NDArray[np.uint8]) -> Grid:
    scaled = grid.transform @ Affine.scale(step / factor)
    return Grid(picture.shape[1], picture.shape[0], grid.crs, scaled)


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    height, width, bands = picture.shape
    profile = {"driver": "PNG", "width": width, "height": height, "count": bands, "dtype": "uint8"}
    try:
        # Without PAM no .aux.xml is left beside the picture.
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile) as file:
                file.write(np.moveaxis(picture, 2, 0))
        # GDAL says nothing when the last bytes don't fit on the disk.
        if not path.read_bytes().endswith(PNG_END):
            raise OSError("it was cut short")
    except (CPLE_BaseError, RasterioError, OSError) as error:
        path.unlink(missing_ok=True)
        raise TesseraError(
            f"can't write {path}: {error}; make room and give the same command again"
        ) from None
