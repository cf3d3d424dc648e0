"""Tables on disk: GeoParquet, GeoPackage, GeoJSON or CSV, written batch by batch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.files.endings import check_ending
from tessera_engine.gdal import vector_writer
from tessera_engine.offline.names import gdal_name

METADATA = "tessera"
"""Where a file's metadata has ours, as JSON."""

FACTS_IN_COLUMNS = ("model", "model_sha256")
"""Facts that a CSV, which has no metadata, repeats in each row."""


@dataclass(frozen=True)
class Content:
    """What is written.

    Attributes:
        schema: a pyarrow.Schema, with the geometry as WKB.
        geometry: the name of that column.
        crs: of the geometry, a `rasterio.crs.CRS`.
        kinds: the geometry types, in GeoParquet's words.
        bounds: of all geometries: left, bottom, right, top; None: there are none.
        about: where the embeddings are from, as plain values.
        plain: the user's columns hold the geometry, so a file without geometries needs no other.
        more: more metadata of a Parquet file, by key.
    """

    schema: Any
    geometry: str
    crs: Any
    kinds: tuple[str, ...]
    bounds: tuple[float, float, float, float] | None
    about: Mapping[str, Any]
    plain: bool
    more: Mapping[str, str] = field(default_factory=dict)


Batches = Callable[[], Iterator[Any]]
"""Gives the record batches, once."""


def writer_for(out: Path) -> Callable[[Path, str, Content, Batches], None]:
    """What writes a table, by the ending of its name: (path, name, content, batches).

    Raises:
        InputError: no format has this ending.
    """
    return WRITERS[check_ending("out", out, WRITERS, "a table")]


def _write_parquet(path: Path, name: str, content: Content, batches: Batches) -> None:
    import pyarrow
    import pyarrow.parquet

    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(content.kinds)}
    column["crs"] = content.crs.to_dict(projjson=True)
    if content.bounds is not None:
        column["bbox"] = list(content.bounds)
    geo = {"version": "1.1.0", "primary_column": content.geometry, "columns": {content.geometry: column}}
    schema = content.schema.with_metadata(
        {
            "geo": json.dumps(geo),
            METADATA: json.dumps(dict(content.about), ensure_ascii=False),
            **content.more,
        }
    )
    try:
        with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches():
                writer.write_batch(batch)
    except pyarrow.ArrowException as error:
        raise TesseraError(f"can't write {name}: {' '.join(str(error).split())}") from None


def _write_csv(path: Path, name: str, content: Content, batches: Batches) -> None:
    import pyarrow
    import pyarrow.csv
    import shapely

    at = content.schema.get_field_index(content.geometry)
    rest = content.schema.remove(at)
    fields = list(rest) if content.plain else [*rest, pyarrow.field(content.geometry, pyarrow.string())]
    repeated = {key: str(content.about[key] or "") for key in FACTS_IN_COLUMNS if key in content.about}
    names = {field.name for field in fields}
    repeated = {key if key not in names else f"tessera_{key}": value for key, value in repeated.items()}
    schema = pyarrow.schema([*fields, *(pyarrow.field(key, pyarrow.string()) for key in repeated)])
    try:
        with pyarrow.csv.CSVWriter(path, schema) as writer:
            for batch in batches():
                columns = [column for i, column in enumerate(batch.columns) if i != at]
                if not content.plain:
                    shapes = shapely.from_wkb(batch.column(at).to_numpy(zero_copy_only=False))
                    columns.append(
                        pyarrow.array(shapely.to_wkt(shapes, rounding_precision=-1), pyarrow.string())
                    )
                columns += [
                    pyarrow.array([value] * batch.num_rows, pyarrow.string()) for value in repeated.values()
                ]
                writer.write_batch(pyarrow.record_batch(columns, schema=schema))
    except pyarrow.ArrowException as error:
        raise TesseraError(f"can't write {name}: {' '.join(str(error).split())}") from None


def _write_gpkg(path: Path, name: str, content: Content, batches: Batches) -> None:
    taken = {each.casefold() for each in content.schema.names}
    fid = "fid" if "fid" not in taken else "tessera_fid"
    about = {METADATA: json.dumps(dict(content.about), ensure_ascii=False)}
    options = {"FID": fid, "GEOMETRY_NAME": content.geometry}
    layer = geopackage_layer(Path(name).stem)
    how = {"driver": "GPKG", "layer_metadata": about, "layer_options": options}
    _write_vectors(path, name, layer, content, batches, **how)


def geopackage_layer(name: str) -> str:
    """The name of a file as that of a GeoPackage's layer: without signs at its beginning, or reserved beginnings."""
    plain = re.sub(r"^\W+", "", name)
    reserved = not plain or plain.casefold().startswith(("gpkg", "sqlite_", "rtree_"))
    return f"table_{plain}" if reserved else plain


def _write_geojson(path: Path, name: str, content: Content, batches: Batches) -> None:
    options = {"RFC7946": "YES"}  # in longitude and latitude, whatever the CRS of the geometries
    _write_vectors(path, name, Path(name).stem, content, batches, driver="GeoJSON", layer_options=options)


def _write_vectors(path: Path, name: str, layer: str, content: Content, batches: Batches, **how: Any) -> None:
    import pyarrow

    stream = pyarrow.RecordBatchReader.from_batches(content.schema, batches())
    with vector_writer(name) as pyogrio:
        pyogrio.write_arrow(
            stream,
            gdal_name(path),
            layer=layer,
            geometry_name=content.geometry,
            geometry_type=content.kinds[0] if len(content.kinds) == 1 else "Unknown",
            crs=content.crs.to_wkt(),
            **how,
        )


WRITERS: dict[str, Callable[[Path, str, Content, Batches], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".gpkg": _write_gpkg,
    ".geojson": _write_geojson,
}
"""Ending -> what writes it."""


def kinds_of(geometries: NDArray[Any]) -> tuple[str, ...]:
    """The types of (N,) geometries in GeoParquet's words, such as `Point` or `Polygon Z`."""
    import shapely

    present = geometries[~shapely.is_missing(geometries)]
    pairs = {
        (shape, bool(z))
        for shape, z in zip(shapely.get_type_id(present), shapely.has_z(present), strict=True)
    }
    # WKB has no type of its own for the third, a ring
    names = ("Point", "LineString", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
    every = (*names, "GeometryCollection")
    return tuple(sorted({f"{every[kind]}{' Z' if z else ''}" for kind, z in pairs}))


def bounds_of(geometries: NDArray[Any]) -> tuple[float, float, float, float] | None:
    """The box around (N,) geometries; None where there are none."""
    import shapely

    left, bottom, right, top = map(float, shapely.total_bounds(geometries))
    return (left, bottom, right, top) if np.isfinite([left, bottom, right, top]).all() else None
