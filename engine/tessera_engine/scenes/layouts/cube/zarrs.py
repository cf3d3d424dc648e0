"""Zarr stores of versions 2 and 3, as folders or in one zip."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, MissingExtra, without_url
from tessera_engine.offline.chunks import decoded_chunks_of, guard_chunks
from tessera_engine.scenes.layouts.cube.container import Array, Container, as_strings, plain
from tessera_engine.scenes.metadata.members import ZIP_ERRORS
from tessera_engine.scenes.products import Unusable

ROOT_FILES = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
"""Files of which a store's root has at least one."""

_DEEPEST = 8
_MOST = 10_000

_TEXT, _FILTERED = 1000, 8
"""Bytes of a text at most, and how many times as large a filter may make a value."""


def open_zarr(path: Path) -> Container:
    """Read the groups and arrays of a store.

    Args:
        path: a folder, or a zip with one store at any depth.

    Raises:
        Unusable: it is damaged, or a zip without a store.
        MissingExtra: zarr isn't installed.
    """
    try:
        import zarr
        from zarr.storage import ZipStore
    except ImportError:
        raise MissingExtra("zarr", "zarr", "reading a Zarr store") from None

    guard_chunks()
    try:
        if path.is_dir():
            root: Any = zarr.open(str(path), mode="r")
        else:
            root = zarr.open(ZipStore(path, mode="r"), path=_root_in_zip(path), mode="r")
        if hasattr(root, "shape"):
            raise Unusable(
                "is a single Zarr array, expected a group with one array for each band and coordinate"
            )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # zarr's, about types such as strings that aren't in its specification
            groups = {name: _attributes(group) for name, group in _groups(root)}
            arrays = {
                array.name: array for name, group in _groups(root) for array in _arrays(path, name, group)
            }
    except Unusable:
        raise
    except Exception as error:  # damaged metadata raise whatever their content leads to
        reason = " ".join(without_url(str(error)).split()) or type(error).__name__
        raise Unusable(f"can't be read as Zarr ({reason[:200]}); copy it again") from None
    return Container(path, arrays, groups)


def holds_store(path: Path) -> bool:
    """Whether a zip has a store in it, whatever it is called."""
    try:
        return bool(_roots_in_zip(path))
    except ZIP_ERRORS:
        return False


def _root_in_zip(path: Path) -> str:
    """The folder in a zip that is the store.

    Raises:
        Unusable: there is none, or there are several, such as products that were zipped together.
    """
    roots = _roots_in_zip(path)
    if not roots:
        raise Unusable("has no Zarr store in it")
    if len(roots) > 1:
        raise Unusable(f"holds {len(roots)} Zarr stores ({roots[0]}, ..), expected one; unpack it")
    return "" if str(roots[0]) == "." else str(roots[0])


def _roots_in_zip(path: Path) -> list[PurePosixPath]:
    """The outermost folders in a zip with the files of a store's root."""
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
    roots = {name.parent for name in names if name.name in ROOT_FILES and ".." not in name.parts}
    return sorted(root for root in roots if roots.isdisjoint(root.parents))


def _groups(root: Any) -> Iterator[tuple[str, Any]]:
    left = [("", root)]
    while left:
        name, group = left.pop(0)
        yield name, group
        if name.count("/") >= _DEEPEST or len(left) > _MOST:
            raise Unusable(f"has groups deeper than {_DEEPEST}, or more than {_MOST:,} of them")
        left += [(f"{name}/{leaf}" if name else leaf, each) for leaf, each in sorted(group.groups())]


def _arrays(path: Path, group: str, node: Any) -> Iterator[Array]:
    for leaf, array in sorted(node.arrays()):
        dtype = np.dtype(getattr(array, "dtype", object))
        if dtype.kind not in "biufmMSUOT":
            continue
        name = f"{group}/{leaf}" if group else leaf
        if _holds_programs(array):
            raise Unusable(
                f"has {name} stored as Python objects (pickle), which can run programs; save it as numbers"
            )
        attributes = _attributes(array)
        text = dtype.kind in "SUOT"
        yield Array(
            name=name,
            dims=_dimensions(array, attributes),
            shape=tuple(array.shape),
            dtype=np.dtype(object) if text else dtype,
            attributes=attributes,
            chunks=tuple(array.chunks),
            load=_loader(path, name, array, text),
            fill=None if text else getattr(array, "fill_value", None),
        )


def _holds_programs(array: Any) -> bool:
    """Whether a codec of the array unpickles. Old versions of numcodecs do that without asking."""
    metadata = array.metadata
    codecs = [getattr(metadata, "compressor", None), *(getattr(metadata, "filters", None) or ())]
    return any(getattr(codec, "codec_id", None) == "pickle" for codec in codecs)


def _loader(path: Path, name: str, array: Any, text: bool) -> Any:
    value = (_TEXT if text else array.dtype.itemsize) * (_FILTERED if getattr(array, "filters", None) else 1)
    decoded = math.prod(array.chunks) * value

    def load(part: tuple[slice, ...]) -> NDArray[Any]:
        try:
            with decoded_chunks_of(decoded):
                values = np.asarray(array[part if part else ...])
        except Exception as error:  # damaged chunks raise whatever their decoder does
            reason = " ".join(without_url(str(error)).split()) or type(error).__name__
            raise InputError(
                f"{path}: {name} can't be read ({reason[:200]}); copy it again, or move it out of the scene folder"
            ) from None
        return as_strings(values, joined=False) if text else values

    return load


def _dimensions(array: Any, attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Names by the metadata of version 3, else by the attribute that xarray writes in version 2."""
    names = getattr(getattr(array, "metadata", None), "dimension_names", None) or attributes.get(
        "_ARRAY_DIMENSIONS"
    )
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, (list, tuple)) or len(names) != len(array.shape):
        names = [None] * len(array.shape)
    return tuple(str(name) if name else f"#{i}" for i, name in enumerate(names))


def _attributes(node: Any) -> dict[str, Any]:
    return {str(key): plain(value) for key, value in dict(node.attrs).items()}
