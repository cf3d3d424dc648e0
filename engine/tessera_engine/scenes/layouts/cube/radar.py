"""Sentinel-1 products of a cube: one for each date and orbit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tessera_engine.scenes.layouts.cube.bands import Band
from tessera_engine.scenes.layouts.cube.names import CHANNELS
from tessera_engine.scenes.layouts.cube.optical import asset
from tessera_engine.scenes.layouts.cube.packing import backscatter
from tessera_engine.scenes.layouts.cube.planes import Layer
from tessera_engine.scenes.products import ORBITS, Found, Orbit, S1Product, S1Units, Unusable

_UNITS: dict[str, S1Units] = {
    "db": "db", "decibel": "db", "decibels": "db", "power": "power", "linear": "power", "linear power": "power",
    "gamma0 power": "power", "amplitude": "amplitude",
}  # fmt: skip


def add_s1(found: Found, path: Path, bands: Mapping[str, Sequence[Band]]) -> None:
    """Add the Sentinel-1 dates of a cube.

    Raises:
        Unusable: the cube has a channel, and can't be used.
    """
    every = [band for channel in CHANNELS for band in bands.get(channel, ())]
    for band in every:
        if "sigma0" in band.name.lower():
            raise Unusable(f"has sigma0 in {band.name}, expected terrain-corrected gamma0")
        if None in band.orbits:
            raise Unusable(
                f"has no orbit for {band.name}: rename it {band.name}_ascending or _descending, or set its attribute "
                "orbit_state"
            )
    layers = {band: band.layer(backscatter(band.packing, band.array.dtype)) for band in every}
    for orbit in ORBITS:
        vv, vh = (_of_orbit(bands.get(channel, ()), orbit) for channel in CHANNELS)
        if vv is not None or vh is not None:
            found.s1 += _products(path, orbit, vv, vh, layers)


def _of_orbit(bands: Sequence[Band], orbit: Orbit) -> Band | None:
    return next((band for band in bands if orbit in band.orbits), None)


def _products(
    path: Path, orbit: Orbit, vv: Band | None, vh: Band | None, layers: Mapping[Band, Layer]
) -> list[S1Product]:
    one = vv or vh
    assert one is not None
    if vv and vh and (vv.times != vh.times or vv.orbits != vh.orbits or _units(vv) != _units(vh)):
        raise Unusable(f"has different times or units in {vh.name} and {vv.name}, expected the same")
    return [
        S1Product(
            name=f"{path.name}/{time.isoformat()}/{orbit}",
            source=path,
            date=time.date(),
            orbit=orbit,
            vv=asset(path, layers[vv], i) if vv else None,
            vh=asset(path, layers[vh], i) if vh else None,
            units=_UNITS.get(_units(one)),
        )
        for i, time in enumerate(one.times)
        if one.orbits[i] == orbit
    ]


def _units(band: Band) -> str:
    return str(band.array.attributes.get("units", "")).strip().lower()
