"""A Zarr v3 store of numbers and codebooks: three bytes a pixel, sharded, with the `geoemb:` convention's attributes.

    number1, 2, 3, 4      (y, x) uint8, a number for each pixel; in chunks of a tile, shards of 4 x 4 tiles
    codebook1, 2, 3, 4    (tile_y, tile_x, word, band) uint8 steps of a range
    codebook1_range, ...  (tile_y, tile_x, band, 2) float32, the lowest and the highest value of each band
    observations, quality (band, y, x) uint16, in shards of 4 x 1 tiles

Tiles begin at the upper left pixel. The layout of a tile is that of tessera-vq, whose
clients decode what the first two codebooks give.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tessera_engine.files.staging import Staging
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.format import Content
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.vq.reading import BOOKS, NUMBERS, RANGES
from tessera_engine.formats.vq.tiles import NO_DATA, TILE, WORDS, encode_read
from tessera_engine.formats.zarr.convention import (
    consolidate,
    failures_named,
    of_grid,
    of_model,
    write_coordinates,
)
from tessera_engine.geo import grid_fields
from tessera_engine.machine import give_back_memory
from tessera_engine.scene import Window
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import QUANTIZATION

STORE = "embeddings.zarr"

TILES = 4
"""Tiles across a shard: a country has thousands of files, not hundreds of thousands."""


def write(content: Content, folder: Path, media_type: str) -> list[Asset]:
    """Write the store: see `tessera_engine.formats.format.Format`."""
    import zarr

    staging, origin = content.staging, content.origin
    grid, path = staging.grid, folder / STORE
    attributes: dict[str, Any] = {
        "geoemb:data_type": "uint8",
        "geoemb:quantization": {
            "method": "residual_vector_quantization",
            "original_dtype": "float32",
            "quantized_dtype": "uint8",
            "tile": TILE,
            "numbers": list(NUMBERS),
            "codebooks": list(BOOKS),
            "nodata": NO_DATA,
        },
        "geoemb:landmask": False,
        "tessera:quantization": QUANTIZATION["vq"],
        **of_grid(grid),
    }
    if origin is not None:
        attributes |= of_model(grid, staging.dim, content.name, origin)
    with failures_named(path):
        group = zarr.create_group(path, zarr_format=3, attributes=attributes)
        write_coordinates(group, grid, {"band": staging.dim})
        arrays = _create_arrays(group, staging)
        for window in grid.window.blocks(TILE * TILES, TILE * TILES):
            _write_shard(arrays, staging, window)
        for window in grid.window.blocks(TILE * TILES, TILE):
            _write_counts(arrays, staging, window)
            give_back_memory()
        consolidate(path)
    title = "Zarr store of numbers and codebooks, with losses; observations"
    return [
        Asset("embeddings", STORE, media_type, title, ("data",), {"data_type": "uint8"} | grid_fields(grid))
    ]


def _create_arrays(group: Any, staging: Staging) -> dict[str, Any]:
    grid, dim = staging.grid, staging.dim
    size = (grid.height, grid.width)
    tiles = tuple(-(-side // TILE) for side in size)
    pixels, chunk, shard = ("y", "x"), (TILE, TILE), (TILE * TILES, TILE * TILES)
    arrays = {
        name: _array(group, name, size, chunk, shard, "uint8", fill, pixels)
        for name, fill in zip(NUMBERS, (NO_DATA, 0, 0, 0), strict=True)
    }
    for name, words in zip(BOOKS, WORDS, strict=True):
        of_book = (
            (name, (words, dim), "uint8", ("word", "band")),
            (name + RANGES, (dim, 2), "float32", ("band", "bound")),
        )
        for key, rest, dtype, names in of_book:
            arrays[key] = _array(
                group, key, (*tiles, *rest), (1, 1, *rest), (TILES, TILES, *rest), dtype, 0,
                ("tile_y", "tile_x", *names),
            )  # fmt: skip
    counts = {"observations": 2} | ({} if staging.quality is None else {"quality": len(QUALITY_BANDS)})
    for name, bands in counts.items():
        arrays[name] = _array(
            group,
            name,
            (bands, *size),
            (bands, *chunk),
            # A shard is in memory several times while it is written: one of 4 x 4 tiles would take 200 MB
            (bands, TILE, TILE * TILES),
            "uint16",
            0,
            (f"of_{name}", *pixels),
        )
    return arrays


def _array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    shard: tuple[int, ...],
    dtype: str,
    fill: int,
    dimensions: tuple[str, ...],
) -> Any:
    from zarr.codecs import BloscCodec, Crc32cCodec

    return group.create_array(
        name,
        shape=shape,
        chunks=chunk,
        shards=shard,
        dtype=dtype,
        fill_value=fill,
        # Bytes that are numbers have no bits in common; those of counts have. A checksum, because a byte of a codebook
        # is in thousands of pixels
        compressors=(
            BloscCodec(cname="zstd", clevel=5, shuffle="shuffle" if dtype == "uint16" else "noshuffle"),
            Crc32cCodec(),
        ),
        dimension_names=dimensions,
        attributes={"grid_mapping": "spatial_ref"} if dimensions[-2:] == ("y", "x") else {},
    )


def _write_shard(arrays: Mapping[str, Any], staging: Staging, window: Window) -> None:
    rows, cols = _slices(window, 1)
    numbers = np.zeros((len(NUMBERS), window.height, window.width), np.uint8)
    numbers[0] = NO_DATA
    tiles = tuple(-(-side // TILE) for side in (window.height, window.width))
    books = {
        key: np.zeros((*tiles, *array.shape[2:]), array.dtype)
        for key, array in arrays.items()
        if key.startswith(BOOKS)
    }
    for part in window.blocks(TILE, TILE):
        tile = encode_read(partial(StoredBlock.staged, staging), part)
        if tile is None:
            continue
        here = part.relative_to(window)
        here_rows, here_cols = _slices(here, 1)
        numbers[:, here_rows, here_cols] = tile.numbers
        for name, packed in zip(BOOKS, tile.books, strict=True):
            place = here.row // TILE, here.col // TILE
            books[name][place], books[name + RANGES][place] = packed.steps, packed.ranges
    if (numbers[0] != NO_DATA).any():
        for name, plane in zip(NUMBERS, numbers, strict=True):
            arrays[name][rows, cols] = plane
        for name, book in books.items():
            arrays[name][_slices(window, TILE)] = book


def _write_counts(arrays: Mapping[str, Any], staging: Staging, window: Window) -> None:
    rows, cols = window.slices
    counts = (("observations", staging.observations), ("quality", staging.quality))
    for name, raster in counts:
        if raster is not None:
            arrays[name][:, rows, cols] = np.moveaxis(raster.read(window), 2, 0)


def _slices(window: Window, unit: int) -> tuple[slice, slice]:
    """Rows and columns of a window, in units of so many pixels."""
    return (
        slice(window.row // unit, -(-(window.row + window.height) // unit)),
        slice(window.col // unit, -(-(window.col + window.width) // unit)),
    )
