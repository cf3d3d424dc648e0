"""Writers of Sentinel products for tests: made-up or real arrays in every layout that the engine reads.

Arrays are those of a d-pixel tile (`made_up.made_up_arrays`), so that what is read can be compared with it.
"""

from __future__ import annotations

import re
import shutil
import warnings
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from made_up import CRS, ORIGIN
from mosaic_files import day_of
from numpy.typing import NDArray
from places import SHARED
from rasterio.errors import NotGeoreferencedWarning

from tessera_engine.scene import S2_BANDS

METADATA = SHARED / "data" / "product-metadata"
needs_metadata = pytest.mark.skipif(not METADATA.exists(), reason="needs ../shared/data/product-metadata")
"""Real metadata files; None of the project's own."""

YEAR = 2021
AT_10_M = ("B02", "B03", "B04", "B08")
CLEAR, CLOUDED = (4, 5, 6, 7, 10, 11), (0, 1, 2, 3, 8, 9)


def product_arrays(height: int = 12, width: int = 10, steps: int = 6, seed: int = 0) -> dict[str, NDArray]:
    """Arrays of a d-pixel tile in which each date occurs once, as in products.

    Sizes are even, and values of the 20 m bands and the mask stand in blocks of 2 x 2 pixels.
    """
    rng = np.random.default_rng(seed)
    bands = rng.integers(200, 6000, (steps, height, width, 10)).astype(np.uint16)
    masks = rng.random((steps, height // 2, width // 2)) < 0.7
    arrays: dict[str, NDArray] = {"bands": bands, "masks": _double(masks).astype(np.uint8)}
    arrays["doys"] = np.sort(rng.choice(np.arange(1, 366), steps, replace=False)).astype(np.uint16)
    for orbit in ("ascending", "descending"):
        codes = rng.integers(2500, 7000, (steps + 1, height, width, 2)).astype(np.int16)
        codes[rng.random(codes.shape[:3]) < 0.2] = 0
        arrays[f"sar_{orbit}"] = codes
        doys = rng.choice(np.arange(1, 366), steps + 1, replace=False)
        arrays[f"sar_{orbit}_doy"] = np.sort(doys).astype(np.uint16)
    return arrays


def at_20_m(arrays: dict[str, NDArray], seed: int = 1) -> tuple[dict[str, NDArray], NDArray]:
    """The same arrays with the 20 m bands resampled, and those bands at 20 m, (T, H / 2, W / 2, 10).

    Their values are multiples of 16, so that bilinear weights (9, 3, 3 and 1 sixteenth) give whole numbers.
    """
    steps, height, width, _ = arrays["bands"].shape
    rng = np.random.default_rng(seed)
    coarse = (16 * rng.integers(20, 300, (steps, height // 2, width // 2, 10))).astype(np.uint16)
    bands = arrays["bands"].copy()
    for i, band in enumerate(S2_BANDS):
        if band not in AT_10_M:
            bands[..., i] = bilinear_double(coarse[..., i])
    return {**arrays, "bands": bands}, coarse


def bilinear_double(coarse: NDArray) -> NDArray:
    """(T, H, W) at twice the resolution, rounded half to even; 0 is no data and has no weight."""
    has_data = coarse != 0
    with np.errstate(invalid="ignore"):
        means = _weighted(coarse.astype(float)) / _weighted(has_data.astype(float))
    return np.rint(np.where(_double(has_data), means, 0)).astype(coarse.dtype)


def _weighted(values: NDArray) -> NDArray:
    """Sums of the four pixels around: the centres of new pixels are a quarter of an old pixel from the old centres."""
    for axis in (1, 2):
        size = values.shape[axis]
        before = values.take(np.maximum(np.arange(size) - 1, 0), axis)
        after = values.take(np.minimum(np.arange(size) + 1, size - 1), axis)
        pair = np.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], axis + 1)
        values = pair.reshape([2 * n if i == axis else n for i, n in enumerate(values.shape)])
    return values


def _double(blocks: NDArray) -> NDArray:
    return blocks.repeat(2, 1).repeat(2, 2)


def write_raster(path: Path, array: NDArray, transform: Affine = ORIGIN, crs: str | None = CRS, nodata=None, tags=None) -> Path:  # fmt: skip
    """A raster of one band, (height, width): lossless JPEG 2000 or GeoTIFF, by the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"count": 1, "dtype": array.dtype, "height": array.shape[0], "width": array.shape[1]}
    if path.suffix == ".jp2":
        profile |= {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
    else:
        profile |= {"driver": "GTiff", "compress": "deflate"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=nodata) as file:
            file.write(array, 1)
            file.update_tags(**(tags or {}))
    return path


def scl(mask: NDArray, seed: int = 0) -> NDArray:
    """A scene classification (H, W) uint8 with this mask."""
    rng = np.random.default_rng(seed)
    return np.where(mask, rng.choice(CLEAR, mask.shape), rng.choice(CLOUDED, mask.shape)).astype(np.uint8)


def radar(codes: NDArray, units: str) -> NDArray:
    """Float32 values that have these TESSERA codes; 0 becomes NaN."""
    power = 10 ** (((codes + 0.5) / 200 - 50) / 20)
    values = {"power": power, "amplitude": np.sqrt(power), "db": 10 * np.log10(power)}[units]
    return np.where(codes == 0, np.nan, values).astype(np.float32)


def s2_rasters(arrays: dict[str, NDArray], coarse: NDArray | None, offset: int):
    """For each date: its index, its day, and band -> (array, side of its pixels in pixels of 10 m)."""
    for t, doy in enumerate(arrays["doys"]):
        images = {}
        for i, band in enumerate(S2_BANDS):
            if coarse is None or band in AT_10_M:
                images[band] = arrays["bands"][t, ..., i] + np.uint16(offset), 1
            else:
                images[band] = coarse[t, ..., i] + np.uint16(offset), 2
        mask = arrays["masks"][t]
        images["SCL"] = (scl(mask, t), 1) if coarse is None else (scl(mask[::2, ::2], t), 2)
        yield t, day_of(doy), images


def safe_name(when: date, baseline: str = "0500", tile: str = "T31UES") -> str:
    return f"S2A_MSIL2A_{when:%Y%m%d}T105031_N{baseline}_R051_{tile}_{when:%Y%m%d}T140000"


def write_safe(
    folder: Path, arrays: dict[str, NDArray], coarse: NDArray | None = None, *, pixels: str = "jp2",
    offset: int = 0, zipped: bool = False, real: bool = False, tile: str = "T31UES", transform: Affine = ORIGIN,
    crs: str = CRS,
) -> list[Path]:  # fmt: skip
    """Write one SAFE product for each date; returns the paths of the folders or zips."""
    products = []
    for _, when, images in s2_rasters(arrays, coarse, offset):
        name = safe_name(when, "0500" if offset else "0214", tile)
        root = folder / f"{name}.SAFE"
        for band, (image, step) in images.items():
            size = 10 if band in AT_10_M else 20
            path = root / f"GRANULE/L2A_{tile}_A000001_{when:%Y%m%d}T105031/IMG_DATA/R{size}m"
            path /= f"{tile}_{when:%Y%m%d}T105031_{band}_{size}m.{pixels}"
            write_raster(path, image, transform @ Affine.scale(step), crs)
        (root / "MTD_MSIL2A.xml").write_text(safe_metadata(name, when, offset, real), encoding="utf-8")
        products.append(zip_up(root) if zipped else root)
    return products


def safe_metadata(name: str, when: date, offset: int, real: bool = False) -> str:
    """The text of an MTD_MSIL2A.xml; `real`: a real one with another name, date and offset."""
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-{offset}</BOA_ADD_OFFSET>' for i in range(13))
    if not real:
        return (
            f"<Level-2A_User_Product><PRODUCT_START_TIME>{when}T10:50:31.024Z</PRODUCT_START_TIME>"
            f"<PRODUCT_URI>{name}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>"
            f"<PROCESSING_BASELINE>{name[28:30]}.{name[30:32]}</PROCESSING_BASELINE>"
            f"{offsets if offset else ''}</Level-2A_User_Product>"
        )
    text = next(METADATA.rglob("S2B*_N0400_*/MTD_MSIL2A.xml")).read_text(encoding="utf-8")
    text = text.replace("S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126", name)
    text = text.replace("2022-04-13T", f"{when}T").replace(">04.00<", f">{name[28:30]}.{name[30:32]}<")
    return text if offset else re.sub(r"<BOA_ADD_OFFSET_VALUES_LIST>.*</BOA_ADD_OFFSET_VALUES_LIST>", "", text, flags=re.S)  # fmt: skip


def zip_up(root: Path) -> Path:
    """Replace a folder by a zip of it."""
    path = root.with_name(root.name.removesuffix(".SAFE") + ".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
    shutil.rmtree(root)
    return path


def write_opera(folder: Path, arrays: dict[str, NDArray], bursts: int = 2) -> list[Path]:
    """Write OPERA bursts: parts of the scene that overlap by two rows."""
    height = arrays["bands"].shape[1]
    files = []
    for orbit in ("ascending", "descending"):
        for t, doy in enumerate(arrays[f"sar_{orbit}_doy"]):
            for burst in range(bursts):
                hour = {"ascending": "17", "descending": "05"}[orbit]
                top, bottom = burst * height // bursts, min(height, (burst + 1) * height // bursts + 2)
                name = f"OPERA_L2_RTC-S1_T037-07810{burst}-IW2_{day_of(doy):%Y%m%d}T{hour}2{burst}05Z_20240101T000000Z_S1A_30_v1.0"
                for i, channel in enumerate(("VV", "VH")):
                    values = radar(arrays[f"sar_{orbit}"][t, top:bottom, :, i], "power")
                    path = folder / f"{name}_{channel}.tif"
                    tags = {"ORBIT_PASS_DIRECTION": orbit}
                    files.append(write_raster(path, values, ORIGIN @ Affine.translation(0, top), nodata=np.nan, tags=tags))  # fmt: skip
                write_raster(folder / f"{name}_mask.tif", np.zeros((bottom - top, 3), np.uint8))
    return files


def write_hyp3(
    folder: Path, arrays: dict[str, NDArray], units: str = "power", zipped: bool = False
) -> list[Path]:
    """Write HyP3 products, each a folder or zip; the place is at 3 degrees east, so 17:23 UTC is ascending."""
    products = []
    for orbit, time in (("ascending", "172305"), ("descending", "055905")):
        for t, doy in enumerate(arrays[f"sar_{orbit}_doy"]):
            letters = f"g{units[0]}uned"
            name = f"S1A_IW_{day_of(doy):%Y%m%d}T{time}_DVP_RTC10_G_{letters}_{t:04X}"
            for i, channel in enumerate(("VV", "VH")):
                values = radar(arrays[f"sar_{orbit}"][t, ..., i], units)
                if units != "db":
                    values = np.nan_to_num(values)
                write_raster(
                    folder / name / f"{name}_{channel}.tif", values, nodata=None if units == "db" else 0
                )
            write_raster(folder / name / f"{name}_ls_map.tif", np.zeros((2, 2), np.uint8))
            (folder / name / f"{name}.README.md.txt").write_text("ASF RTC Data Package\n")
            products.append(zip_up(folder / name) if zipped else folder / name)
    return products
