"""A Zarr v3 store by the `geoemb:` convention: one group a UTM zone, (time, band, y, x), sharded.

Inner chunks hold all bands of 32 x 32 pixels, so that reading a pixel's vector is one small read; a shard of 512 x 512
pixels is one file, so that a whole map has few files. Prefixes have arrays of their own and share the scales: their
codes are the first codes of the full array, so a prefix is not quantised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tessera_engine.files.durable import link
from tessera_engine.formats.embeddings.base import PREFIXES, asset_path
from tessera_engine.formats.embeddings.same_grid import offset
from tessera_engine.formats.embeddings.sentinels import NO_DATA_SCALE, to_sentinels
from tessera_engine.formats.format import Content
from tessera_engine.formats.grown import Store, hold
from tessera_engine.formats.joined import Joined
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.zarr.convention import (
    consolidate,
    failures_named,
    of_grid,
    of_model,
    write_coordinates,
)
from tessera_engine.formats.zarr.reading import SHARD
from tessera_engine.formats.zarr.times import write_times
from tessera_engine.formats.zarr.zones import northern_grid
from tessera_engine.geo import grid_fields
from tessera_engine.scene import Grid, Window
from tessera_engine.scenes.period import Period, year_period
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import QUANTIZATION

STORE = "embeddings.zarr"

CHUNK = 32
CHUNK_VALUES = 128 * CHUNK * CHUNK
"""Values of an inner chunk: chunks of a prefix cover more pixels, or their index would be larger than their codes."""


def write(content: Content, folder: Path, media_type: str) -> list[Asset]:
    """Write the store: see `tessera_engine.formats.format.Format`."""
    slices, name = _slices(content)
    first = slices[0].joined
    assert content.origin is not None
    quality = any(each.joined.has_quality for each in slices)
    times = [(each.year, each.period) for each in slices]
    outline = Outline(first.grid, first.dim, name, content.origin, times, quality)
    path, store = folder / STORE, content.store
    with failures_named(path):
        arrays = create(outline, path)
        links = _Links(store, path, outline.group, arrays) if store is not None else None
        for time, (year, _, joined) in enumerate(slices):
            for window in first.grid.window.blocks(SHARD, SHARD):
                old = None if links is None or year is None or joined.touches(window) else links
                if old is None or year is None or not old.link(year, time, window, joined.grid):
                    write_shard(arrays, time, window, joined)
        consolidate(path)
    return [outline.asset(media_type)]


@dataclass(frozen=True)
class Outline:
    """What a store is, besides its values.

    Attributes:
        grid: its pixels, in the scene's CRS.
        dim: length of the embedding.
        name: of the scene, or of all scenes of a grown store.
        origin: where the embeddings are from.
        times: the calendar year, None for none, and the first and last day of each time.
        quality: whether it has a quality layer.
    """

    grid: Grid
    dim: int
    name: str
    origin: Origin
    times: Sequence[tuple[int | None, Period]]
    quality: bool

    @property
    def group(self) -> str:
        """The name of the group with the arrays: that of the UTM zone."""
        return f"utm{northern_grid(self.grid)[0]:02d}"

    def asset(self, media_type: str) -> Asset:
        """The store as a file of the output."""
        fields: dict[str, Any] = {"data_type": "int8", "tessera:group": self.group} | grid_fields(self.grid)
        title = "Zarr store by the geoemb: convention: embeddings, scales and observations"
        return Asset("embeddings", STORE, media_type, title, ("data",), fields)


def create(outline: Outline, path: Path) -> dict[str, Any]:
    """Make a store without values.

    Args:
        outline: what it is.
        path: where; nothing stands there.

    Returns:
        Its arrays by name.

    Raises:
        OSError: it couldn't be written.
    """
    import zarr

    grid = northern_grid(outline.grid)[1]
    prefixes = [prefix for prefix in PREFIXES if prefix < outline.dim]
    root = zarr.create_group(path, zarr_format=3, attributes=_root_attributes(outline, prefixes))
    group = root.create_group(outline.group, attributes=of_grid(grid))
    bands = {"band": outline.dim, **{f"band_d{prefix}": prefix for prefix in prefixes}}
    write_coordinates(group, grid, bands)
    write_times(group, outline.times)
    return _create_arrays(group, grid, len(outline.times), outline.dim, prefixes, outline.quality)


class _Slice(NamedTuple):
    """What a store holds at one time: of a calendar year, or of another period."""

    year: int | None
    period: Period
    joined: Joined


def _slices(content: Content) -> tuple[list[_Slice], str]:
    """What is written, in the order of time, and the name of the scene, or of all scenes of a grown store."""
    origin, staging = content.origin, content.staging
    assert origin is not None
    if origin.season is None and not content.periods:
        years, name = hold(staging, content.name, origin, content.store)
        return [_Slice(year, year_period(year), joined) for year, joined in years.items()], name
    periods = content.periods
    if not periods:
        assert origin.season is not None
        periods = [(origin.season, staging)]
    return [
        _Slice(None, each, Joined(part.grid, part.dim, None, part)) for each, part in periods
    ], content.name


def _create_arrays(
    group: Any, grid: Grid, times: int, dim: int, prefixes: list[int], quality: bool
) -> dict[str, Any]:
    size = (times, grid)
    arrays = {
        "embeddings": _array(group, "embeddings", size, (dim, "band"), "int8", 0),
        "scales": _array(group, "scales", size, None, "float32", float(NO_DATA_SCALE)),
        "observations": _array(group, "observations", size, (2, "modality"), "uint16", 0),
    }
    if quality:
        arrays["quality"] = _array(group, "quality", size, (len(QUALITY_BANDS), "measure"), "uint16", 0)
        arrays["quality"].update_attributes({"measures": list(QUALITY_BANDS)})
    for prefix in prefixes:
        bands = (prefix, f"band_d{prefix}")
        arrays[f"embeddings_d{prefix}"] = _array(group, f"embeddings_d{prefix}", size, bands, "int8", 0)
    return arrays


def write_shard(arrays: Mapping[str, Any], time: int, window: Window, joined: Joined) -> None:
    """Write the pixels of one shard, of one time, into all arrays; nothing where they have no data.

    Args:
        arrays: of the store, by name.
        time: number of the time.
        window: the shard's pixels on the store's grid.
        joined: what the store will hold at this time.

    Raises:
        OSError: a file couldn't be written.
    """
    size = (window.height, window.width)
    codes = np.zeros((joined.dim, *size), np.int8)
    scales = np.full(size, NO_DATA_SCALE)
    counts = np.zeros((2, *size), np.uint16)
    quality = np.zeros((len(QUALITY_BANDS) if "quality" in arrays else 0, *size), np.uint16)
    for strip in joined.strips(window):
        stored, observed = joined.read(strip)
        part = slice(strip.row - window.row, strip.row - window.row + strip.height)
        marked, scales[part] = to_sentinels(stored)
        codes[:, part] = np.moveaxis(marked, 2, 0)
        counts[:, part] = np.moveaxis(observed, 2, 0)
        if len(quality):
            quality[:, part] = np.moveaxis(joined.read_quality(strip), 2, 0)
    if quality.any():
        rows, cols = window.slices
        arrays["quality"][time, :, rows, cols] = quality
    if not np.isfinite(scales).any():
        return  # a missing shard is read as no data
    rows, cols = window.slices
    for name, array in arrays.items():
        if name == "quality":
            continue
        if name == "scales":
            array[time, rows, cols] = scales
        elif name == "observations":
            array[time, :, rows, cols] = counts
        else:  # the codes of a prefix, or of all dimensions
            array[time, :, rows, cols] = codes[: array.shape[1]]


class _Links:
    """Gives shards of the store that stay as they are second names, where new shards cover the same pixels."""

    def __init__(self, store: Store, path: Path, group_name: str, arrays: Mapping[str, Any]) -> None:
        import zarr

        self.store, self.path = store, path / group_name
        self.old = asset_path(store.path, store.item, "embeddings") / group_name
        group: Any = zarr.open_group(self.old, mode="r", zarr_format=3)
        self.times = {int(year): time for time, year in enumerate(group["time"][:])}
        # Another version may have used another layout of shards
        self.alike = all(
            name in group and _layout(group[name]) == _layout(array) for name, array in arrays.items()
        )
        self.names = {name: len(array.shape) for name, array in arrays.items()}

    def link(self, year: int, time: int, window: Window, grid: Grid) -> bool:
        """Link the old shards of a year in a window; False if new ones have to be written."""
        if year not in self.times:
            return True  # the year has no shards yet
        corner = offset(grid, self.store.years[year].grid)
        assert corner is not None
        col, row = window.col - corner[0], window.row - corner[1]
        if not self.alike or col % SHARD or row % SHARD:
            return False
        for name, axes in self.names.items():
            bands = ["0"] * (axes - 3)
            old = self.old.joinpath(
                name, "c", str(self.times[year]), *bands, str(row // SHARD), str(col // SHARD)
            )
            if old.exists():
                new = (name, "c", str(time), *bands, str(window.row // SHARD), str(window.col // SHARD))
                link(old, self.path.joinpath(*new))
        return True


def _layout(array: Any) -> dict[str, Any]:
    """All facts that the bytes of an array's shards depend on."""
    return {
        key: value
        for key, value in array.metadata.to_dict().items()
        if key not in ("shape", "attributes", "consolidated_metadata")
    }


def _root_attributes(outline: Outline, prefixes: list[int]) -> dict[str, Any]:
    depths = [{"dimensions": prefix, "array": f"embeddings_d{prefix}"} for prefix in prefixes]
    return {
        **of_model(outline.grid, outline.dim, outline.name, outline.origin),
        "geoemb:data_type": "int8",
        "geoemb:spatial_layout": "utm_zones",
        "geoemb:quantization": {
            "method": "per_pixel_scale",
            "original_dtype": "float32",
            "quantized_dtype": "int8",
            "scale": {"type": "array", "array_name": "scales", "nodata": "+inf"},
        },
        "geoemb:depths": [*depths, {"dimensions": outline.dim, "array": "embeddings"}],
        # Water isn't masked: NaN scales never occur
        "geoemb:landmask": False,
        "tessera:quantization": QUANTIZATION["int8"],
    }


def _array(
    group: Any, name: str, size: tuple[int, Grid], bands: tuple[int, str] | None, dtype: str, fill: float
) -> Any:
    from zarr.codecs import BloscCodec

    times, grid = size
    count = () if bands is None else (bands[0],)
    side = CHUNK
    while side * 2 <= SHARD and (bands[0] if bands else 1) * (side * 2) ** 2 <= CHUNK_VALUES:
        side *= 2
    return group.create_array(
        name,
        shape=(times, *count, grid.height, grid.width),
        chunks=(1, *count, side, side),
        shards=(1, *count, SHARD, SHARD),
        dtype=dtype,
        fill_value=fill,
        compressors=BloscCodec(cname="zstd", clevel=3),
        dimension_names=["time", *(() if bands is None else (bands[1],)), "y", "x"],
        # Where rioxarray and GDAL look for the CRS
        attributes={"grid_mapping": "spatial_ref"},
    )
