"""The registry of a geotessera tree: from it the clients know, without a network, which cells there are.

Version 0.7 reads `registry.parquet` (GeoParquet with checksums), version 0.11 `manifest.parquet` (plain Parquet), and
both read `landmasks.parquet`. They need nothing but the tree's own folder, given as `registry_dir`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tessera_engine.errors import MissingExtra
from tessera_engine.files.checksums import file_sha256
from tessera_engine.formats.geotessera.reading import EMBEDDINGS_FOLDER, LANDMASK_FOLDER, cell_centre
from tessera_engine.stac.items import Asset

MEDIA_TYPE = "application/vnd.apache.parquet"

GEO = {
    "version": "1.0.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}},
}
"""GeoParquet's description of points in WGS 84, longitude first."""


def need_parquet() -> None:
    """Make sure that Parquet can be written.

    Raises:
        MissingExtra: pyarrow isn't installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("pyarrow", "geotessera", "format=geotessera") from None


def write_registry(folder: Path, written: Mapping[int, Sequence[str]]) -> list[Asset]:
    """Write the three files into a tree.

    Args:
        folder: the tree, with all its cells.
        written: names of its cells by year.
    """
    cells = [_cell(folder, year, cell) for year, names in written.items() for cell in names]
    masks = [
        _landmask(folder, cell) for cell in sorted({cell for names in written.values() for cell in names})
    ]
    _write(folder / "registry.parquet", [each | {"geometry": _point(each)} for each in cells])
    _write(folder / "manifest.parquet", [each | {"grid_size": each["file_size"]} for each in cells])
    _write(folder / "landmasks.parquet", masks)
    titles = {
        "registry": "Cells, for geotessera 0.7",
        "manifest": "Cells, for geotessera 0.11",
        "landmasks": "Landmasks",
    }
    return [
        Asset(f"{name}_table", f"{name}.parquet", MEDIA_TYPE, title, ("metadata",))
        for name, title in titles.items()
    ]


def _place(cell: str) -> dict[str, Any]:
    lon, lat = cell_centre(cell)
    return {"lon": lon, "lat": lat, "lon_i": round(lon * 100), "lat_i": round(lat * 100)}


def _cell(folder: Path, year: int, cell: str) -> dict[str, Any]:
    codes = folder / EMBEDDINGS_FOLDER / str(year) / cell / f"{cell}.npy"
    scales = codes.with_name(f"{cell}_scales.npy")
    return {
        "year": year,
        **_place(cell),
        "hash": file_sha256(codes),
        "file_size": codes.stat().st_size,
        "scales_hash": file_sha256(scales),
        "scales_size": scales.stat().st_size,
    }


def _landmask(folder: Path, cell: str) -> dict[str, Any]:
    path = folder / LANDMASK_FOLDER / f"{cell}.tiff"
    return {**_place(cell), "hash": file_sha256(path), "file_size": path.stat().st_size}


def _point(row: Mapping[str, Any]) -> bytes:
    """Well-known binary, little-endian: 1 is a point."""
    return struct.pack("<BIdd", 1, 1, row["lon"], row["lat"])


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = {
        "lon": pyarrow.float64(),
        "lat": pyarrow.float64(),
        "year": pyarrow.int32(),
        "lon_i": pyarrow.int32(),
        "lat_i": pyarrow.int32(),
        "hash": pyarrow.string(),
        "scales_hash": pyarrow.string(),
        "geometry": pyarrow.binary(),
    }
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.int64())) for name in rows[0]])
    if "geometry" in rows[0]:
        schema = schema.with_metadata({"geo": json.dumps(GEO)})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)
