"""Whether the positions of a cube can be a place on Earth in its CRS."""

from __future__ import annotations

import re

from affine import Affine

from tessera_engine.scenes.products import Unusable

_UTM = re.compile(r"EPSG:32[67]\d\d")
_EASTINGS = (-1e6, 2e6)
_NORTHINGS = (-1e7, 1e7)
"""Metres; wider than a zone, because whole countries are stored in one zone. A northing is no easting beyond 18 degrees
of latitude."""


def checked_place(
    name: str, crs: str, geographic: bool, transform: Affine, width: int, height: int
) -> Affine:
    """The transform of a cube; longitudes from 180 to 360 degrees become those from -180 to 0.

    Args:
        name: the band's, for the message.
        crs: the CRS.
        geographic: whether that is in degrees.
        transform: as the coordinates give it.
        width: columns.
        height: rows.

    Raises:
        Unusable: no place has these coordinates, so that x and y were exchanged, or are of another CRS.
    """
    xs = sorted((transform.c, transform.c + width * transform.a))
    ys = sorted((transform.f, transform.f + height * transform.e))
    if geographic:
        _check(name, crs, "longitude", xs, (-180 - abs(transform.a), 360 + abs(transform.a)), "degrees")
        _check(name, crs, "latitude", ys, (-90 - abs(transform.e), 90 + abs(transform.e)), "degrees")
        return Affine.translation(-360, 0) @ transform if xs[0] >= 180 else transform
    if _UTM.fullmatch(crs):
        _check(name, crs, "easting", xs, _EASTINGS, "metres")
        _check(name, crs, "northing", ys, _NORTHINGS, "metres")
    return transform


def _check(
    name: str, crs: str, what: str, found: list[float], limits: tuple[float, float], units: str
) -> None:
    if found[0] < limits[0] or found[1] > limits[1]:
        raise Unusable(
            f"has {what}s from {found[0]:.10g} to {found[1]:.10g} {units} for {name}, which are nowhere in {crs[:60]}: "
            "x and y may be exchanged, or the CRS is another one; correct the file"
        )
