"""Writes one scene as a cube in any of the forms that people have: formats, orders, dtypes, times, names, places of the CRS."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from cube_files import WKT
from made_up import CRS, ORIGIN
from numpy.typing import NDArray
from product_files import YEAR, scl
from scipy.io import netcdf_file

from tessera_engine.scene import S2_BANDS

Variables = dict[str, tuple[tuple[str, ...], NDArray, dict[str, Any]]]
"""Name -> dimensions, values and attributes."""

EARTH_ENGINE = {band: f"B{int(band[1:])}" if band[1:].isdigit() else band for band in S2_BANDS} | {
    "SCL": "SCL"
}
STAC = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3", "B08": "nir",
    "B8A": "nir08", "B11": "swir16", "B12": "swir22", "SCL": "scl",
}  # fmt: skip
NAMINGS = {
    "ESA": {band: band for band in (*S2_BANDS, "SCL")},
    "Earth Engine": EARTH_ENGINE,
    "STAC": STAC,
    "EOPF": {band: band.lower() for band in (*S2_BANDS, "SCL")},
    "with resolution": {
        band: f"{band}_{10 if band in ('B02', 'B03', 'B04', 'B08') else 20}m" for band in (*S2_BANDS, "SCL")
    },
    "openEO": {band: f"S2-L2A-{band}" for band in (*S2_BANDS, "SCL")},
    "short": {band: name.lower() for band, name in EARTH_ENGINE.items()},
}

TIMES = {
    "days since 1970-1-1": (datetime(1970, 1, 1), 86_400e9),
    "day since 2020-12-31 00:00:00 +0:00": (datetime(2020, 12, 31), 86_400e9),
    "hours since 1900-01-01T00:00:00Z": (datetime(1900, 1, 1), 3_600e9),
    "minutes since 2021-01-01 0:0:0": (datetime(2021, 1, 1), 60e9),
    "seconds since 1970-01-01 00:00:00.000000 UTC": (datetime(1970, 1, 1), 1e9),
    "milliseconds since 1970-01-01": (datetime(1970, 1, 1), 1e6),
    "nanoseconds since 1970-01-01": (datetime(1970, 1, 1), 1),
}


@dataclass
class Form:
    """How a cube is written.

    Attributes:
        container: `nc3`, `nc4`, `zarr2`, `zarr3` or `zarr.zip`.
        order: of the dimensions.
        down: y falls from row to row.
        right: x grows from column to column.
        dtype: of bands.
        mask: `SCL` or `clear`.
        mask_dtype: of the mask.
        naming: a key of `NAMINGS`.
        band_dimension: bands are a dimension of one variable.
        x: name of the dimension x.
        y: name of the dimension y.
        axis_attributes: attributes of x and y: `none`, `standard_name`, `axis` or `type`.
        coordinate_dtype: of x and y.
        time_units: a key of `TIMES`, or `text`.
        crs: where the CRS is: `grid_mapping`, `unreferenced`, `variable attribute`, `global attribute`, `epsg variable`.
        chunks: dates, rows and columns of a chunk; None: not chunked.
        packed: `no`, `scale` (0.0001), `fill` (a _FillValue), `float` (reflectance).
    """

    container: str = "nc3"
    order: tuple[str, str, str] = ("time", "y", "x")
    down: bool = True
    right: bool = True
    dtype: str = "int16"
    mask: str = "SCL"
    mask_dtype: str = "uint8"
    naming: str = "ESA"
    band_dimension: bool = False
    x: str = "x"
    y: str = "y"
    axis_attributes: str = "standard_name"
    coordinate_dtype: str = "float64"
    time_units: str = "days since 1970-1-1"
    crs: str = "grid_mapping"
    chunks: tuple[int, int, int] | None = None
    packed: str = "no"
    attributes: dict[str, Any] = field(default_factory=dict)


def days_of(doys: NDArray) -> list[date]:
    return [date(YEAR, 1, 1) + timedelta(int(doy) - 1) for doy in doys]


def variables_of(arrays: dict[str, NDArray], form: Form) -> tuple[Variables, dict[str, Any]]:
    """The variables of a cube with Sentinel-2, and the attributes of the whole file."""
    names = NAMINGS[form.naming]
    height, width = arrays["masks"].shape[1:]
    xs = ORIGIN.c + 10 * (np.arange(width) + 0.5)
    ys = ORIGIN.f - 10 * (np.arange(height) + 0.5)
    xs, ys = xs[:: 1 if form.right else -1], ys[:: 1 if form.down else -1]
    found: Variables = {
        form.x: ((form.x,), xs.astype(form.coordinate_dtype), _axis("x", form)),
        form.y: ((form.y,), ys.astype(form.coordinate_dtype), _axis("y", form)),
        "time": _times(arrays["doys"], form),
    }
    mapping: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    if form.crs in ("grid_mapping", "unreferenced"):
        found["spatial_ref"] = ((), np.array(0, "int32"), {"crs_wkt": WKT})
        mapping = {"grid_mapping": "spatial_ref"} if form.crs == "grid_mapping" else {}
    elif form.crs == "variable attribute":
        mapping = {"crs": CRS}
    elif form.crs == "global attribute":
        whole = {"crs": f"+init={CRS.lower()}"}
    else:
        found["epsg"] = ((), np.array(int(CRS.split(":")[1]), "int32"), {})
    optical = {names[band]: arrays["bands"][..., i] for i, band in enumerate(S2_BANDS)}
    mask = scl(arrays["masks"]) if form.mask == "SCL" else arrays["masks"]
    mask_name = names["SCL"] if form.mask == "SCL" else "clear"
    if form.band_dimension:
        stack = np.stack([*optical.values(), mask], 1).astype(form.dtype)
        found["band"] = (("band",), np.array([*optical, mask_name], object), {})
        values = np.stack([_ordered(stack[:, i], form) for i in range(stack.shape[1])], 1)
        dims = (_dims(form)[0], "band", *_dims(form)[1:])
        found["reflectance"] = (dims, values, mapping)
        return found, whole
    for name, numbers in optical.items():
        values, attributes = _packed(_ordered(numbers, form), form)
        found[name] = (_dims(form), values, {**attributes, **mapping})
    found[mask_name] = (_dims(form), _ordered(mask, form).astype(form.mask_dtype), mapping)
    return found, whole


def write(folder: Path, arrays: dict[str, NDArray], form: Form, name: str = "s2") -> Path:
    """Write a cube with Sentinel-2; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    variables, whole = variables_of(arrays, form)
    return store(folder, variables, whole, form, name)


def store(folder: Path, variables: Variables, whole: dict[str, Any], form: Form, name: str = "s2") -> Path:
    """Write variables in the form's container."""
    if form.container == "nc3":
        return _netcdf3(folder / f"{name}.nc", variables, whole)
    if form.container == "nc4":
        return _netcdf4(folder / f"{name}.nc", variables, whole, form)
    return _zarr(folder, name, variables, whole, form)


def _dims(form: Form) -> tuple[str, ...]:
    return tuple({"x": form.x, "y": form.y}.get(each, each) for each in form.order)


def _ordered(values: NDArray, form: Form) -> NDArray:
    values = values[:, :: 1 if form.down else -1, :: 1 if form.right else -1]
    return np.ascontiguousarray(values.transpose([("time", "y", "x").index(each) for each in form.order]))


def _packed(values: NDArray, form: Form) -> tuple[NDArray, dict[str, Any]]:
    if form.packed == "float":
        reflectance = np.where(values == 0, np.nan, values / 10_000)
        return reflectance.astype("float32" if form.dtype == "float32" else "float64"), {}
    numbers = values.astype(form.dtype)
    if form.packed == "scale":
        return numbers, {"scale_factor": 0.0001, "add_offset": 0.0}
    if form.packed == "fill":
        fill = np.nan if numbers.dtype.kind == "f" else numbers.dtype.type(-999)
        return np.where(values == 0, fill, numbers), {"_FillValue": fill}
    return numbers, {}


def _axis(axis: str, form: Form) -> dict[str, Any]:
    return {
        "none": {},
        "standard_name": {"standard_name": f"projection_{axis}_coordinate", "units": "m"},
        "axis": {"axis": axis.upper()},
        "type": {"_CoordinateAxisType": f"Geo{axis.upper()}"},
    }[form.axis_attributes]


def _times(doys: NDArray, form: Form) -> tuple[tuple[str, ...], NDArray, dict[str, Any]]:
    moments = [datetime(day.year, day.month, day.day, 10, 50) for day in days_of(doys)]
    if form.time_units == "text":
        return ("time",), np.array([each.isoformat() for each in moments], object), {}
    start, step = TIMES[form.time_units]
    nanoseconds = [int((each - start).total_seconds()) * 10**9 for each in moments]
    values = np.array([each / step for each in nanoseconds], "float64")
    if step == 1:
        values = np.array(nanoseconds, "int64" if form.container != "nc3" else "float64")
    return ("time",), values, {"units": form.time_units, "calendar": "proleptic_gregorian"}


def _sizes(variables: Variables) -> dict[str, int]:
    return {
        dim: length
        for dims, values, _ in variables.values()
        for dim, length in zip(dims, values.shape, strict=True)
    }


def _netcdf3(path: Path, variables: Variables, whole: dict[str, Any]) -> Path:
    with netcdf_file(str(path), "w", version=2) as file:
        for dim, length in _sizes(variables).items():
            file.createDimension(dim, length)
        for name, (dims, values, attributes) in variables.items():
            if values.dtype == object:
                values = np.array([str(each) for each in values], "S").reshape(-1, 1).view("S1")
                file.createDimension(f"{name}_length", values.shape[1])
                dims = (*dims, f"{name}_length")
            elif values.dtype in (np.uint8, bool):  # the format has no such type
                values, attributes = values.view("int8"), {**attributes, "_Unsigned": "true"}
            variable = file.createVariable(
                name, values.dtype.newbyteorder(">") if values.dtype != "S1" else "c", dims
            )
            variable[...] = values
            for key, value in attributes.items():
                setattr(variable, key, value)
        for key, value in whole.items():
            setattr(file, key, value)
    return path


def _netcdf4(path: Path, variables: Variables, whole: dict[str, Any], form: Form) -> Path:
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for dim, length in _sizes(variables).items():
            file.createDimension(dim, length)
        for name, (dims, values, attributes) in variables.items():
            options: dict[str, Any] = {}
            if form.chunks and len(dims) >= 3:
                options = {"zlib": True, "shuffle": True, "chunksizes": _chunks(dims, values.shape, form)}
            fill = attributes.get("_FillValue")
            dtype = str if values.dtype == object else "i1" if values.dtype == bool else values.dtype
            variable = file.createVariable(name, dtype, dims, fill_value=fill, **options)
            variable.set_auto_maskandscale(False)
            variable[...] = values.astype("i1") if values.dtype == bool else values
            variable.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
        file.setncatts(whole)
    return path


def _chunks(dims: tuple[str, ...], shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
    assert form.chunks is not None
    wanted = dict(zip(("time", form.y, form.x), form.chunks, strict=True))
    return tuple(min(wanted.get(dim, length), length) for dim, length in zip(dims, shape, strict=True))


def _zarr(folder: Path, name: str, variables: Variables, whole: dict[str, Any], form: Form) -> Path:
    import zarr

    version = 2 if form.container == "zarr2" else 3
    path = folder / f"{name}.zarr"
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    root.attrs.update(whole)
    for each, (dims, values, attributes) in variables.items():
        if values.dtype == object:
            values = np.array([str(value) for value in values], "U")
        chunks = _chunks(dims, values.shape, form) if form.chunks and len(dims) >= 3 else values.shape or None
        dimension_names = {"dimension_names": list(dims)} if version == 3 else {}
        if chunks is None:
            array = root.create_array(each, shape=(), dtype=values.dtype, **dimension_names)
        else:
            array = root.create_array(
                each, shape=values.shape, dtype=values.dtype, chunks=chunks, **dimension_names
            )
        array[...] = values
        plain = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in attributes.items()
        }
        plain = {key: "NaN" if value != value else value for key, value in plain.items()}
        array.attrs.update({**plain, **({"_ARRAY_DIMENSIONS": list(dims)} if version == 2 else {})})
    if form.container != "zarr.zip":
        return path
    packed = folder / f"{name}.zarr.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(path))
    shutil.rmtree(path)
    return packed
