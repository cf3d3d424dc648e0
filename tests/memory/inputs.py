"""Scenes, outputs and labels of any size for measuring memory. Their values are random: only their amount counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from made_up import CRS, ORIGIN, write_roi
from mosaic_files import write_mosaics
from numpy.lib import format as npy
from outputs import FACTS
from product_files import product_arrays, write_safe

from tessera_engine.files.output import ITEM
from tessera_engine.files.staging import Staging
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.writing import stored_form, write
from tessera_engine.scene import Grid
from tessera_engine.stac.writing import RunFacts, write_item

YEAR = 2021
ROWS = 64
"""Rows of random values, which are repeated."""


def tile(folder: Path, width: int, height: int, dates: int, transform: Affine = ORIGIN) -> Path:
    """A d-pixel tile with so many dates of Sentinel-2 and of each orbit."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    days = np.linspace(1, 365, dates).astype(np.uint16)
    bands = rng.integers(200, 6000, (ROWS, width, 10)).astype(np.uint16)
    clear = (rng.random((ROWS, width)) < 0.7).astype(np.uint8)
    codes = rng.integers(2500, 7000, (ROWS, width, 2)).astype(np.int16)
    for name, values in (
        ("bands", bands),
        ("masks", clear),
        ("sar_ascending", codes),
        ("sar_descending", codes),
    ):
        with (folder / f"{name}.npy").open("wb") as file:
            shape = (dates, height, *values.shape[1:])
            header = {"descr": npy.dtype_to_descr(values.dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, header)
            for _ in range(dates):
                for row in range(0, height, ROWS):
                    file.write(values[: height - row].tobytes())
    for name in ("doys", "sar_ascending_doy", "sar_descending_doy"):
        np.save(folder / f"{name}.npy", days)
    write_roi(folder / "roi.tiff", width, height, transform)
    return folder


def tiles(folder: Path, across: int, down: int, side: int, dates: int) -> Path:
    """A mosaic of d-pixel tiles."""
    for row in range(down):
        for col in range(across):
            place = ORIGIN @ Affine.translation(col * side, row * side)
            tile(folder / f"tile_{row}_{col}", side, side, dates, place)
    return folder


def mosaics(folder: Path, width: int, height: int, dates: int) -> Path:
    """A scene of date mosaics of 2021, on the target grid."""
    return write_mosaics(folder, product_arrays(height, width, dates))


def safe(folder: Path, side: int, dates: int) -> Path:
    """SAFE products of 2021 in two UTM zones, so that half of them are warped; JPEG 2000."""
    arrays = product_arrays(side, side, dates)
    optical = {key: arrays[key] for key in ("bands", "masks", "doys")}
    write_safe(folder, {key: value[::2] for key, value in optical.items()})
    moved = Affine(10, 0, 75_500, 0, -10, 5_617_000)
    odd = {key: value[1::2] for key, value in optical.items()}
    write_safe(folder, odd, tile="T32UKB", transform=moved, crs="EPSG:32632")
    return folder


def _blocks(grid: Grid, dim: int, stored_as: str) -> Iterator[tuple]:
    rng = np.random.default_rng(0)
    random = rng.standard_normal((ROWS, grid.width, dim), np.float32)
    codes = (random * 30).clip(-127, 127).astype(np.int8)
    scales = rng.uniform(0.01, 0.02, (ROWS, grid.width)).astype(np.float32)
    counts = rng.integers(1, 300, (ROWS, grid.width, 2)).astype(np.uint16)
    for window in grid.window.blocks(grid.width, ROWS):
        rows = slice(0, window.height)
        yield window, (codes if stored_as == "int8" else random)[rows], scales[rows], counts[rows]


def output(
    folder: Path,
    width: int,
    height: int,
    format: str = "cog",
    stored_as: str = "int8",
    year: int = YEAR,
    corner: tuple[int, int] = (0, 0),
    dim: int = 128,
) -> Path:
    """An output folder as `embed` would leave it."""
    grid = Grid(width, height, CRS, ORIGIN @ Affine.translation(*corner))
    (folder / "staging").mkdir(parents=True)
    staging = Staging.create(folder / "staging", grid, dim, stored_as)
    for window, values, scales, counts in _blocks(grid, dim, stored_as):
        staging.embeddings.write(window, values)
        staging.observations.write(window, counts)
        if staging.scales is not None:
            staging.scales.write(window, scales)
    origin = Origin(year, FACTS["model_name"], FACTS["model_sha256"], FACTS["generation"], "0.2.0")
    assets = write(format, staging, folder, "field", origin)
    about = FACTS | {
        "stored_as": stored_form(format, stored_as),
        "dim": dim,
        "pixels_with_data": width * height,
        "scene_fingerprint": f"{year}{width}{height}{corner[0]}".ljust(64, "0")[:64],
        "period": (date(year, 1, 1), date(year, 12, 31)),
    }
    write_item(folder / ITEM, grid, assets, RunFacts(**about))
    shutil.rmtree(folder / "staging")
    return folder


def model(path: Path, size: str, precision: str) -> Path:
    """A model file of a published shape, with random weights."""
    import torch

    from tessera_export.checkpoint import save_checkpoint
    from tessera_export.export import export_model
    from tessera_export.reference import SIZES, Reference

    torch.manual_seed(0)
    checkpoint = path.with_suffix(".pt")
    save_checkpoint(Reference(SIZES[size]).eval(), checkpoint)
    export_model(checkpoint, path, precision)
    checkpoint.unlink()
    return path


def plots(path: Path, width: int, height: int, count: int) -> Path:
    """Points in the pixels of a scene, as CSV."""
    cols, rows = np.random.default_rng(0).uniform(0, 1, (2, count)) * np.array([[width], [height]])
    x, y = ORIGIN @ (cols, rows)
    lines = (f"{i},{a:.2f},{b:.2f}\n" for i, (a, b) in enumerate(zip(x, y, strict=True)))
    path.write_text("id,x,y\n" + "".join(lines))
    return path


def parcels(path: Path, width: int, height: int, count: int, side: float = 12) -> Path:
    """Squares of so many pixels across in a scene, in degrees, as GeoPackage."""
    import geopandas
    import shapely

    cols, rows = np.random.default_rng(0).uniform(0, 1, (2, count)) * np.array(
        [[width - side], [height - side]]
    )
    left, top = ORIGIN @ (cols, rows)
    boxes = shapely.box(left, top - 10 * side, left + 10 * side, top)
    geopandas.GeoDataFrame({"id": range(count)}, geometry=boxes, crs=CRS).to_crs(4326).to_file(
        path, driver="GPKG"
    )
    return path


def coast(path: Path, width: int, height: int, corners: int) -> Path:
    """One polygon with so many corners that covers most of a scene, as GeoPackage."""
    import geopandas
    import shapely

    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = 0.45 + 0.02 * np.sin(angle * 3000)
    cols, rows = width * (0.5 + radius * np.cos(angle)), height * (0.5 + radius * np.sin(angle))
    x, y = ORIGIN @ (cols, rows)
    shape = shapely.Polygon(np.column_stack([x, y]))
    geopandas.GeoDataFrame({"id": [1]}, geometry=[shape], crs=CRS).to_file(path, driver="GPKG")
    return path


def label_raster(path: Path, width: int, height: int, classes: int = 8) -> Path:
    """A GeoTIFF with a label at every fiftieth pixel."""
    labels = np.zeros((height, width), np.uint8)
    at = labels[::50, ::50]
    at[:] = np.random.default_rng(0).integers(1, classes + 1, at.shape)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": width, "height": height}
    with rasterio.open(
        path, "w", **profile, crs=CRS, transform=ORIGIN, compress="deflate", tiled=True
    ) as file:
        file.write(labels, 1)
    return path


def label_shapes(path: Path, count: int, width: int, height: int) -> Path:
    """GeoJSON polygons in WGS 84 over a scene of `width` x `height` pixels and far beyond it."""
    from rasterio.warp import transform

    rng = np.random.default_rng(0)
    cols, rows = rng.uniform(-9, 10, count) * width, rng.uniform(-9, 10, count) * height
    xs, ys = ORIGIN @ (cols, rows)
    lons, lats = transform(CRS, "EPSG:4326", xs.tolist(), ys.tolist())
    with path.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        for i, (lon, lat) in enumerate(zip(lons, lats, strict=True)):
            d = 0.0004
            ring = [[lon, lat], [lon + d, lat], [lon + d, lat + d], [lon, lat + d], [lon, lat]]
            shape = {"type": "Polygon", "coordinates": [ring]}
            feature = {"type": "Feature", "properties": {"crop": f"crop {i % 9}"}, "geometry": shape}
            file.write(json.dumps(feature) + (",\n" if i + 1 < count else "\n"))
        file.write("]}\n")
    return path
