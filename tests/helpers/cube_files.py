"""Writers of data cubes for tests: NetCDF as openEO writes it, and Zarr version 2, with one variable for each band."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio.crs
from affine import Affine
from made_up import CRS, ORIGIN
from numpy.typing import NDArray
from product_files import YEAR, radar, scl
from scipy.io import netcdf_file

from tessera_engine.scene import S2_BANDS

WKT = rasterio.crs.CRS.from_string(CRS).to_wkt()

Variables = dict[str, tuple[NDArray, dict]]
"""Name -> (T, H, W) and attributes."""


def s2_variables(arrays: dict[str, NDArray], prefix: str = "") -> Variables:
    variables: Variables = {
        f"{prefix}{band}": (arrays["bands"][..., i].astype(np.int16), {}) for i, band in enumerate(S2_BANDS)
    }
    variables[f"{prefix}SCL"] = (scl(arrays["masks"]).astype(np.int16), {})
    return variables


def s1_variables(arrays: dict[str, NDArray], orbit: str, units: str | None = "power") -> Variables:
    attributes = {} if units is None else {"units": {"db": "dB"}.get(units, units)}
    values = radar(arrays[f"sar_{orbit}"], units or "power")
    return {f"{channel}_{orbit}": (values[..., i], attributes) for i, channel in enumerate(("VV", "VH"))}


def write_netcdf(path: Path, variables: Variables, doys: NDArray, transform: Affine = ORIGIN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(variables.values()))[0]
    with netcdf_file(str(path), "w") as file:
        file.Conventions = "CF-1.9"
        for name, (values, attributes) in _coordinates(doys, first.shape, transform).items():
            file.createDimension(name, len(values))
            variable = file.createVariable(name, "d", (name,))
            variable[:] = values
            _set(variable, attributes)
        _set(file.createVariable("crs", "i", ()), {"crs_wkt": WKT, "spatial_ref": WKT})
        for name, (values, attributes) in variables.items():
            variable = file.createVariable(name, values.dtype.newbyteorder(">"), ("t", "y", "x"))
            variable[:] = values
            _set(variable, {**attributes, "grid_mapping": "crs"})
    return path


def _set(variable, attributes: dict) -> None:
    for key, value in attributes.items():
        setattr(variable, key, value)


def write_zarr(path: Path, variables: Variables, doys: NDArray, transform: Affine = ORIGIN) -> Path:
    path.mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    first = next(iter(variables.values()))[0]
    for name, (values, attributes) in _coordinates(doys, first.shape, transform).items():
        _write_array(path / name, values, {**attributes, "_ARRAY_DIMENSIONS": [name]})
    _write_array(path / "crs", np.array(0), {"crs_wkt": WKT, "spatial_ref": WKT, "_ARRAY_DIMENSIONS": []})
    for name, (values, attributes) in variables.items():
        mapping = {"grid_mapping": "crs", "_ARRAY_DIMENSIONS": ["t", "y", "x"]}
        _write_array(path / name, values, {**attributes, **mapping})
    return path


def _write_array(folder: Path, values: NDArray, attributes: dict) -> None:
    """One uncompressed chunk."""
    folder.mkdir()
    header = {
        "zarr_format": 2, "shape": list(values.shape), "chunks": list(values.shape), "dtype": values.dtype.str,
        "compressor": None, "fill_value": None, "order": "C", "filters": None,
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(header))
    (folder / ".zattrs").write_text(json.dumps(attributes))
    (folder / (".".join("0" * values.ndim) or "0")).write_bytes(values.tobytes())


def _coordinates(doys: NDArray, shape: tuple[int, ...], transform: Affine) -> dict[str, tuple[NDArray, dict]]:
    xs = transform.c + transform.a * (np.arange(shape[2]) + 0.5)
    ys = transform.f + transform.e * (np.arange(shape[1]) + 0.5)
    return {
        "t": (doys.astype(float), {"units": f"days since {YEAR - 1}-12-31", "calendar": "standard"}),
        "y": (ys, {"standard_name": "projection_y_coordinate", "units": "m"}),
        "x": (xs, {"standard_name": "projection_x_coordinate", "units": "m"}),
    }
