"""Data cubes: NetCDF, HDF5 and Zarr, with a variable for each band or a dimension of bands; EOPF's products too.

Files are read by h5py and zarr, and the classic NetCDF format here. GDAL reads them too, but shows a variable as a
picture of its last two dimensions, whatever these are, and its netCDF driver stops for good when several threads open
files.
"""

from __future__ import annotations

import re
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.gdal import gdal_options
from tessera_engine.scenes.layouts.cube import eopf
from tessera_engine.scenes.layouts.cube.bands import CubeBands
from tessera_engine.scenes.layouts.cube.container import Container
from tessera_engine.scenes.layouts.cube.netcdf3 import MAGIC as NETCDF3
from tessera_engine.scenes.layouts.cube.netcdf3 import open_netcdf3
from tessera_engine.scenes.layouts.cube.optical import add_s2
from tessera_engine.scenes.layouts.cube.radar import add_s1
from tessera_engine.scenes.layouts.cube.zarrs import ROOT_FILES, holds_store, open_zarr
from tessera_engine.scenes.metadata.channels import half_products
from tessera_engine.scenes.metadata.kinds import is_unfinished
from tessera_engine.scenes.metadata.members import is_zip
from tessera_engine.scenes.products import Found, Listing, Problem, Unusable

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SUFFIXES = (".nc", ".nc4", ".nc3", ".cdf", ".netcdf", ".h5", ".hdf5", ".he5", ".h5netcdf")
_ZIPS = (".zarr.zip",)

_MAYBE_CUBE = re.compile(r"^[^.]*$|\.(nc|netcdf|ncdf|cdf|hdf|h5|he5)[^a-z]*$", re.I)
"""Names of cubes that browsers and tools renamed: no suffix at all, `s2.nc.1`, `s2.nc (1)`, `s2.hdf5_`."""


def find(listing: Listing) -> Found:
    """Find the cubes of a scene folder that have bands of Sentinel-2 L2A or Sentinel-1; reads metadata only."""
    found = Found()
    files, stores = _files(listing), _stores(listing)
    found.claimed |= files | stores
    if listing.folder in stores:
        found.claimed |= _parts_of_store(listing)
    unsafe = _failed_trials(files)
    for path in sorted({*files, *stores}):
        try:
            if path in unsafe:
                raise Unusable(unsafe[path])
            _refuse_links(path, listing)
            container = open_zarr(path) if path in stores else _open_file(path)
            with gdal_options():  # else PROJ prints what is wrong with a damaged CRS
                if eopf.is_eopf(container):
                    found.s2.append(eopf.product_of(container))
                else:
                    _add(found, path, container)
        except (Unusable, InputError, OSError) as error:
            found.problems.append(Problem(path, str(error)))
    found.warnings += half_products(found.s1, "the cube")
    return found


def _add(found: Found, path: Path, container: Container) -> None:
    """Add the products of one cube; optical bands are used where the radar can't be, and the other way round."""
    cube = CubeBands(container)
    bands = cube.find()
    if not bands:
        names = [name for name, array in container.arrays.items() if len(array.shape) > 1] or [
            *container.arrays
        ]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise Unusable(
            "; ".join(cube.unnamed)
            or f"has no band of Sentinel-2 or Sentinel-1 among its variables: {', '.join(names[:5]) or 'none'}{more}"
        )
    reasons = []
    for add in (add_s2, add_s1):
        try:
            add(found, path, bands)
        except Unusable as error:
            reasons.append(str(error))
    sources = {product.source for product in found.s2} | {product.source for product in found.s1}
    if not reasons and path not in sources:
        reasons.append(f"has {', '.join(sorted(bands))} only: a mask without bands")
    if reasons:
        raise Unusable("; ".join(reasons))


def _files(listing: Listing) -> set[Path]:
    """Files with the suffix of a cube, and those whose content says it where the name may have lost its suffix."""
    renamed = {path for path in listing.unclaimed if _MAYBE_CUBE.search(path.name) and _is_cube(path)}
    return {path for path in listing.files if path.suffix.lower() in _SUFFIXES} | renamed


def _is_cube(path: Path) -> bool:
    magic = _magic(path)
    return magic == _HDF5 or magic[:4] in NETCDF3


def _stores(listing: Listing) -> set[Path]:
    """The outermost folders that are Zarr stores, by suffix or content, and zips of stores; no unfinished downloads."""
    folders = {
        parent
        for path in listing.files
        for parent in (path, *path.parents)
        if parent.is_relative_to(listing.folder)
        and not any(map(is_unfinished, parent.relative_to(listing.folder).parts))
    }
    stores = {folder for folder in folders if folder.suffix.lower() == ".zarr" or _has_root_file(folder)}
    zips = {path for path in listing.files if path.name.lower().endswith(_ZIPS)}
    zips |= {path for path in listing.unclaimed if is_zip(path) and holds_store(path)}
    return {store for store in stores if stores.isdisjoint(store.parents)} | zips


def _has_root_file(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ROOT_FILES)


def _parts_of_store(listing: Listing) -> set[Path]:
    """The files and folders of a store that is the scene folder itself, in which other files may lie too."""
    inner = {path for path in listing.folder.iterdir() if path.is_dir() and _has_root_file(path)}
    return inner | {listing.folder / name for name in ROOT_FILES}


def _refuse_links(path: Path, listing: Listing) -> None:
    """Refuse a store with links that lead out of the scene folder: it is opened as a whole."""
    if any(problem.source.is_relative_to(path) for problem in listing.problems):
        raise Unusable("has links that lead out of the scene folder; replace them by copies of the files")


def _failed_trials(files: set[Path]) -> dict[Path, str]:
    hdf5 = sorted(path for path in files if _magic(path) == _HDF5)
    if not hdf5:
        return {}
    from tessera_engine.scenes.layouts.cube.hdf5.trial import failures

    return failures(hdf5)


def _open_file(path: Path) -> Container:
    """Open a file by its content: the suffixes of NetCDF and HDF5 say little about it."""
    magic = _magic(path)
    if magic[:4] in NETCDF3:
        return open_netcdf3(path)
    if magic != _HDF5:
        raise Unusable("is neither NetCDF nor HDF5 by its content; copy it again")
    from tessera_engine.scenes.layouts.cube.hdf5.opening import open_hdf5

    return open_hdf5(path)


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_HDF5))
    except OSError:
        return b""
