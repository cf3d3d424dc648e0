"""The quicklook: one picture of the embeddings or of the scene, in a frame with a caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.nearby import unknown
from tessera_engine.files.staging import Staging
from tessera_engine.geo import grid_fields
from tessera_engine.pictures.caption import Caption
from tessera_engine.pictures.frame import thinned, write_framed
from tessera_engine.pictures.palette import FITS, Palette
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset

QUICKLOOKS: Mapping[str, str] = {
    "pca": "First three principal components of the embeddings",
    "clusters": "Clusters of the embeddings",
    "rgb": "True colour: median of the clear dates",
}
"""What a quicklook can show, as in its caption."""

SAMPLE = 20_000
"""Most pixels that colours are fitted to."""

STRIP_VALUES = 1_000_000
"""Most values of the embeddings in memory at a time."""

BRIGHTEST, DARKEST = 99.0, 1.0
"""Percentiles of the true colours that become white and black."""

LEAST_CONTRAST = 500.0
"""Least difference between black and white, in reflectance * 10000, so that dark water stays dark and snow bright."""

GAMMA = 1 / 1.4
"""Brightens dark colours, whose differences are hard to see on a linear scale."""


PICTURE_BYTES, PICTURE_PIXEL_BYTES = 40_000_000, 6
"""Memory that drawing takes: always (Pillow and a font, the sample, a strip), and for each pixel of the picture."""


def picture_bytes(grid: Grid) -> int:
    """Bytes of memory that the picture of a grid takes while it is drawn."""
    return PICTURE_BYTES + PICTURE_PIXEL_BYTES * thinned(grid)[1].window.pixels


def check_quicklook(kind: str) -> None:
    """Make sure that a quicklook can show this.

    Raises:
        InputError: it can't.
    """
    if kind not in QUICKLOOKS:
        raise unknown("quicklook", kind, QUICKLOOKS)


def write_quicklook(
    staging: Staging, path: Path, caption: Caption, kind: str = "pca", palette: Palette | None = None
) -> Asset:
    """Write the picture as PNG, transparent where there is no data.

    The same staged values give the same picture, in any order of staging. Large scenes are thinned by whole steps and
    small ones enlarged by whole factors, so that pixels stay squares.

    Args:
        staging: the finished arrays; for `rgb` with colours.
        path: of the PNG.
        caption: the text below it.
        kind: one of `QUICKLOOKS`.
        palette: shared with other pictures; None: fitted to these embeddings.

    Raises:
        TesseraError: the picture couldn't be written; nothing of it is left.
    """
    step, grid = thinned(staging.grid)
    legend = None
    if kind == "rgb":
        picture = _paint_true_colours(staging, step)
    else:
        palette = palette or fit_palette(staging, kind)
        picture = _paint(staging, step, palette)
        legend = palette.legend if palette is not None else None
    title = QUICKLOOKS[kind]
    model = "" if kind == "rgb" else caption.model
    framed = write_framed(path, picture, grid, (caption.scene, caption.period, title, model), legend)
    return Asset("quicklook", path.name, "image/png", title, ("overview",), grid_fields(framed))


def fit_palette(staging: Staging, kind: str) -> Palette | None:
    """The colours that suit staged embeddings; None where there is no data. `kind` is `pca` or `clusters`."""
    sample = _sample(staging, thinned(staging.grid)[0])
    return FITS[kind](sample) if len(sample) else None


def _strips(staging: Staging, step: int) -> Iterator[NDArray[np.float32]]:
    """(rows, columns, K) embeddings of the thinned scene, from top to bottom."""
    width = staging.grid.width
    columns = -(-width // step)
    rows = max(1, STRIP_VALUES // (columns * staging.dim))
    for window in staging.grid.window.blocks(width, rows * step):
        yield staging.read_embeddings(window, step)


def _sample(staging: Staging, step: int) -> NDArray[np.float32]:
    """(N, K) every n-th pixel that has data, row by row; n is a power of three that leaves at most `SAMPLE`."""
    strip_pixels = max(STRIP_VALUES // staging.dim, -(-staging.grid.width // step))
    # One array that is filled and thinned: growing ones would be in memory twice
    sample, count = np.empty((SAMPLE + strip_pixels, staging.dim), np.float32), 0
    every, seen = 1, 0
    for strip in _strips(staging, step):
        pixels = strip[np.isfinite(strip[..., 0])]
        chosen = pixels[-seen % every :: every]
        sample[count : count + len(chosen)] = chosen
        count += len(chosen)
        seen += len(pixels)
        while count > SAMPLE:
            # Three, not two: many scenes are a power of two wide, and the sample would come from a few columns only.
            thinner = sample[:count:3]
            sample[: len(thinner)] = thinner
            count, every = len(thinner), every * 3
    return sample[:count]


def _paint(staging: Staging, step: int, palette: Palette | None) -> Iterator[NDArray[np.uint8]]:
    """(rows, width, 4) RGBA of the thinned scene, from top to bottom."""
    for strip in _strips(staging, step):
        painted = np.zeros((*strip.shape[:2], 4), np.uint8)
        if palette is not None:
            valid = np.isfinite(strip[..., 0])
            painted[valid, :3] = palette.paint(strip[valid])
            painted[valid, 3] = 255
        yield painted


def _paint_true_colours(staging: Staging, step: int) -> Iterator[NDArray[np.uint8]]:
    """(rows, width, 4) RGBA of the thinned scene in true colours, from top to bottom."""
    counts = np.zeros(1 << 16, np.int64)
    for colours in _colour_strips(staging, step):
        counts += np.bincount(colours[colours.any(axis=2)].ravel(), minlength=len(counts))
    # One stretch for all bands, or the colours wouldn't be true
    low, high = np.searchsorted(counts.cumsum(), np.array([DARKEST, BRIGHTEST]) / 100 * counts.sum())
    light = ((np.arange(len(counts)) - low) / max(high - low, LEAST_CONTRAST)).clip(0, 1) ** GAMMA
    shown = np.rint(light * 255).astype(np.uint8)
    for colours in _colour_strips(staging, step):
        painted = np.zeros((*colours.shape[:2], 4), np.uint8)
        there = colours.any(axis=2)
        painted[there, :3] = shown[colours[there]]
        painted[there, 3] = 255
        yield painted


def _colour_strips(staging: Staging, step: int) -> Iterator[NDArray[np.uint16]]:
    """(rows, columns, 3) of the thinned true colours, from top to bottom."""
    assert staging.colours is not None
    rows = max(1, STRIP_VALUES // (3 * staging.grid.width))
    for window in staging.grid.window.blocks(staging.grid.width, rows * step):
        yield staging.colours.read(window, step)
