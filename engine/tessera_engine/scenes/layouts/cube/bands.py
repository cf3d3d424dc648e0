"""The bands of a cube, each with its dates and its place on Earth, however the file names and orders them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from affine import Affine

from tessera_engine.scenes.layouts.cube.axes import Axes, axes_of, companions
from tessera_engine.scenes.layouts.cube.container import Array, Container
from tessera_engine.scenes.layouts.cube.crs import crs_of
from tessera_engine.scenes.layouts.cube.grid import transform_of
from tessera_engine.scenes.layouts.cube.names import CHANNELS, chosen, is_statistic, match
from tessera_engine.scenes.layouts.cube.packing import Convert, Packing, packing_of
from tessera_engine.scenes.layouts.cube.place import checked_place
from tessera_engine.scenes.layouts.cube.planes import Layer, Place
from tessera_engine.scenes.layouts.cube.times import moment_of_container, times_of
from tessera_engine.scenes.metadata.orbits import orbit_in
from tessera_engine.scenes.products import ORBITS, Orbit, Unusable

_ORBIT_IN_NAME = re.compile(r"(?:^|[-_/])(asc|desc)(?:ending)?(?:$|[-_/])", re.I)
_ORBIT_KEYS = ("orbit_state", "sat:orbit_state", "orbit", "orbit_direction", "orbitProperties_pass", "pass")
_NAME_LISTS = ("long_name", "band_names", "band_name", "bands", "descriptions", "band_descriptions", "names")
_SMALLEST_METRES = 0.01
_DEGREE_NAMES = ("lon", "long", "longitude", "lat", "latitude")


class _Source(NamedTuple):
    """An array, or one place along its dimension of bands."""

    array: Array
    band: int | None


@dataclass(frozen=True, eq=False)
class Band:
    """One band of a cube at all times.

    Attributes:
        name: the variable's, with the name of the band where that is a dimension.
        array: its values.
        place: the axes of the array.
        times: the moment of each date.
        crs: the CRS.
        transform: in the order of rows and columns as stored.
        packing: how values are stored.
        orbits: of each date, None where it isn't known; for Sentinel-1.
    """

    name: str
    array: Array
    place: Place
    times: tuple[datetime, ...]
    crs: str
    transform: Affine
    packing: Packing
    orbits: tuple[Orbit | None, ...]

    def layer(self, convert: Convert) -> Layer:
        """Its rasters, with values brought to what the engine reads."""
        return Layer(self.array, self.place, self.crs, self.transform, convert)


class CubeBands:
    """Finds the bands of one container; coordinates are read once."""

    def __init__(self, container: Container, moment: datetime | None = None) -> None:
        """Prepare to find bands.

        Args:
            container: the opened file or store.
            moment: the only moment of arrays without a dimension of time; None: as the container says.
        """
        self._container, self._moment = container, moment
        self._times: dict[Array, tuple[datetime, ...]] = {}
        self.unnamed: list[str] = []
        """Why arrays with a dimension of bands give none."""

    def find(self) -> dict[str, list[Band]]:
        """Band, mask or channel -> what holds it; several for channels of both orbits.

        Raises:
            Unusable: a band has no place, no dates, or several equally good names.
        """
        named: list[tuple[str, _Source]] = []
        for name, array in self._container.arrays.items():
            if len(array.shape) < 2 or array.dtype.kind not in "biuf":
                continue
            if match(array.leaf):
                named.append((name, _Source(array, None)))
            elif not is_statistic(array.leaf):
                named += self._along_a_dimension(array)
        orbits = {name: _orbit_word(name) for name, _ in named}
        picked = chosen(named, lambda name: _radar(name) and orbits[name])
        names = {id(source): name for name, source in named}
        return {
            band: [self._band(names[id(source)], source) for source in sources]
            for band, sources in picked.items()
        }

    def band(self, array: Array) -> Band:
        """The band that one array is, whatever its name.

        Raises:
            Unusable: it has no place or no dates.
        """
        return self._band(array.name, _Source(array, None))

    def _along_a_dimension(self, array: Array) -> list[tuple[str, _Source]]:
        try:
            axes = axes_of(array, self._container)
        except Unusable:
            return []  # an array that isn't of satellite bands may have any dimensions
        if axes is None or axes.band[0] is None:
            return []
        place, coordinate = axes.band
        assert place is not None
        labels = self._labels(array, place, coordinate)
        if labels is None:
            length = array.shape[place]
            self.unnamed.append(
                f"has {length} bands without names along the dimension {array.dims[place]} of {array.name}: give "
                "the names as its coordinate, such as B02, B03"
            )
            return []
        return [(f"{array.name}/{label}", _Source(array, i)) for i, label in enumerate(labels)]

    def _labels(self, array: Array, place: int, coordinate: Array | None) -> list[str] | None:
        """The names along a dimension of bands; None where none of them is a band's."""
        length = array.shape[place]
        texts = [
            each for each in (coordinate, *companions(array, place, self._container)) if each is not None
        ]
        lists: list[list[str]] = [
            [str(value) for value in each.values()] for each in texts if each.dtype == object
        ]
        places = [array.attributes, *([] if coordinate is None else [coordinate.attributes])]
        places += self._container.attributes_above(array)[1:]
        for attributes in places:
            for key in _NAME_LISTS:
                value = attributes.get(key)
                if isinstance(value, str):
                    value = re.split(r"[\s,;]+", value.strip("[]() ").replace("'", "").replace('"', ""))
                if isinstance(value, list) and len(value) == length:
                    lists.append([str(each) for each in value])
        return next((each for each in lists if any(match(_leaf(name)) for name in each)), None)

    def _band(self, name: str, source: _Source) -> Band:
        array = source.array
        axes = axes_of(array, self._container)
        if axes is None:
            raise Unusable(
                f"has no x and y among the dimensions of {array.name} ({', '.join(array.dims)}): name them x and "
                "y, or give their coordinates standard_name"
            )
        array.check_chunks()
        if 0 in array.shape:
            raise Unusable(f"has no values in {array.name}: its shape is {array.shape}")
        fixed = {
            axis: 0 for axis in range(len(array.shape)) if axis not in (axes.x[0], axes.y[0], axes.time[0])
        }
        band_axis = axes.band[0]
        if band_axis is not None and source.band is not None:
            fixed[band_axis] = source.band
        elif band_axis is not None and array.shape[band_axis] > 1:
            raise Unusable(f"has {array.shape[band_axis]} bands in its variable {array.name}, expected one")
        crs, mapping = crs_of(array, self._container, all(_in_degrees(array, axes, by_name=True)))
        transform = transform_of(
            (axes.x[1], array.shape[axes.x[0]]),
            (axes.y[1], array.shape[axes.y[0]]),
            [array.attributes, mapping, *self._container.attributes_above(array)[1:]],
        )
        geographic = _check_units(array, axes, crs, transform)
        shape = array.shape[axes.x[0]], array.shape[axes.y[0]]
        transform = checked_place(array.name, crs, geographic, transform, *shape)
        times = self._times_of(array, axes)
        return Band(
            name=name.replace(f"{array.name}/", f"{array.name} ") if source.band is not None else name,
            array=array,
            place=Place(axes.x[0], axes.y[0], axes.time[0], fixed),
            times=times,
            crs=crs,
            transform=transform,
            packing=packing_of(array),
            orbits=self._orbits(name, array, axes, len(times)),
        )

    def _times_of(self, array: Array, axes: Axes) -> tuple[datetime, ...]:
        place, coordinate = axes.time
        if place is None and self._moment is not None:
            return (self._moment,)
        if coordinate is None:
            if place is not None and array.shape[place] > 1:
                raise Unusable(
                    f"has no coordinate variable {array.dims[place]} for the times of {array.name}"
                )
            moment = moment_of_container(self._container.attributes_above(array), self._container.path)
            if moment is None:
                raise Unusable(
                    f"has no time for {array.name}: give it a coordinate time, or the file one date in its name, "
                    "such as 2021-01-04"
                )
            return (moment,)
        if coordinate not in self._times:
            self._times[coordinate] = times_of(coordinate)
        return self._times[coordinate]

    def _orbits(self, name: str, array: Array, axes: Axes, dates: int) -> tuple[Orbit | None, ...]:
        """By the variable's name, its attributes, a coordinate along time, the file's attributes, or its name."""
        word = _orbit_word(name)
        if word is None:
            word = next((str(array.attributes[key]) for key in _ORBIT_KEYS if key in array.attributes), None)
        if word is None and axes.time[0] is not None:
            along = companions(array, axes.time[0], self._container)
            known = [each for each in along if each.leaf in _ORBIT_KEYS and each.dtype == object]
            if known:
                return tuple(_orbit(str(value)) for value in known[0].values())
        if word is None:
            above = self._container.attributes_above(array)[1:]
            word = next((str(each[key]) for each in above for key in _ORBIT_KEYS if key in each), None)
        if word is None:
            scalars = [self._container.nearest(array.group, key) for key in _ORBIT_KEYS]
            word = next(
                (
                    str(each.values().ravel()[0])
                    for each in scalars
                    if each is not None and each.shape in ((), (1,))
                ),
                None,
            )
        return (_orbit(word) if word else orbit_in(self._container.path.stem),) * dates


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _radar(name: str) -> bool:
    found = match(_leaf(name))
    return found is not None and found.band in CHANNELS


def _orbit_word(name: str) -> str | None:
    found = _ORBIT_IN_NAME.search(name)
    return found[1].lower() if found else None


def _orbit(word: str) -> Orbit | None:
    return next((each for each in ORBITS if word and each.startswith(word.lower())), None)


def _in_degrees(array: Array, axes: Axes, by_name: bool) -> list[bool]:
    """Whether x is longitude, and y latitude, by what their coordinates say."""
    found = []
    for place, coordinate in (axes.x, axes.y):
        attributes = {} if coordinate is None else coordinate.attributes
        units = str(attributes.get("units", "")).lower()
        said = str(attributes.get("standard_name", "")) in _DEGREE_NAMES or units.startswith("degree")
        found.append(
            said or (by_name and array.dims[place].lower() in _DEGREE_NAMES and units in ("", "deg"))
        )
    return found


def _check_units(array: Array, axes: Axes, crs: str, transform: Affine) -> bool:
    """Whether a CRS is in degrees.

    Raises:
        Unusable: the coordinates are in degrees and the CRS in metres, or the reverse: one of the two is of another
            file.
    """
    from rasterio.crs import CRS

    geographic: bool = CRS.from_user_input(crs).is_geographic
    # Names alone don't count: some files call metres `lat`. But no pixel is smaller than a centimetre
    by_units = any(_in_degrees(array, axes, by_name=False)) or abs(transform.a) < _SMALLEST_METRES
    units = {
        str(each.attributes.get("units", "")).lower() for _, each in (axes.x, axes.y) if each is not None
    }
    if (by_units and not geographic) or (
        geographic and units & {"m", "metre", "meter", "metres", "meters", "km"}
    ):
        kind = "degrees" if by_units else "metres"
        raise Unusable(
            f"has coordinates in {kind} and the CRS {crs[:60]} for {array.name}; correct one of them"
        )
    return geographic
