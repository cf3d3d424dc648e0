"""Segments as files: GeoParquet by the fiboa specification, and GeoPackage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tessera_engine.errors import InputError, MissingExtra, TesseraError
from tessera_engine.gdal import vector_writer

METADATA = "tessera"
"""Where a file's metadata has ours, as JSON."""

SCHEMAS = (
    "https://vecorel.org/specification/v0.1.0/schema.yaml",
    "https://vecorel.org/metrics-extension/v0.1.0/schema.yaml",
    "https://fiboa.org/specification/v0.3.0/schema.yaml",
)
"""What the Parquet file follows: fiboa 0.3.0, and what that is based on."""

METHOD = "auto-imagery"
"""fiboa's word for boundaries from satellite images."""

BATCH = 10_000
"""Segments that are written at a time."""


@dataclass(frozen=True)
class Table:
    """What is written of S segments.

    Attributes:
        name: of the collection.
        geometry: (S,) shapely polygons.
        crs: of them, as EPSG code or WKT.
        columns: name -> (S,) values; floating point, whole numbers or text.
        about: where the segments are from, as plain values.
    """

    name: str
    geometry: NDArray[Any]
    crs: str
    columns: Mapping[str, Any]
    about: Mapping[str, Any]


def need_tables(out: Path) -> Callable[[Path, Table], None]:
    """What writes a file, by the ending of its name.

    Raises:
        InputError: no format has this ending.
        MissingExtra: a library isn't installed.
    """
    writer = _WRITERS.get(out.suffix.lower())
    if writer is None:
        raise InputError(
            f"out={out} ends with none of {', '.join(_WRITERS)}, which give the format; choose another out="
        )
    for library in ("shapely", "pyarrow", "pyogrio"):
        try:
            __import__(library)
        except ModuleNotFoundError:
            raise MissingExtra(library, "maps", "segment") from None
    return writer


def _arrow(table: Table, geometry: str) -> Any:
    """A pyarrow.Table with the geometry as WKB."""
    import pyarrow
    import shapely

    arrays = {name: pyarrow.array(values) for name, values in table.columns.items()}
    return pyarrow.table(
        {**arrays, geometry: pyarrow.array(shapely.to_wkb(table.geometry), pyarrow.binary())}
    )


def _write_parquet(path: Path, table: Table) -> None:
    import pyarrow
    import pyarrow.parquet
    import shapely
    from rasterio.crs import CRS

    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"] if len(table.geometry) else [],
        "crs": CRS.from_string(table.crs).to_dict(projjson=True),
    }
    if len(table.geometry):
        column["bbox"] = [float(value) for value in shapely.total_bounds(table.geometry)]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    made = _arrow(table, "geometry").replace_schema_metadata(
        {
            "geo": json.dumps(geo),
            "collection": json.dumps({"schemas": {table.name: list(SCHEMAS)}}),
            METADATA: json.dumps(dict(table.about), ensure_ascii=False),
        }
    )
    try:
        pyarrow.parquet.write_table(made, path, compression="zstd", row_group_size=BATCH)
    except pyarrow.ArrowException as error:
        raise TesseraError(f"can't write {path.name}: {' '.join(str(error).split())}") from None


def _write_gpkg(path: Path, table: Table) -> None:
    from rasterio.crs import CRS

    # A GeoPackage's columns can't have a colon in QGIS expressions without quotes
    plain = Table(
        table.name,
        table.geometry,
        table.crs,
        {name.replace(":", "_"): values for name, values in table.columns.items()},
        table.about,
    )
    with vector_writer(path.name) as pyogrio:
        pyogrio.write_arrow(
            _arrow(plain, "geom"),
            path,
            layer=table.name,
            driver="GPKG",
            geometry_name="geom",
            geometry_type="Polygon",
            crs=CRS.from_string(table.crs).to_wkt(),
            layer_metadata={METADATA: json.dumps(dict(table.about), ensure_ascii=False)},
        )


_WRITERS: dict[str, Callable[[Path, Table], None]] = {".parquet": _write_parquet, ".gpkg": _write_gpkg}
"""Ending -> what writes it."""
