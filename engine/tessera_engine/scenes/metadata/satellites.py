"""Which satellite took a product, from the product's name or its metadata."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from tessera_engine.scenes.products import S1Product, S2Product

_SATELLITE = re.compile(r"(?<![A-Z0-9])S(?:ENTINEL[-_ ]?)?(?P<mission>[12])(?P<unit>[A-D])(?![A-Z0-9])", re.I)


def satellite_of(product: S1Product | S2Product) -> str | None:
    """The satellite of a product, such as S1A; None where neither its name nor its metadata have it."""
    acquisition = product.processing.acquisition if product.processing is not None else ()
    for text in (*acquisition, product.name):
        match = _SATELLITE.search(text)
        if match:
            return f"S{match['mission']}{match['unit'].upper()}"
    return None


def satellites_of(products: Iterable[S1Product | S2Product]) -> dict[int, str]:
    """Day of year -> satellite, for the days whose products are all of one known satellite."""
    found: dict[int, set[str | None]] = defaultdict(set)
    for product in products:
        found[product.date.timetuple().tm_yday].add(satellite_of(product))
    every = {day: each.pop() for day, each in found.items() if len(each) == 1}
    return {day: satellite for day, satellite in every.items() if satellite is not None}
