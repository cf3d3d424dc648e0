"""GeoTIFFs with several bands, as Google Earth Engine and openEO export them: a file for each date, or one for all.

The descriptions of the bands name them: `B4` or `VV` where the file's name has the date, or with the date in the
description, before or after the band (`20240115T105421_20240115T105422_T31UES_B4`, `B4_20240115`).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.band_names import BAND_OF, plain
from tessera_engine.scenes.metadata.baseline import OFFSET
from tessera_engine.scenes.metadata.channels import half_products
from tessera_engine.scenes.metadata.orbits import orbit_at, orbit_in
from tessera_engine.scenes.products import (
    Asset,
    Found,
    Listing,
    Orbit,
    Problem,
    S1Product,
    S1Units,
    S2Product,
    Unusable,
)
from tessera_engine.scenes.reading.rasters import opened

_TIME = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_]?(\d{2})[-_]?(\d{2})(?:[T_](\d{2}):?(\d{2}):?(\d{2}))?(?!\d)")
_INDEX = re.compile(r"^(?P<index>\d{1,4})_(?=[A-Za-z])")
"""What `ImageCollection.toBands()` puts before a band where images have no names of their own."""

_IN_FILE = "its name"

_ENOUGH = 4
"""Bands of Sentinel-2 that a file has at least if it is meant as an image of it; an orthophoto has fewer."""

_PLAIN = (1.0, 0.0)
_SCALES = (1.0, 1e-4)
"""Scale and offset where a file says nothing, and scales of reflectance * 10000."""

_SAMPLE = 64
"""Side of the sample from which units of radar are derived, in pixels."""

_CHANNELS = {"vv": "VV", "vh": "VH"}
_MASKS = {"clear": "clear"}


class _File(NamedTuple):
    """What the header of a file says.

    Attributes:
        bands: those that are of Sentinel.
        longitude: of its centre in degrees; NaN without a CRS.
        packings: (scale, offset) of each band, by its number.
    """

    bands: list[_Band]
    longitude: float
    packings: dict[int, tuple[float, float]]


class _Band(NamedTuple):
    """One band of a file: what it is, and which image it was of."""

    name: str
    """of S2_BANDS, SCL, clear, VV or VH"""
    image: str
    """what its description says beside the band; empty where it says the band alone"""
    asset: Asset


def find(listing: Listing) -> Found:
    """Find the stacks among the GeoTIFFs that belong to no other layout; reads headers only."""
    found = Found()
    unknown: list[str] = []
    for path in listing.unclaimed:
        if path.suffix.lower() not in (".tif", ".tiff") or path.stat().st_size == 0:
            continue
        try:
            file = _read(path)
        except Unusable:  # what it is can't be said; its name may tell
            continue
        images: dict[str, dict[str, Asset]] = defaultdict(dict)
        for band in file.bands:
            images[band.image].setdefault(band.name, band.asset)
        optical = {
            image: named for image, named in images.items() if len(named.keys() & set(S2_BANDS)) >= _ENOUGH
        }
        radar = {image: named for image, named in images.items() if {"VV", "VH"} & named.keys()}
        if not optical and not radar:
            continue
        found.claimed.add(path)
        reasons = []
        for image, named in optical.items():
            try:
                packings = [file.packings[named[band].band] for band in S2_BANDS if band in named]
                found.s2.append(_s2_product(path, image, named, packings, len(optical) == 1))
                unknown += [found.s2[-1].name] if _PLAIN in packings else []
            except Unusable as error:
                reasons.append(str(error))
        for image, named in radar.items():
            try:
                found.s1.append(_s1_product(path, image, named, file.longitude, len(radar) == 1))
            except Unusable as error:
                reasons.append(str(error))
        if reasons:
            more = f" (and {len(reasons) - 1} more of its images)" if len(reasons) > 1 else ""
            found.problems.append(Problem(path, reasons[0] + more))
    if unknown:
        found.warnings.append(
            f"{len(unknown)} images of GeoTIFF stacks (the first is {unknown[0]}) have no metadata about the "
            "baseline offset: they are read as already removed, as Earth Engine's S2_SR_HARMONIZED has it"
        )
    if found.s1:
        units = " and ".join(sorted({str(product.units) for product in found.s1}))
        found.warnings.append(
            f"{len(found.s1)} radar images of GeoTIFF stacks (the first is {found.s1[0].name}) have no metadata: by "
            f"their values they are in {units} (s1_units= overrides it); Earth Engine's S1_GRD is sigma0, but the "
            "models were trained on terrain-corrected gamma0"
        )
    found.warnings += half_products(found.s1, "the stack")
    return found


def _read(path: Path) -> _File:
    """Read the header of a file."""
    from rasterio.warp import transform

    with opened(Asset(path)) as dataset:
        descriptions = dataset.descriptions
        packings = dict(enumerate(zip(dataset.scales, dataset.offsets, strict=True), 1))
        longitude = float("nan")
        if any(descriptions) and dataset.crs is not None:
            x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
            longitude = float(transform(dataset.crs, "EPSG:4326", [x], [y])[0][0])
    bands = []
    for number, description in enumerate(descriptions, 1):
        parts = re.split(r"[_ ]", description or "")
        # The band is the last part or the first one; some have two words (`nir_08`), or a resolution (`B04_10m`)
        for name, image in (
            (description or "", ""),
            *((" ".join(parts[-n:]), "_".join(parts[:-n])) for n in (2, 1) if len(parts) > n),
            *((" ".join(parts[:n]), "_".join(parts[n:])) for n in (2, 1) if len(parts) > n),
        ):
            key = plain(name)
            band = BAND_OF.get(key) or _CHANNELS.get(key) or _MASKS.get(key)
            if band is not None:
                bands.append(_Band(band, image, Asset(path, band=number)))
                break
    return _File(bands, longitude, packings)


def _time(path: Path, image: str, only: bool) -> tuple[datetime, bool]:
    """When an image was taken, and whether that has a time of day: by its bands' descriptions, else by the file's name.

    Args:
        path: the file.
        image: what the descriptions of its bands say beside the band.
        only: whether it is the only image of the file, so that the date in the file's name is its own.

    Raises:
        Unusable: neither has a date, or the name has several.
    """
    for text, what in ((image, "the descriptions of its bands"), (path.stem, _IN_FILE)):
        times = []
        for match in _TIME.finditer(text):
            numbers = [int(part or 0) for part in match.groups()]
            try:
                times.append((datetime(*numbers), match[4] is not None))  # type: ignore[arg-type]
            except ValueError:
                continue
        if not times or (what == _IN_FILE and not only):
            continue
        days = sorted({time.date() for time, _ in times})
        if days[-1] - days[0] > timedelta(days=1):
            raise Unusable(
                f"has several dates in {what} ({days[0]} to {days[-1]}), expected one: export a file for each date, or "
                "band names with dates (toBands)"
            )
        return times[0]
    index = _INDEX.match(f"{image}_x")
    raise Unusable(
        f"has no date for its bands{f' (image {index[1]})' if index else ''}, neither in their descriptions nor in the "
        "file's name: name it like S2_20240115.tif"
    )


def _offset(packings: list[tuple[float, float]]) -> int:
    """The number to subtract, from the scale and offset of all bands.

    Raises:
        Unusable: values aren't reflectance * 10000, or bands differ.
    """
    (scale, offset), *others = set(packings)
    if not others and round(scale, 9) in _SCALES and math.isfinite(offset):
        subtracted = round(-offset / scale)
        if subtracted in (0, OFFSET):
            return subtracted
    several = ", ".join(sorted({f"{scale:.6g} and {offset:.6g}" for scale, offset in packings}))
    raise Unusable(
        f"has scale and offset {several}, expected 0.0001 and 0 or -0.1 for all bands; correct them"
    )


def _s2_product(
    path: Path, image: str, named: dict[str, Asset], packings: list[tuple[float, float]], only: bool
) -> S2Product:
    time, _ = _time(path, image, only)
    missing = [band for band in S2_BANDS if band not in named]
    if "SCL" not in named and "clear" not in named:
        missing.append("SCL (or a band 'clear', 1 where it is clear)")
    if missing:
        raise Unusable(f"lacks {', '.join(missing)} on {time.date()}: all ten bands and a mask are needed")
    return S2Product(
        name=_name(path, image, time.date()),
        source=path,
        date=time.date(),
        bands={band: named[band] for band in S2_BANDS},
        mask=named["SCL"] if "SCL" in named else named["clear"],
        offset=_offset(packings),
        mask_kind="scl" if "SCL" in named else "clear",
    )


def _s1_product(path: Path, image: str, named: dict[str, Asset], longitude: float, only: bool) -> S1Product:
    time, has_time = _time(path, image, only)
    orbit: Orbit | None = orbit_in(image) or orbit_in(path.stem)
    if orbit is None and has_time and longitude == longitude:
        orbit = orbit_at(time, longitude)
    if orbit is None:
        raise Unusable("has no orbit: put ascending or descending into its name or the names of its bands")
    return S1Product(
        name=_name(path, image, time.date()),
        source=path,
        date=time.date(),
        orbit=orbit,
        vv=named.get("VV"),
        vh=named.get("VH"),
        units=_units(named),
    )


def _units(named: dict[str, Asset]) -> S1Units:
    """Decibels where most values are negative, else linear power, which never is."""
    asset = named.get("VV", named.get("VH"))
    assert asset is not None
    with opened(asset) as dataset:
        shape = min(_SAMPLE, dataset.height), min(_SAMPLE, dataset.width)
        values = dataset.read(asset.band, out_shape=shape, masked=True).compressed()
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return "db" if values.size and np.median(values) < 0 else "power"


def _name(path: Path, image: str, day: date) -> str:
    return f"{path.name}/{image or day}"
