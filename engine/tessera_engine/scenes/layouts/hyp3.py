"""ASF HyP3 RTC: Sentinel-1 scenes processed on demand, unpacked or as the zips that ASF delivers.

The name contains all options, `S1A_IW_<start>_DVP_RTC10_G_gpuned_1A2B_VV.tif`: the letters after `G_` mean gamma0 or
sigma0, then power, amplitude or decibel. The product doesn't contain the direction of the orbit, which follows from the
time of day.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tessera_engine.scenes.metadata.channels import (
    Channels,
    belonging,
    by_product,
    first,
    half_products,
    vv_vh,
)
from tessera_engine.scenes.metadata.members import Member, in_zip, is_zip, on_disk, zips
from tessera_engine.scenes.metadata.names import compact
from tessera_engine.scenes.metadata.orbits import orbit_at
from tessera_engine.scenes.products import (
    Asset,
    Found,
    Listing,
    Problem,
    Processing,
    S1Product,
    S1Units,
    Unusable,
)
from tessera_engine.scenes.reading.rasters import opened

_PRODUCT = re.compile(
    r"(?P<satellite>S1[A-D])_[A-Z]{2}_(?P<start>\d{8}T\d{6})_[SD][HV][PRO]_RTC\d\d_G_"
    r"(?P<radiometry>[gs])(?P<scale>[pad])[uw](?P<filter>[nf])[ec][dm]_[0-9A-F]{4}"
)
_FILE = re.compile(rf"(?P<product>{_PRODUCT.pattern})_(?P<channel>VV|VH|HH|HV)\.(?i:tiff?)")
_PROCESSED = re.compile(rb"Processing Date/Time:\s*([0-9T:\- ]{10,})")
_UNITS: dict[str, S1Units] = {"p": "power", "a": "amplitude", "d": "db"}


def is_name(name: str) -> bool:
    """Whether a file or folder has the name of a product of this layout."""
    return _PRODUCT.match(name) is not None


def find(listing: Listing) -> Found:
    """Find the HyP3 RTC products of a scene folder; reads names and headers only."""
    found = Found()
    members = on_disk(listing)
    for path in zips(listing):
        if is_name(path.stem):
            try:
                members += _channels_in(path)
                found.claimed.add(path)
            except Unusable as error:
                found.problems.append(Problem(path, str(error)))
    reasons: dict[Path, list[str]] = defaultdict(list)
    products = by_product(members, _FILE)
    found.claimed |= belonging(listing, products, _PRODUCT)
    for (_, name), channels in products.items():
        try:
            found.s1.append(_product(name, channels))
        except Unusable as error:
            reasons[first(channels).source].append(str(error))  # a zip may contain several products
    found.problems += [Problem(source, "; ".join(every)) for source, every in reasons.items()]
    found.s1 = _with_times(found.s1, on_disk(listing))
    found.warnings += _warnings(found.s1)
    return found


def _channels_in(path: Path) -> list[Member]:
    """The files of channels in a zip."""
    members = [member for member in in_zip(path) if _FILE.fullmatch(member.path.name)]
    if not members:
        raise Unusable("has no file of VV or VH; download it again")
    return members


def _product(name: str, channels: Channels) -> S1Product:
    vv, vh = vv_vh(channels)
    match = _PRODUCT.fullmatch(name)
    assert match is not None  # by_product returns names of this form only
    if match["radiometry"] == "s":
        raise Unusable(
            "is sigma0 (the s after G_ in its name), expected gamma0; order it with radiometry gamma0"
        )
    try:
        start = datetime.strptime(match["start"], "%Y%m%dT%H%M%S")
    except ValueError:
        raise Unusable(f"has {match['start']} in its name, which is not a date") from None
    file = first(channels)
    orbit = orbit_at(start, _longitude(file.asset))
    processing = Processing((match["satellite"], match["start"]))
    return S1Product(name, file.source, start.date(), orbit, vv, vh, _UNITS[match["scale"]], processing)


def _with_times(products: list[S1Product], members: list[Member]) -> list[S1Product]:
    """The products, with the time of processing for those that are not the only one of their acquisition.

    Only the product's README has that time.
    """
    counts = Counter(product.processing for product in products)
    if not any(n > 1 for n in counts.values()):
        return products
    readmes = {(str(member.source.parent), member.path.name): member for member in members}
    timed = []
    for product in products:
        processing = product.processing
        if processing is not None and counts[processing] > 1:
            processing = processing._replace(generated=_generated(product, readmes))
        timed.append(replace(product, processing=processing))
    return timed


def _generated(product: S1Product, on_disk: Mapping[tuple[str, str], Member]) -> str:
    """When a product was made, as 20220414T082126; empty where its README is missing or doesn't say it."""
    name = f"{product.name}.README.md.txt"
    readme = on_disk.get((str(product.source.parent), name))
    with suppress(Unusable):
        if readme is None and is_zip(product.source):
            readme = next((each for each in in_zip(product.source) if each.path.name == name), None)
        if readme is not None:
            match = _PROCESSED.search(readme.read())
            return compact(match[1].decode()) if match else ""
    return ""


def _longitude(asset: Asset) -> float:
    """Longitude of a raster's centre, in degrees."""
    from rasterio.warp import transform

    with opened(asset) as dataset:
        if dataset.crs is None:
            raise Unusable("has no coordinate reference system, so its place on Earth is unknown")
        x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
        (longitude,), _ = transform(dataset.crs, "EPSG:4326", [x], [y])
    return float(longitude)


def _warnings(products: list[S1Product]) -> list[str]:
    warnings = half_products(products, "HyP3 product")
    if products:
        ascending = sum(product.orbit == "ascending" for product in products)
        warnings.append(
            f"HyP3 products don't contain the direction of their orbit: by their time of day, {ascending} are "
            f"ascending and {len(products) - ascending} descending"
        )
    filtered = [product.name for product in products if _PRODUCT.fullmatch(product.name)["filter"] == "f"]  # type: ignore[index]
    if filtered:
        warnings.append(
            f"{len(filtered)} HyP3 products are speckle-filtered ({filtered[0]}, ...), but the models were trained "
            "on unfiltered ones; order them without the filter"
        )
    return warnings
