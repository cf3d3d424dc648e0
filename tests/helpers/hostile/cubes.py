"""Cubes whose content leads elsewhere."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
from cube_files import WKT, _coordinates, s2_variables, write_zarr
from made_up import ORIGIN
from product_files import product_arrays

from hostile.elsewhere import bad_crs, vrt
from hostile.kit import SIDE, URL, Commands, Kit, Opens, cube


@cube
def zarr_cubes(kit: Kit) -> Commands:
    arrays = product_arrays(SIDE, SIDE, 3)
    commands = []

    def copy(name: str) -> Path:
        store = write_zarr(kit.folder / name / "c.zarr", s2_variables(arrays), arrays["doys"])
        commands.append(["info", str(kit.folder / name)])
        commands.append(["embed", str(kit.folder / name), "-q", "--int8", "-o", f"zarr-{name}"])
        return store

    store = copy("chunk")
    (store / "B04" / "0.0.0").unlink()
    (store / "B04" / "0.0.0").symlink_to(kit.outside / "secret.bin")
    store = copy("array")
    shutil.rmtree(store / "B04")
    (store / "B04").symlink_to(kit.outside)
    for name, crs in bad_crs(kit).items():
        store = copy(f"crs-{name}")
        for attributes in store.glob("*/.zattrs"):
            content = json.loads(attributes.read_text())
            content["_CRS"] = {"url": crs, "wkt": crs}
            content |= {"crs_wkt": crs, "spatial_ref": crs} if "crs_wkt" in content else {}
            attributes.write_text(json.dumps(content))
    store = copy("pickle")
    header = json.loads((store / "B04" / ".zarray").read_text())
    header |= {"filters": [{"id": "pickle"}], "dtype": "|O"}
    (store / "B04" / ".zarray").write_text(json.dumps(header))
    (store / "B04" / "0.0.0").write_bytes(pickle.dumps(Opens(kit)))
    refs = {
        ".zgroup": '{"zarr_format":2}',
        "B04/.zarray": (kit.folder / "chunk/c.zarr/B04/.zarray").read_text(),
    }
    for name, where in (("url", f"{URL}/chunk"), ("file", str(kit.outside / "secret.bin"))):
        for form in ("c.zarr", "c.json"):
            (kit.folder / f"refs-{name}-{form}").mkdir()
            (kit.folder / f"refs-{name}-{form}" / form).write_text(
                json.dumps({"version": 1, "refs": {**refs, "B04/0.0.0": [where, 0, 100]}})
            )
            commands.append(["info", str(kit.folder / f"refs-{name}-{form}")])
    parquet = kit.folder / "parquet" / "c.zarr"
    parquet.mkdir(parents=True)
    (parquet / ".zmetadata").write_text(json.dumps({"metadata": refs, "record_size": 100}))
    commands.append(["info", str(parquet.parent)])
    return commands


@cube
def hdf5_cubes(kit: Kit) -> Commands:
    """NetCDF-4 files whose values, variables or groups lie in other files."""
    import h5py

    commands = []
    secret = str(kit.outside / "secret.bin")
    with h5py.File(kit.outside / "other.h5", "w") as other:
        other["B04"] = np.zeros((3, SIDE, SIDE), np.int16)
    for name in ("external-storage", "external-link", "virtual", "soft"):
        path = kit.folder / name / "c.nc"
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            write_cube(file)
            del file["B04"]
            if name == "external-storage":
                band = file.create_dataset("B04", (3, SIDE, SIDE), np.int16, external=[(secret, 0, 1 << 20)])
            elif name == "external-link":
                file["B04"] = h5py.ExternalLink(str(kit.outside / "other.h5"), "/B04")
                band = None
            elif name == "virtual":
                layout = h5py.VirtualLayout((3, SIDE, SIDE), np.int16)
                layout[:] = h5py.VirtualSource(str(kit.outside / "other.h5"), "B04", (3, SIDE, SIDE))
                band = file.create_virtual_dataset("B04", layout)
            else:
                file["more"] = h5py.ExternalLink(str(kit.outside / "other.h5"), "/")
                file["B04"] = h5py.SoftLink("/more/B04")
                band = None
            if band is not None:
                for axis, dimension in enumerate(("t", "y", "x")):
                    band.dims[axis].attach_scale(file[dimension])
        commands += [
            ["info", str(path.parent)],
            ["embed", str(path.parent), "-q", "--int8", "-o", f"h5-{name}"],
        ]
    (kit.folder / "text").mkdir()
    (kit.folder / "text" / "c.nc").write_text(vrt(f"/vsicurl/{URL}/nc.tif"))
    return [*commands, ["info", str(kit.folder / "text")]]


def write_cube(file) -> None:
    """An optical cube of three dates as NetCDF-4."""
    arrays = product_arrays(SIDE, SIDE, 3)
    for name, (values, attributes) in _coordinates(arrays["doys"], (3, SIDE, SIDE), ORIGIN).items():
        file[name] = values
        file[name].make_scale(name)
        file[name].attrs.update({key: np.bytes_(value) for key, value in attributes.items()})
    file["crs"] = np.int32(0)
    mapping = {"crs_wkt": WKT, "spatial_ref": WKT, "grid_mapping_name": "transverse_mercator"}
    file["crs"].attrs.update({key: np.bytes_(value) for key, value in mapping.items()})
    for name, (values, _) in s2_variables(arrays).items():
        file[name] = values
        file[name].attrs["grid_mapping"] = np.bytes_("crs")
        for axis, dimension in enumerate(("t", "y", "x")):
            file[name].dims[axis].attach_scale(file[dimension])
