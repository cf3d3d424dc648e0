"""OPERA RTC-S1: Sentinel-1 gamma0 in linear power, as GeoTIFFs of single bursts; one pass has many bursts."""

from __future__ import annotations

import re
from datetime import datetime

from tessera_engine.scenes.metadata.channels import (
    Channels,
    belonging,
    by_product,
    first,
    half_products,
    vv_vh,
)
from tessera_engine.scenes.metadata.members import on_disk
from tessera_engine.scenes.products import Found, Listing, Orbit, Problem, Processing, S1Product, Unusable
from tessera_engine.scenes.reading.rasters import opened

_PRODUCT = re.compile(
    r"OPERA_L2_RTC-S1_(?P<burst>T\d{3}-\d{6}-IW\d)_(?P<start>\d{8}T\d{6})Z_(?P<processed>\d{8}T\d{6})Z"
    r"_S1[A-D]_\d+_v(?P<version>[\d.]+)"
)
_FILE = re.compile(rf"(?P<product>{_PRODUCT.pattern})_(?P<channel>VV|VH|HH|HV)\.(?i:tiff?)")

_ORBIT_TAG = "ORBIT_PASS_DIRECTION"
_ORBITS: dict[str, Orbit] = {"a": "ascending", "d": "descending"}


def find(listing: Listing) -> Found:
    """Find the OPERA RTC-S1 bursts of a scene folder; reads names and headers only."""
    found = Found()
    products = by_product(on_disk(listing), _FILE)
    found.claimed |= belonging(listing, products, _PRODUCT)
    for (_, name), channels in products.items():
        try:
            found.s1.append(_product(name, channels))
        except Unusable as error:
            found.problems.append(Problem(first(channels).source, str(error)))
    found.warnings += half_products(found.s1, "OPERA burst")
    return found


def _product(name: str, channels: Channels) -> S1Product:
    vv, vh = vv_vh(channels)
    with opened(first(channels).asset) as dataset:
        tag = dataset.tags().get(_ORBIT_TAG, "")
    orbit = _ORBITS.get(tag[:1].lower())
    if orbit is None:
        raise Unusable(f"has {tag!r} in the tag {_ORBIT_TAG}, expected ascending or descending")
    match = _PRODUCT.fullmatch(name)
    assert match is not None  # by_product returns names of this form only
    try:
        day = datetime.strptime(match["start"], "%Y%m%dT%H%M%S").date()
    except ValueError:
        raise Unusable(f"has {match['start']} in its name, which is not a date") from None
    processing = Processing(
        (match["burst"], match["start"]), baseline=match["version"], generated=match["processed"]
    )
    return S1Product(name, first(channels).source, day, orbit, vv, vh, "power", processing)
