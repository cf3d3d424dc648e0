"""Which satellite took a product, and on which orbit, from the product's name or its metadata."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from tessera_engine.scenes.products import S1Product, S2Product

_SATELLITE = re.compile(r"(?<![A-Z0-9])S(?:ENTINEL[-_ ]?)?(?P<mission>[12])(?P<unit>[A-D])(?![A-Z0-9])", re.I)

_RELATIVE = re.compile(r"S2[A-D]_MSIL2A_.*_R(?P<s2>\d{3})_|(?<![A-Z0-9])T(?P<track>\d{3})-\d{6}-IW\d", re.I)

_ABSOLUTE = re.compile(
    r"S1(?P<unit>[A-D])_(?:IW|EW|SM|S\d)_.*_\d{8}T\d{6}_\d{8}T\d{6}_(?P<orbit>\d{6})_", re.I
)

_S1_ORBITS = 175

_FIRST_ORBIT = {"A": 73, "B": 27}
"""The first orbit since the launch that was relative orbit 1."""

T = TypeVar("T")


def satellite_of(product: S1Product | S2Product) -> str | None:
    """The satellite of a product, such as S1A; None where neither its name nor its metadata have it."""
    acquisition = product.processing.acquisition if product.processing is not None else ()
    for text in (*acquisition, product.name):
        match = _SATELLITE.search(text)
        if match:
            return f"S{match['mission']}{match['unit'].upper()}"
    return None


def relative_orbit_of(product: S1Product | S2Product) -> int | None:
    """The number of a product's relative orbit; None where neither its metadata nor its name have it.

    Names of Sentinel-2 have it, and OPERA's of Sentinel-1, as the track of the burst. ESA's names of Sentinel-1 have
    the number of the orbit since the launch, from which it follows for S1A and S1B.
    """
    if product.relative_orbit is not None:
        return product.relative_orbit
    acquisition = product.processing.acquisition if product.processing is not None else ()
    for text in (product.name, *acquisition):
        stated = _RELATIVE.search(text)
        if stated:
            return int(stated["s2"] or stated["track"])
        absolute = _ABSOLUTE.search(text)
        if absolute and absolute["unit"].upper() in _FIRST_ORBIT:
            return (int(absolute["orbit"]) - _FIRST_ORBIT[absolute["unit"].upper()]) % _S1_ORBITS + 1
    return None


def satellites_of(products: Iterable[S1Product | S2Product]) -> dict[int, str]:
    """Day of year -> satellite, for the days whose products are all of one known satellite."""
    return _by_day(products, satellite_of)


def relative_orbits_of(products: Iterable[S1Product | S2Product]) -> dict[int, int]:
    """Day of year -> relative orbit, for the days whose products are all of one that is known."""
    return _by_day(products, relative_orbit_of)


def _by_day(
    products: Iterable[S1Product | S2Product], fact: Callable[[S1Product | S2Product], T | None]
) -> dict[int, T]:
    found: dict[int, set[T | None]] = defaultdict(set)
    for product in products:
        found[product.date.timetuple().tm_yday].add(fact(product))
    every = {day: each.pop() for day, each in found.items() if len(each) == 1}
    return {day: value for day, value in every.items() if value is not None}
