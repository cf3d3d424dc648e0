"""The CRS of a cube: from its grid mapping, from attributes, from another variable, or from lon and lat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rasterio.crs import CRS

from tessera_engine.gdal import PROJECTION_ERRORS
from tessera_engine.offline.crs import crs_elsewhere
from tessera_engine.scenes.layouts.cube.container import Array, Container
from tessera_engine.scenes.products import Unusable

_KEYS = (
    "crs_wkt", "spatial_ref", "proj:code", "proj:epsg", "epsg_code", "epsg", "crs", "proj:wkt2", "proj:projjson",
    "projection", "horizontal_CRS_code", "esri_pe_string", "proj4", "proj4text", "proj4_string", "srid",
)  # fmt: skip
"""Attributes that hold a CRS, those that say most first."""

_VARIABLES = (
    "spatial_ref", "crs", "epsg", "proj:epsg", "proj:code", "grid_mapping", "transverse_mercator", "projection", "srs",
    "utm", "polar_stereographic", "latitude_longitude", "lat_lon", "wgs84",
)  # fmt: skip
"""Variables that hold a CRS, though no band refers to them."""

_LONGEST = 100_000
"""Characters of a CRS at most."""


def crs_of(array: Array, container: Container, degrees: bool) -> tuple[str, Mapping[str, Any]]:
    """The CRS of an array, and the attributes of the variable that it is from.

    Args:
        array: a band.
        container: what the band is in.
        degrees: whether the coordinates are longitudes and latitudes by their own attributes or names: they are
            WGS 84 where nothing else is said.

    Raises:
        Unusable: there is none, or there are several.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for source in (_by_grid_mapping, _by_attributes, _by_variables):
        for name, crs, attributes in source(array, container):
            found.setdefault(crs, (name, attributes))
        if found:
            break
    if not found and degrees:
        return "EPSG:4326", {}
    if not found:
        raise Unusable(
            f"has no CRS for {array.name}, so its place on Earth is unknown: add a variable spatial_ref with crs_wkt, "
            "or an attribute crs such as EPSG:32631"
        )
    if len(found) > 1:
        several = ", ".join(f"{crs[:40]} in {name}" for crs, (name, _) in sorted(found.items()))
        raise Unusable(f"has several CRSs for {array.name}: {several}; keep one, as its grid_mapping")
    ((crs, (_, attributes)),) = found.items()
    return crs, attributes


Source = Iterator[tuple[str, str, Mapping[str, Any]]]
"""Where a CRS is from, the CRS, and the attributes beside it."""


def _by_grid_mapping(array: Array, container: Container) -> Source:
    named = str(array.attributes.get("grid_mapping", ""))
    # The longer form is "crs: x y", with several mappings after each other
    for name in named.replace(":", ": ").split()[:1]:
        mapping = container.nearest(array.group, name.rstrip(":").rpartition("/")[2])
        if mapping is not None:
            crs = _of_mapping(mapping)
            if crs is not None:
                yield mapping.name, crs, mapping.attributes


def _by_attributes(array: Array, container: Container) -> Source:
    for attributes in container.attributes_above(array):
        for place in _with_nested(attributes):
            crs = _of_attributes(place)
            if crs is not None:
                yield "attributes", crs, place
                return


def _by_variables(array: Array, container: Container) -> Source:
    for name, each in container.arrays.items():
        if each.shape in ((), (1,)) and (
            each.leaf.lower() in _VARIABLES or "grid_mapping_name" in each.attributes
        ):
            crs = _of_mapping(each)
            if crs is not None:
                yield name, crs, each.attributes


def _with_nested(attributes: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Attributes, and those that EOPF keeps one or two levels deeper."""
    yield attributes
    for key in ("_eopf_attrs", "other_metadata", "stac_discovery", "properties"):
        nested = attributes.get(key)
        if isinstance(nested, Mapping):
            yield from _with_nested(nested)


def _of_mapping(mapping: Array) -> str | None:
    """By its attributes, else by its value, which is a code in stackstac's cubes."""
    crs = _of_attributes(mapping.attributes) or _of_parameters(mapping.attributes)
    if crs is not None or mapping.leaf.lower() not in (
        "epsg",
        "proj:epsg",
        "proj:code",
        "crs",
        "spatial_ref",
    ):
        return crs
    values = mapping.values().ravel().tolist()
    # 0 is what xarray's tools write into a variable that is there for its attributes
    return _parsed(values[0]) if values and values[0] != 0 else None


def _of_attributes(attributes: Mapping[str, Any]) -> str | None:
    return next((crs for key in _KEYS if key in attributes and (crs := _parsed(attributes[key]))), None)


def _parsed(value: Any) -> str | None:
    """A CRS in any of its forms as `EPSG:<code>`, or as WKT where it has no code; None if it isn't one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, int):
            parsed = CRS.from_epsg(value)
        elif isinstance(value, Mapping):
            parsed = CRS.from_user_input(_plain_code(json.dumps(value)))
        else:
            text = str(value).strip()
            if not text or len(text) > _LONGEST or text.lower() in ("none", "unknown"):
                return None
            parsed = CRS.from_epsg(int(text)) if text.isdigit() else CRS.from_user_input(_plain_code(text))
        if not (parsed.is_projected or parsed.is_geographic):
            return None
        code = parsed.to_epsg()
        return f"EPSG:{code}" if code is not None else parsed.to_string()
    except (*PROJECTION_ERRORS, ValueError, TypeError, KeyError, OverflowError):
        return None


def _plain_code(text: str) -> str:
    """`+init=epsg:32631`, `urn:ogc:def:crs:EPSG::32631` and the OGC's address as `EPSG:32631`."""
    lower = text.lower()
    if lower.startswith(
        ("+init=epsg:", "urn:ogc:def:crs:epsg", "http://www.opengis.net/", "https://www.opengis.net/")
    ):
        code = lower.replace("/", ":").split()[0].rpartition(":")[2]
        if code.isdigit():
            return f"EPSG:{code}"
    return "" if crs_elsewhere(text) else text  # PROJ would open a file, or an address


def _of_parameters(attributes: Mapping[str, Any]) -> str | None:
    """A CRS given by CF's parameters alone (CF conventions, appendix F), for the projections that cubes have."""
    name = str(attributes.get("grid_mapping_name", ""))

    def number(key: str, default: float = 0.0) -> float:
        value = attributes.get(key, default)
        return float(value[0] if isinstance(value, list) else value)

    try:
        major = number("semi_major_axis", 6378137.0)
        flat = number("inverse_flattening", 298.257223563)
        minor = number("semi_minor_axis", major * (1 - 1 / flat) if flat else major)
        shape = (
            "+datum=WGS84"
            if abs(major - 6378137) < 1 and abs(minor - 6356752.3) < 1
            else f"+a={major} +b={minor}"
        )
        parallels = attributes.get("standard_parallel", [])
        parallels = [float(each) for each in (parallels if isinstance(parallels, list) else [parallels])]
        origin = f"+lat_0={number('latitude_of_projection_origin')} "
        false = f"+x_0={number('false_easting')} +y_0={number('false_northing')} {shape} +units=m"
        central = f"+lon_0={number('longitude_of_central_meridian')} "
        centre = (
            f"+lon_0={number('longitude_of_projection_origin', number('longitude_of_central_meridian'))} "
        )
        two = f"+lat_1={parallels[0]} +lat_2={parallels[-1]} " if parallels else ""
        scale = f"+k_0={number('scale_factor_at_central_meridian', number('scale_factor_at_projection_origin', 1))} "
        texts = {
            "latitude_longitude": f"+proj=longlat {shape}",
            "transverse_mercator": f"+proj=tmerc {origin}{central}{scale}{false}",
            "universal_transverse_mercator": _utm(attributes),
            "lambert_conformal_conic": f"+proj=lcc {origin}{central}{two}{false}",
            "albers_conical_equal_area": f"+proj=aea {origin}{central}{two}{false}",
            "lambert_azimuthal_equal_area": f"+proj=laea {origin}{centre}{false}",
            "sinusoidal": f"+proj=sinu {centre}{false}",
            "mercator": f"+proj=merc {centre}{f'+lat_ts={parallels[0]} ' if parallels else scale}{false}",
            "polar_stereographic": _polar(attributes, parallels, scale, false),
        }
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
    text = texts.get(name)
    return _parsed(text) if text else None


def _utm(attributes: Mapping[str, Any]) -> str:
    zone = int(attributes.get("utm_zone_number", 0))
    return f"EPSG:{326 if zone > 0 else 327}{abs(zone):02d}" if 1 <= abs(zone) <= 60 else ""


def _polar(attributes: Mapping[str, Any], parallels: list[float], scale: str, false: str) -> str:
    meridian = attributes.get(
        "straight_vertical_longitude_from_pole", attributes.get("longitude_of_projection_origin", 0)
    )
    latitude = float(attributes.get("latitude_of_projection_origin", 90))
    size = f"+lat_ts={parallels[0]} " if parallels else scale
    return f"+proj=stere +lat_0={latitude} +lon_0={float(meridian)} {size}{false}"
