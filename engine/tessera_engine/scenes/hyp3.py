"""ASF HyP3 RTC: Sentinel-1 scenes made to order, unpacked or as the zips that ASF delivers.

All options stand in the name, `S1A_IW_<start>_DVP_RTC10_G_gpuned_1A2B_VV.tif`: the letters after `G_` say gamma0 or
sigma0, then power, amplitude or decibel. The direction of the orbit stands nowhere in the product. It follows from
the time of day: Sentinel-1 crosses the equator northwards at 18 h local solar time and southwards at 6 h.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from tessera_engine.scenes.channels import Channels, by_product, first, half_products, vv_vh
from tessera_engine.scenes.doubles import drop_doubles
from tessera_engine.scenes.members import Member, in_zip, on_disk, zips
from tessera_engine.scenes.products import Asset, Found, Listing, Orbit, Problem, S1Product, S1Units, Unusable
from tessera_engine.scenes.rasters import opened

LAYOUT = "hyp3"

_PRODUCT = re.compile(
    r"S1[A-D]_[A-Z]{2}_(?P<start>\d{8}T\d{6})_[SD][HV][PRO]_RTC\d\d_G_"
    r"(?P<radiometry>[gs])(?P<scale>[pad])[uw](?P<filter>[nf])[ec][dm]_[0-9A-F]{4}"
)
_FILE = re.compile(rf"(?P<product>{_PRODUCT.pattern})_(?P<channel>VV|VH|HH|HV)\.tiff?")
_UNITS: dict[str, S1Units] = {"p": "power", "a": "amplitude", "d": "db"}

_ASCENDING_HOUR, _DESCENDING_HOUR = 18.0, 6.0
_MOST_HOURS_AWAY = 4.5
"""Local solar time of a pass differs by this much from the equator's only beyond 80 degrees of latitude."""


def is_name(name: str) -> bool:
    """Whether a file or folder is called like one of this layout's products."""
    return _PRODUCT.match(name) is not None


def find(listing: Listing) -> Found:
    """The HyP3 RTC products of a scene folder; only names and headers are read."""
    found = Found()
    members = on_disk(listing)
    for path in zips(listing):
        if is_name(path.stem):
            try:
                members += _channels_in(path)
            except Unusable as error:
                found.problems.append(Problem(path, str(error)))
    reasons: dict[Path, list[str]] = defaultdict(list)
    for (_, name), channels in by_product(members, _FILE).items():
        try:
            found.s1.append(_product(name, channels))
        except Unusable as error:
            reasons[first(channels).source].append(str(error))  # a zip may have several products
    found.problems += [Problem(source, "; ".join(every)) for source, every in reasons.items()]
    found.s1, doubles = drop_doubles(found.s1, lambda product: ((product.name,), ""))
    found.problems += doubles
    found.warnings += _warnings(found.s1)
    return found


def _channels_in(path: Path) -> list[Member]:
    """The files of channels in a zip."""
    members = [member for member in in_zip(path) if _FILE.fullmatch(member.path.name)]
    if not members:
        raise Unusable("has no file of a channel; fetch it again")
    return members


def _product(name: str, channels: Channels) -> S1Product:
    vv, vh = vv_vh(channels)
    match = _PRODUCT.fullmatch(name)
    assert match is not None  # by_product's names are of this form
    if match["radiometry"] == "s":
        raise Unusable(
            "is sigma0 (the s after G_ in its name), expected gamma0; order it with radiometry gamma0"
        )
    try:
        start = datetime.strptime(match["start"], "%Y%m%dT%H%M%S")
    except ValueError:
        raise Unusable(f"has the date {match['start']} in its name, which doesn't exist") from None
    file = first(channels)
    orbit = _orbit(start, _longitude(file.asset))
    return S1Product(name, file.source, start.date(), orbit, vv, vh, _UNITS[match["scale"]])


def _longitude(asset: Asset) -> float:
    """Degrees east of a raster's middle."""
    from rasterio.warp import transform

    with opened(asset) as dataset:
        if dataset.crs is None:
            raise Unusable("has no coordinate reference system: there is no telling where it lies")
        x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
        (longitude,), _ = transform(dataset.crs, "EPSG:4326", [x], [y])
    return float(longitude)


def _orbit(start: datetime, longitude: float) -> Orbit:
    """The direction of a pass from its time (UTC) and place."""
    hours = (start.hour + start.minute / 60 + longitude / 15) % 24
    if abs(hours - _ASCENDING_HOUR) <= _MOST_HOURS_AWAY:
        return "ascending"
    if abs(hours - _DESCENDING_HOUR) <= _MOST_HOURS_AWAY:
        return "descending"
    raise Unusable(
        f"was taken at {hours:.1f} h local solar time, expected near 6 h (descending) or 18 h (ascending): "
        "the direction of its orbit isn't known"
    )


def _warnings(products: list[S1Product]) -> list[str]:
    warnings = half_products(products, "HyP3 product")
    if products:
        ascending = sum(product.orbit == "ascending" for product in products)
        warnings.append(
            f"HyP3 products don't say the direction of their orbit: by their time of day {ascending} are ascending "
            f"and {len(products) - ascending} descending"
        )
    filtered = [product.name for product in products if _PRODUCT.fullmatch(product.name)["filter"] == "f"]  # type: ignore[index]
    if filtered:
        warnings.append(
            f"{len(filtered)} HyP3 products are speckle-filtered ({filtered[0]}, ...), "
            "which the models weren't trained on; order them without the filter"
        )
    return warnings
