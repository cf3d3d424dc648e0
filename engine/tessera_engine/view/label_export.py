"""Labels for other programs: GeoJSON, GeoPackage, and the JSON of the Tessera Embeddings Explorer (TEE).

TEE's format is described in `docs/label-format.md` of github.com/ucam-eo/TEE; see `tessera_engine.view.label_import`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.files.nearby import unknown
from tessera_engine.gdal import PROJECTION_ERRORS, write_geopackage
from tessera_engine.places.crs import WGS84, project, stated_crs
from tessera_engine.places.shapes import objects
from tessera_engine.scene import Grid
from tessera_engine.version import __version__
from tessera_engine.view.label_document import (
    COLOUR_FIELD,
    FIELD,
    Document,
    LabelClass,
    need_shapely,
    shapes_of,
)

DECIMALS = 7
"""Of degrees: 1 cm."""

EDGE_PIXELS = 200
"""A straight edge of the grid is a curve in degrees. Longer edges are divided: 2 km deviate by 10 cm at 10 m pixels."""

FORMATS = ("geojson", "gpkg", "tee")


def write_labels(path: Path, found: Document, grid: Grid, format: str, title: str, year: int | None) -> None:
    """Write labels as a file for other programs.

    Args:
        path: of the file; nothing is there.
        found: the labels.
        grid: of their output.
        format: `geojson` or `tee`, in degrees, or `gpkg` in the output's CRS.
        title: of the output, for people.
        year: of the observations.

    Raises:
        InputError: there are no labels, the format is unknown, or the output has no CRS.
        MissingExtra: a library that writes the file isn't installed.
        TesseraError: it can't be written.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if grid.crs is None:
        raise InputError("this output has no CRS, so its labels have no place for other programs")
    if not found.labels:
        raise InputError("there are no labels yet")
    classes = {each.id: each for each in found.classes}
    own = [classes[label.class_id] for label in found.labels]
    shapes = shapes_of(found, grid.transform)
    if format == "gpkg":
        fields = {
            FIELD: objects([each.name for each in own]),
            COLOUR_FIELD: objects([each.colour for each in own]),
        }
        write_geopackage(path, "labels", need_shapely().to_wkb(shapes), fields, grid.crs)
        return
    write = _geojson if format == "geojson" else _tee
    value = write(own, _in_degrees(shapes, grid), title, year)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def _in_degrees(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    shapely = need_shapely()
    pixel = abs(grid.transform.determinant) ** 0.5
    shapes = shapely.segmentize(shapes, EDGE_PIXELS * pixel)
    try:
        return project(shapes, stated_crs(grid.crs), WGS84)
    except PROJECTION_ERRORS as error:
        raise InputError(f"the labels can't be brought into degrees: {error}") from None


def _geojson(own: list[LabelClass], shapes: NDArray[Any], title: str, year: int | None) -> Any:
    features = [
        {
            "type": "Feature",
            "properties": {FIELD: each.name, COLOUR_FIELD: each.colour},
            "geometry": _geometry(shape),
        }
        for each, shape in zip(own, shapes, strict=True)
    ]
    return {"type": "FeatureCollection", "name": f"labels of {title}", "features": features}


def _geometry(shape: Any) -> dict[str, Any]:
    if shape.geom_type == "Point":
        return {"type": "Point", "coordinates": _rounded(shape.x, shape.y)}
    # Counterclockwise (RFC 7946, section 3.1.6)
    ring = shape.exterior.coords if shape.exterior.is_ccw else shape.exterior.coords[::-1]
    return {"type": "Polygon", "coordinates": [[_rounded(x, y) for x, y in ring]]}


def _rounded(*values: float) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]


def _tee(own: list[LabelClass], shapes: NDArray[Any], title: str, year: int | None) -> Any:
    """Labels with the fields of both of TEE's lists: that of similar pixels and that of drawn labels."""
    labels = []
    for number, (each, shape) in enumerate(zip(own, shapes, strict=True), 1):
        middle = shape if shape.geom_type == "Point" else shape.representative_point()
        lon, lat = _rounded(middle.x, middle.y)
        ring = None if shape.geom_type == "Point" else [_rounded(y, x) for x, y in shape.exterior.coords[:-1]]
        labels.append(
            {
                "id": f"label_{number}",
                "name": each.name,
                "color": each.colour,
                "code": None,
                "type": "point" if ring is None else "polygon",
                "lat": lat,
                "lon": lon,
                "vertices": ring,
                "source_pixel": {"lat": lat, "lon": lon},
                "threshold": 0,
                "embedding": None,
            }
        )
    about = {"viewport": title, "year": None if year is None else str(year)}
    return about | {"generator": f"tessera-engine {__version__}", "labels": labels}
