"""Which dimension of an array is x, y, time or the band, by its coordinate variable: never by its position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tessera_engine.scenes.layouts.cube.container import Array, Container
from tessera_engine.scenes.products import Unusable

Role = Literal["x", "y", "time", "band"]

_BY_AXIS: dict[str, Role] = {"X": "x", "Y": "y", "T": "time"}
_BY_STANDARD_NAME: dict[str, Role] = {
    "projection_x_coordinate": "x",
    "projection_y_coordinate": "y",
    "longitude": "x",
    "latitude": "y",
    "time": "time",
}
_BY_TYPE: dict[str, Role] = {"GeoX": "x", "GeoY": "y", "Lon": "x", "Lat": "y", "Time": "time"}
"""`_CoordinateAxisType`, which Unidata's tools write."""

_DEGREES: dict[str, Role] = {
    **dict.fromkeys(("degrees_east", "degree_east", "degrees_e", "degree_e", "degreee", "degreese"), "x"),
    **dict.fromkeys(("degrees_north", "degree_north", "degrees_n", "degree_n", "degreen", "degreesn"), "y"),
}
"""Units that only longitudes, or only latitudes, have (CF conventions, 4.1 and 4.2), in lower case."""

_NAMES: dict[str, Role] = {
    **dict.fromkeys(("x", "lon", "long", "longitude", "easting", "eastings", "east", "xc", "x_coord", "xcoord"), "x"),
    **dict.fromkeys(("y", "lat", "latitude", "northing", "northings", "north", "yc", "y_coord", "ycoord"), "y"),
    **dict.fromkeys(
        ("time", "t", "times", "date", "dates", "datetime", "time_stamp", "timestamp", "valid_time", "acquisition_time",
         "phenomenon_time_start", "day"),
        "time",
    ),
    **dict.fromkeys(("band", "bands", "variable", "variables", "channel", "channels", "spectral", "b"), "band"),
}  # fmt: skip

_SINCE = re.compile(r"\s(since|after|from|ref)\s", re.I)


@dataclass(frozen=True)
class Axes:
    """The dimensions of an array.

    Attributes:
        x: place of the dimension along x, and its coordinate variable, None where it has none.
        y: the same along y.
        time: the same of the time; the place is None where the array has no time dimension.
        band: place and coordinate variable of the dimension with bands; both None where it has none.
    """

    x: tuple[int, Array | None]
    y: tuple[int, Array | None]
    time: tuple[int | None, Array | None]
    band: tuple[int | None, Array | None]


def role_of(name: str, coordinate: Array | None) -> Role | None:
    """What a dimension is: by the attributes of its coordinate variable, and by its name where they don't decide.

    Raises:
        Unusable: the attributes contradict each other.
    """
    said: dict[str, Role] = {}
    if coordinate is not None:
        for key, roles in (
            ("axis", _BY_AXIS),
            ("standard_name", _BY_STANDARD_NAME),
            ("_CoordinateAxisType", _BY_TYPE),
        ):
            value = str(coordinate.attributes.get(key, ""))
            if value in roles:
                said[f"{key}={value}"] = roles[value]
        units = str(coordinate.attributes.get("units", ""))
        by_units = _DEGREES.get(units.lower()) or ("time" if _SINCE.search(units) else None)
        if by_units:
            said[f"units={units}"] = by_units
        elif coordinate.dtype.kind == "M":
            said[f"dtype={coordinate.dtype}"] = "time"
    if len(set(said.values())) > 1:
        raise Unusable(
            f"has attributes of its coordinate {name} that contradict each other: {', '.join(sorted(said))}"
        )
    role = next(iter(said.values()), None) or _NAMES.get(name.lower())
    if role is None and coordinate is not None and coordinate.dtype == object:
        return "band"  # texts along a dimension are names
    return role


def axes_of(array: Array, container: Container) -> Axes | None:
    """The dimensions of an array; None where it has no x or no y, so that it is no picture.

    Raises:
        Unusable: a dimension can't be identified, or two are the same.
    """
    roles: dict[Role, tuple[int, Array | None]] = {}
    unknown = []
    for place, name in enumerate(array.dims):
        coordinate = coordinate_of(array, place, container)
        role = role_of(name, coordinate)
        if role is None:
            unknown.append(place)
        elif role in roles:
            other = array.dims[roles[role][0]]
            raise Unusable(f"has two dimensions along {role} in {array.name}: {other} and {name}")
        else:
            roles[role] = place, coordinate
    if "x" not in roles or "y" not in roles:
        return None
    several = [place for place in unknown if array.shape[place] > 1]
    if several:
        names = ", ".join(f"{array.dims[place]} of length {array.shape[place]}" for place in several)
        raise Unusable(
            f"has a dimension in {array.name} that is neither time, band, y nor x: {names}; choose one value"
        )
    time = roles.get("time") or (None, _scalar_time(array, container))
    return Axes(roles["x"], roles["y"], time, roles.get("band") or (None, None))


def coordinate_of(array: Array, place: int, container: Container) -> Array | None:
    """The coordinate variable of a dimension: of the same name, else the only one along it that says what it is."""
    name, length = array.dims[place], array.shape[place]
    own = container.nearest(array.group, name)
    if own is not None and own.shape == (length,) and own.dims in ((name,), ("#0",)):
        return own
    along = [
        each
        for each in container.arrays.values()
        if each.dims == (name,) and each.shape == (length,) and array.name.startswith(each.group)
    ]
    known = [each for each in along if role_of(each.leaf, each) is not None]
    return known[0] if len(known) == 1 else None


def companions(array: Array, place: int, container: Container) -> list[Array]:
    """All variables along one dimension of an array only, such as the names of bands."""
    name, length = array.dims[place], array.shape[place]
    return [each for each in container.arrays.values() if each.dims == (name,) and each.shape == (length,)]


def _scalar_time(array: Array, container: Container) -> Array | None:
    """A time that holds for the whole array: a coordinate of length 1 without a dimension, or with one of its own."""
    times = [
        each
        for each in container.arrays.values()
        if each.shape in ((), (1,))
        and array.name.startswith(each.group)
        and role_of(each.leaf, each) == "time"
    ]
    named = [each for each in times if each.leaf in str(array.attributes.get("coordinates", "")).split()]
    best = named or times
    return best[0] if len(best) == 1 else next((each for each in best if each.leaf == "time"), None)
