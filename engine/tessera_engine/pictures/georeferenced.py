"""A picture of embeddings as a GeoTIFF: each pixel of the embeddings is one of the picture, without a frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.formats.cog.files import BLOCK, GeoTiff, Part, few_bands, write_cog
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.pictures.clusters import nearest
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.palette import Clusters, Palette
from tessera_engine.pictures.quicklook import QUICKLOOKS, STRIP_VALUES
from tessera_engine.progress import Progress

SUFFIXES = (".tif", ".tiff")
"""Endings of a file's name that ask for a GeoTIFF."""

NO_DATA = 0


def write_georeferenced(
    path: Path, embeddings: Embeddings, kind: str, palette: Palette | None, report: Progress
) -> None:
    """Write a picture as a cloud-optimised GeoTIFF: one band of clusters with a colour table, or red, green and blue.

    Args:
        path: of the GeoTIFF.
        embeddings: what is drawn.
        kind: one of `tessera_engine.pictures.palette.FITS`, of which the palette is.
        palette: the colours; None: there is no data.
        report: called with pixels done and in all.

    Raises:
        TesseraError: a file couldn't be read or written; nothing of it is left.
    """
    clusters = kind == "clusters"
    bands = ("cluster",) if clusters else ("red", "green", "blue")
    colours = dict(enumerate(PALETTE, 1)) if clusters else None
    tags = {"TIFFTAG_IMAGEDESCRIPTION": QUICKLOOKS[kind]}
    about = GeoTiff(embeddings.grid, "uint8", bands, NO_DATA, tags, colours)
    write_cog(path, about, _parts(embeddings, palette, len(bands), report), few_bands(classes=clusters))


def _parts(embeddings: Embeddings, palette: Palette | None, bands: int, report: Progress) -> Iterator[Part]:
    side = max(embeddings.source.block, BLOCK)
    done, every = 0, embeddings.grid.window.pixels
    for window in embeddings.grid.window.blocks(side, side):
        stored = embeddings.read_stored(window)
        values = np.full((window.height, window.width, bands), NO_DATA, np.uint8)
        rows = max(1, STRIP_VALUES // (window.width * embeddings.dim))
        for first in range(0, window.height, rows):
            part = slice(first, first + rows)
            scales = None if stored.scales is None else stored.scales[part]
            strip = StoredBlock(stored.values[part], scales)
            valid = strip.valid
            if palette is not None and valid.any():
                values[part][valid] = _painted(palette, strip.embeddings[valid])
        yield Part(window, range(1, bands + 1), np.moveaxis(values, 2, 0))
        done += window.pixels
        report(done, every)


def _painted(palette: Palette, embeddings: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, bands): numbers of clusters from 1, or colours that aren't `NO_DATA`."""
    if isinstance(palette, Clusters):
        return (nearest(embeddings, palette.centres) + 1).astype(np.uint8)[:, np.newaxis]
    return palette.paint(embeddings).clip(1)
