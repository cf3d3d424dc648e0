"""Data cubes as openEO and xarray write them: NetCDF files or Zarr stores (version 2), one variable for each band.

GDAL shows each variable as a raster with one band for each time, so no other package is needed.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.band_names import COMMON_NAMES
from tessera_engine.scenes.metadata.baseline import OFFSET
from tessera_engine.scenes.metadata.channels import half_products
from tessera_engine.scenes.products import (
    ORBITS,
    Asset,
    Found,
    Listing,
    Orbit,
    Problem,
    S1Product,
    S1Units,
    S2Product,
    Unusable,
)
from tessera_engine.scenes.reading.rasters import opened

_BAND = re.compile(r"(?:^|[^A-Za-z0-9])(B\d[\dA]|SCL|VV|VH)(?:$|[^A-Za-z0-9])")
_FROM_COMMON = {common: band for band, common in COMMON_NAMES.items()} | {"clear": "clear"}
_ORBIT_IN_NAME = re.compile(r"[-_](asc|desc)(?:ending)?$", re.I)
_ORBIT_ATTRIBUTE = "orbit_state"
_UNITS: dict[str, S1Units] = {"db": "db", "decibel": "db", "power": "power", "amplitude": "amplitude"}
_DIMENSION = re.compile(r"NETCDF_DIM_(?P<netcdf>\w+)|DIM_(?P<zarr>\w+)_VALUE")
_SINCE = re.compile(r"(?P<step>days|hours|minutes|seconds|milliseconds|microseconds) since (?P<start>.+)")
_PLAIN_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")


class _Variable(NamedTuple):
    """One variable of a cube: a Sentinel-2 band, a mask or a Sentinel-1 channel at all times."""

    name: str
    asset: Asset
    times: tuple[datetime, ...]
    dtype: str
    scale: float
    offset: float
    units: str
    orbit: Orbit | None


def find(listing: Listing) -> Found:
    """Find the cubes of a scene folder that have bands of Sentinel-2 L2A or Sentinel-1; reads headers only."""
    found = Found()
    found.claimed.update(_cubes(listing))
    for path in _cubes(listing):
        try:
            _refuse_links(path, listing)
            variables = _variables(path)
        except Unusable as error:
            found.problems.append(Problem(path, str(error)))
            continue
        reasons = []
        for add in (_add_s2, _add_s1):
            try:
                add(found, path, variables)
            except Unusable as error:
                reasons.append(str(error))
        if reasons:
            found.problems.append(Problem(path, "; ".join(reasons)))
    found.warnings += half_products(found.s1, "the cube")
    return found


def _cubes(listing: Listing) -> list[Path]:
    """NetCDF files and the folders of Zarr stores."""
    files = [path for path in listing.files if path.suffix.lower() == ".nc"]
    stores = {
        parent
        for path in listing.files
        for parent in (path, *path.parents)
        if parent.suffix.lower() == ".zarr" and parent.is_relative_to(listing.folder)
    }
    return sorted({*files, *stores})


def _refuse_links(path: Path, listing: Listing) -> None:
    """Refuse a store with links that lead out of the scene folder: GDAL opens a store as a whole and follows them."""
    if any(problem.source.is_relative_to(path) for problem in listing.problems):
        raise Unusable("has links that lead out of the scene folder; replace them by copies of the files")


def _variables(path: Path) -> dict[str, list[_Variable]]:
    """Band, SCL, VV, VH or `clear` -> the variables of a cube that hold it; other variables are left out."""
    kind = "ZARR" if path.suffix.lower() == ".zarr" else "NETCDF"
    whole = Asset(path, name=f'{kind}:"{path}"')
    if (path / "zarr.json").exists():
        raise Unusable(
            "is a Zarr store of version 3, expected version 2: save it with zarr_format=2, or as NetCDF"
        )
    with opened(whole) as dataset:
        names = [name.rsplit(":", 1)[1].lstrip("/") for name in dataset.subdatasets]
        if not names and dataset.count:
            names = [dataset.tags(1).get("NETCDF_VARNAME", "")]
    found: dict[str, list[_Variable]] = {}
    for name in names:
        match = _BAND.search(name)
        band = match[1] if match else _FROM_COMMON.get(name.lower())
        if band is not None:
            asset = Asset(path, name=f'{kind}:"{path}":{"/" if kind == "ZARR" else ""}{name}')
            with opened(asset) as dataset:
                found.setdefault(band, []).append(_variable(name, asset, dataset))
    return found


def _variable(name: str, asset: Asset, dataset: Any) -> _Variable:
    tags, own = dataset.tags(), dataset.tags(1)
    in_name = _ORBIT_IN_NAME.search(name)
    attributes = {**tags, **own}  # GDAL returns the attributes of a variable in one or the other
    attribute = attributes.get(_ORBIT_ATTRIBUTE, tags.get(f"NC_GLOBAL#{_ORBIT_ATTRIBUTE}", ""))
    orbit = in_name[1] if in_name else attribute
    return _Variable(
        name=name,
        asset=asset,
        times=tuple(_time(name, tags, dataset.tags(i)) for i in dataset.indexes),
        dtype=dataset.dtypes[0],
        scale=dataset.scales[0],
        offset=dataset.offsets[0],
        units=dataset.units[0] or own.get("units", ""),
        orbit=next((each for each in ORBITS if orbit and each.startswith(orbit.lower())), None),
    )


def _time(name: str, tags: dict[str, str], own: dict[str, str]) -> datetime:
    """The time of one raster band of a variable, from GDAL's tags of dimensions."""
    dimensions = [match for key in own if (match := _DIMENSION.fullmatch(key))]
    if len(dimensions) != 1:
        raise Unusable(f"has {len(dimensions) + 2} dimensions in its variable {name}, expected time, y and x")
    dimension = dimensions[0]["netcdf"] or dimensions[0]["zarr"]
    units = tags.get(f"{dimension}#units") or own.get(f"DIM_{dimension}_UNIT", "")
    calendar = tags.get(f"{dimension}#calendar", "")
    since = _SINCE.fullmatch(units.strip())
    try:
        if since is None or calendar not in _PLAIN_CALENDARS:
            raise ValueError(units)
        start = datetime.fromisoformat(
            since["start"].strip().replace("Z", "").removesuffix(" UTC").split(".")[0]
        )
        return start + timedelta(**{since["step"]: float(own[dimensions[0][0]])})
    except (ValueError, OverflowError, KeyError):
        raise Unusable(
            f"has the dimension {dimension} in {units or 'no units'} {calendar}".rstrip()
            + ", expected a time as in 'days since 2021-01-01'"
        ) from None


def _add_s2(found: Found, path: Path, variables: dict[str, list[_Variable]]) -> None:
    if not any(band in variables for band in S2_BANDS):
        return
    missing = [band for band in S2_BANDS if band not in variables]
    if "SCL" not in variables and "clear" not in variables:
        missing.append("SCL (or a variable 'clear', 1 where it is clear)")
    if missing:
        raise Unusable(f"lacks {', '.join(missing)}: all ten bands and a mask are needed")
    mask_kind = "SCL" if "SCL" in variables else "clear"
    used = [variables[band][0] for band in (*S2_BANDS, mask_kind)]
    for variable in used:
        if variable.times != used[0].times:
            raise Unusable(f"has different times in {variable.name} and {used[0].name}, expected the same")
        if "int" not in variable.dtype:
            raise Unusable(
                f"has {variable.dtype} in {variable.name}, expected whole numbers: "
                "reflectance * 10000 (or classes) as integers"
            )
    offset = _offset(used[:-1])
    for i, time in enumerate(used[0].times, 1):
        bands = {band: variables[band][0].asset._replace(band=i) for band in S2_BANDS}
        mask = used[-1].asset._replace(band=i)
        found.s2.append(
            S2Product(
                name=f"{path.name}/{time.isoformat()}",
                source=path,
                date=time.date(),
                bands=bands,
                mask=mask,
                offset=offset or 0,
                mask_kind="scl" if mask_kind == "SCL" else "clear",
            )
        )
    if offset is None:
        found.warnings.append(
            f"{path.name} has no metadata about the baseline offset: it is read as already removed, as openEO "
            "delivers it"
        )


def _offset(variables: list[_Variable]) -> int | None:
    """The number to subtract, from scale_factor and add_offset; None where there are none."""
    packed = {(variable.scale, variable.offset) for variable in variables}
    if packed == {(1.0, 0.0)}:
        return None
    offsets = {round(-offset / scale) if scale else 1 for scale, offset in packed}
    if (
        {round(scale * 10000, 6) for scale, _ in packed} != {1}
        or not offsets <= {0, OFFSET}
        or len(offsets) > 1
    ):
        raise Unusable(
            f"has scale_factor and add_offset {sorted(packed)}, expected 0.0001 and 0 or -0.1 for all bands"
        )
    return offsets.pop()


def _add_s1(found: Found, path: Path, variables: dict[str, list[_Variable]]) -> None:
    every = [*variables.get("VV", ()), *variables.get("VH", ())]
    for variable in every:
        if "sigma0" in variable.name.lower():
            raise Unusable(f"has sigma0 in {variable.name}, expected terrain-corrected gamma0")
        if variable.orbit is None:
            raise Unusable(
                f"has no orbit for {variable.name}: rename it {variable.name}_ascending or _descending, or set its "
                f"attribute {_ORBIT_ATTRIBUTE}"
            )
        if (variable.scale, variable.offset) != (1.0, 0.0):
            raise Unusable(f"has scale_factor or add_offset on {variable.name}, expected plain values")
    for orbit in ORBITS:
        vv = next((each for each in variables.get("VV", ()) if each.orbit == orbit), None)
        vh = next((each for each in variables.get("VH", ()) if each.orbit == orbit), None)
        one = vv or vh
        if one is None:
            continue
        if vv and vh and (vv.times != vh.times or vv.units != vh.units):
            raise Unusable(f"has different times or units in {vh.name} and {vv.name}, expected the same")
        for i, time in enumerate(one.times, 1):
            found.s1.append(
                S1Product(
                    name=f"{path.name}/{time.isoformat()}/{orbit}",
                    source=path,
                    date=time.date(),
                    orbit=orbit,
                    vv=vv.asset._replace(band=i) if vv else None,
                    vh=vh.asset._replace(band=i) if vh else None,
                    units=_UNITS.get(one.units.strip().lower()),
                )
            )
