"""Check that an output folder is what was written: its files, and its rasters against its item."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import CheckFailed, TesseraError, reason
from tessera_engine.files.checksums import file_sha256, folder_sha256
from tessera_engine.files.inside import is_folder, link_out
from tessera_engine.files.npy_header import bytes_of, read_npy_header
from tessera_engine.files.output import ITEM
from tessera_engine.files.staging import CODE_NODATA, RasterFile
from tessera_engine.formats.cog.styles import beside
from tessera_engine.formats.embeddings.base import item_crs
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.gdal import GDAL_ERRORS, gdal_environment, raster_reader
from tessera_engine.model.facts import LARGEST
from tessera_engine.scene import Window
from tessera_engine.stac.reading import Item, ItemAsset

TILE = 256
"""Pixels across what is read at once: a tile of the GeoTIFFs. An .npy file has all bands of a pixel together."""

NAMED = 5
"""Files that a message names at most; it counts the others."""


def check_files(folder: Path, item: Item) -> None:
    """Make sure that every file of the item is there and unchanged, and that there is no other but those for QGIS.

    Raises:
        CheckFailed: files are missing, changed or extra; it names them.
    """
    listed = {asset.href: asset for asset in item.assets.values()}
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    wrong = []
    for name in [name for name, asset in listed.items() if asset.size is None]:
        sha256 = listed.pop(name).sha256
        # A folder's checksum covers the names of its files, so it finds missing and extra files too
        if not is_folder(folder / name):
            wrong.append(f"{name}/ is missing")
        elif link_out(folder / name, folder):
            wrong.append(f"{name}/ has links that lead out of the output")
        elif folder_sha256(folder / name) != sha256:
            wrong.append(f"{name}/ is changed")
        found = {path: file for path, file in found.items() if not path.startswith(f"{name}/")}
    wrong += [f"{name} is missing" for name in listed if name not in found]
    shown = {each for name in listed if name.endswith(".tif") for each in beside(name)}
    wrong += [f"{name} is extra" for name in sorted(found.keys() - listed.keys() - {ITEM} - shown)]
    for name, asset in listed.items():
        if name not in found:
            continue
        path = found[name]
        if path.is_symlink() or not path.is_file():
            wrong.append(f"{name} is not a regular file")
        elif asset.size is not None and path.stat().st_size != asset.size:
            wrong.append(f"{name} is changed ({path.stat().st_size:,} bytes instead of {asset.size:,})")
        elif (sha256 := file_sha256(path)) != asset.sha256:
            wrong.append(f"{name} is changed (sha256 {sha256[:12]}... instead of {asset.sha256[:12]}...)")
    if wrong:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise CheckFailed(f"{folder} is not what was written: {'; '.join(wrong[:NAMED])}{more}")


@dataclass(frozen=True)
class Raster:
    """One raster file of an output in any format, read by windows.

    Attributes:
        path: the file.
        dtype: of its values.
        shape: height, width, bands.
        nodata: as the file records it; None where the format has no place for it.
        place: CRS and transform as the file records them; None where the format has no place for them.
        array: reads an .npy file; None for a GeoTIFF.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    nodata: float | None = None
    place: tuple[Any, Any] | None = None
    array: RasterFile | None = None

    def read(self, window: Window, bands: int | None = None) -> NDArray[Any]:
        """(height, width, bands) values; all bands, or the first ones.

        Raises:
            CheckFailed: the file is damaged there.
        """
        bands = bands or self.shape[2]
        try:
            if self.array is None:
                return np.moveaxis(self._read_tiff(window, bands), 0, 2)
            block = self.array.read(window)
        except (*GDAL_ERRORS, TesseraError):
            raise CheckFailed(f"{self.path} can't be read in {window}: it is damaged; embed again") from None
        return block.reshape(window.height, window.width, -1)[:, :, :bands]

    def _read_tiff(self, window: Window, bands: int) -> NDArray[Any]:
        from rasterio.windows import Window as RasterioWindow

        with gdal_environment(), raster_reader(self.path) as file:
            values: NDArray[Any] = file.read(list(range(1, bands + 1)), window=RasterioWindow(*window))
        return values


def open_raster(path: Path) -> Raster | None:
    """Open a GeoTIFF or .npy file of an output; None for any other file.

    Raises:
        CheckFailed: it isn't a valid file of the format that its name promises.
    """
    if path.suffix == ".npy":
        return _open_npy(path)
    if path.suffix == ".tif":
        return _open_tiff(path)
    return None


def _open_npy(path: Path) -> Raster:
    try:
        with path.open("rb") as file:
            shape, dtype, start = read_npy_header(file)
    except ValueError as error:
        raise CheckFailed(f"{path} is not a valid .npy file: {error}") from None
    expected = start + bytes_of(shape, dtype)
    if path.stat().st_size != expected:
        raise CheckFailed(
            f"{path} has {path.stat().st_size:,} bytes, expected {expected:,} according to its header"
        )
    if len(shape) not in (2, 3):
        raise CheckFailed(f"{path} has shape {shape}, expected height, width and bands")
    height, width, bands = (*shape, 1)[:3]
    return Raster(path, dtype, (height, width, bands), array=RasterFile(path, shape, dtype))


def _open_tiff(path: Path) -> Raster:
    try:
        with gdal_environment(), raster_reader(path) as file:
            shape = (file.height, file.width, file.count)
            if file.count > LARGEST["dims"]:
                raise CheckFailed(f"{path} has {file.count:,} bands, expected at most {LARGEST['dims']:,}")
            kinds = set(file.dtypes)
            if len(kinds) != 1:
                raise CheckFailed(f"{path} has bands of different dtypes: {', '.join(sorted(kinds))}")
            return Raster(path, np.dtype(kinds.pop()), shape, file.nodata, (file.crs, file.transform))
    except GDAL_ERRORS as error:
        raise CheckFailed(f"{path} can't be read as a GeoTIFF: {reason(error)}") from None


def open_rasters(folder: Path, item: Item) -> dict[str, Raster]:
    """The item's rasters by key. Each has the dtype, shape, nodata, CRS and transform that the item gives.

    Raises:
        CheckFailed: a raster differs from the item, or one that the stored form needs is missing.
    """
    rasters = {}
    for key, asset in item.assets.items():
        if "data_type" in asset.fields:
            raster = open_raster(folder / asset.href)
            if raster is not None:
                _check_raster(raster, key, asset, item)
                rasters[key] = raster
    if "embeddings" in item.assets and item.assets["embeddings"].size is None:
        return rasters  # a store or a tree, of which only the checksum of all files is known
    needed = ["embeddings", "observations", *(["scales"] if item.fact("store") == "int8" else [])]
    missing = [key for key in needed if key not in item.assets]
    if missing:
        raise CheckFailed(f"{folder / ITEM} lists no {' and no '.join(missing)}; embed again")
    return rasters


def _check_raster(raster: Raster, key: str, asset: ItemAsset, item: Item) -> None:
    fields, stored_as = asset.fields, item.fact("store")
    expected = {
        "embeddings": (stored_as, item.fact("dim"), CODE_NODATA if stored_as == "int8" else math.nan),
        "scales": ("float32", 1, math.nan),
        "observations": ("uint16", 2, None),
        "quality": ("uint16", len(QUALITY_BANDS), None),
        "truecolour": ("uint8", 3, 0),
    }.get(key.partition("_")[0])  # in a store followed by the year
    if expected is None:
        return
    dtype, bands, nodata = expected
    said = "nan" if nodata is not None and math.isnan(nodata) else nodata
    count = len(fields["bands"]) if isinstance(fields.get("bands"), list) else None
    for what, found, wanted in (
        ("dtype", raster.dtype.name, dtype),
        ("shape", raster.shape, (*item.shape, bands)),
        ("data_type in the item", fields["data_type"], dtype),
        ("number of bands in the item", count, bands),
        ("nodata in the item", fields.get("nodata"), said),
        ("proj:shape in the item", fields.get("proj:shape"), list(item.shape)),
    ):
        if found != wanted:
            raise CheckFailed(f"{raster.path.name} has {what} {str(found)[:80]}, expected {wanted}")
    if raster.place is not None:
        _check_place(raster, *raster.place, nodata, item)


def _check_place(raster: Raster, crs: Any, transform: Any, nodata: float | None, item: Item) -> None:
    """Compare nodata, CRS and transform in the file with the item."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if str(raster.nodata) != str(None if nodata is None else float(nodata)):  # NaN is not equal to itself
        raise CheckFailed(f"{raster.path.name} has nodata {raster.nodata}, expected {nodata}")
    said = item_crs(item.properties)
    try:
        wanted = None if said is None else CRS.from_string(str(said))
    except (CRSError, ValueError):
        raise CheckFailed(f"item.json has {str(said)[:80]!r}, which is not a valid CRS") from None
    if crs != wanted:
        raise CheckFailed(f"{raster.path.name} has the CRS {crs}, item.json {wanted}")
    moved = item.properties.get("proj:transform")
    if moved is not None and list(transform)[:6] != moved:
        raise CheckFailed(f"{raster.path.name} has the transform {list(transform)[:6]}, item.json {moved}")


def check_nodata(rasters: dict[str, Raster], item: Item) -> None:
    """Make sure that the rasters agree about which pixels have data, and that the item has their number.

    Raises:
        CheckFailed: they disagree.
    """
    embeddings = rasters["embeddings"]
    height, width = item.shape
    with_data = 0
    for window in Window(0, 0, width, height).blocks(TILE, TILE):
        first = embeddings.read(window, 1)[:, :, 0]
        has_data = first != CODE_NODATA if embeddings.dtype == np.int8 else ~np.isnan(first)
        with_data += int(has_data.sum())
        others = {"observations": (rasters["observations"].read(window) > 0).any(axis=2)}
        if "scales" in rasters:
            others["scales"] = rasters["scales"].read(window)[:, :, 0] > 0
        for key, other in others.items():
            if (has_data != other).any():
                row, col = np.argwhere(has_data != other)[0]
                raise CheckFailed(
                    f"{rasters[key].path.name} and {embeddings.path.name} disagree about whether pixel "
                    f"(col {window.col + col}, row {window.row + row}) has data"
                )
    if with_data != item.fact("pixels_with_data"):
        raise CheckFailed(
            f"{embeddings.path.name} has {with_data:,} pixels with data, item.json has "
            f"{item.fact('pixels_with_data'):,}"
        )
