"""What every store by the `geoemb:` convention has: attributes, coordinates, and all metadata in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import WktVersion

from tessera_engine.errors import TesseraError
from tessera_engine.formats.origin import Origin
from tessera_engine.scene import Grid

GEOEMB_CONVENTION = {
    "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    "name": "geoemb:",
    "description": "Geoembeddings convention for geospatial embedding arrays with model provenance",
    "spec_url": "https://github.com/geo-embeddings/embeddings-zarr-convention/blob/v1/README.md",
    "schema_url": (
        "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/refs/tags/v1/schema.json"
    ),
}

SOURCES = tuple(f"https://sentinel.esa.int/web/sentinel/missions/sentinel-{number}" for number in (1, 2))


def of_model(grid: Grid, dim: int, name: str, origin: Origin) -> dict[str, Any]:
    """Attributes of a store: the model, and what it saw.

    Args:
        grid: as the scene has it.
        dim: length of the embeddings.
        name: of the scene, or of all of them.
        origin: where the embeddings are from.
    """
    return {
        "zarr_conventions": [GEOEMB_CONVENTION],
        "geoemb:type": "pixel",
        "geoemb:dimensions": dim,
        "geoemb:model": f"urn:sha256:{origin.model_sha256}",
        "geoemb:source_data": list(SOURCES),
        "geoemb:gsd": abs(grid.transform.a),
        "geoemb:build_version": origin.engine_version,
        "tessera:scene": name,
        "tessera:model": origin.model,
        "tessera:model_sha256": origin.model_sha256,
        "tessera:generation": origin.generation,
    }


def of_grid(grid: Grid) -> dict[str, Any]:
    """Attributes of a group: where its pixels lie."""
    left, top = grid.transform.c, grid.transform.f
    right, bottom = grid.transform @ (grid.width, grid.height)
    return {
        "proj:code": grid.crs,
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": [float(value) for value in list(grid.transform)[:6]],
        "spatial:shape": [grid.height, grid.width],
        "spatial:bbox": [min(left, right), min(top, bottom), max(left, right), max(top, bottom)],
        "spatial:registration": "pixel",
    }


def write_coordinates(group: Any, grid: Grid, bands: Mapping[str, int]) -> None:
    """Write x, y and the CRS, where there are any, and dimensions that are only numbered.

    Args:
        group: of the arrays.
        grid: their pixels.
        bands: name -> length.
    """
    transform = grid.transform
    values: dict[str, Any] = {name: np.arange(count, dtype=np.int32) for name, count in bands.items()}
    if transform.b == transform.d == 0:  # otherwise columns and rows have no x and y of their own
        values["x"] = transform.c + transform.a * (np.arange(grid.width) + 0.5)
        values["y"] = transform.f + transform.e * (np.arange(grid.height) + 0.5)
    for name, array in values.items():
        group.create_array(name, data=array, dimension_names=[name])
    if grid.crs is None:
        return
    wkt = CRS.from_user_input(grid.crs).to_wkt(version=WktVersion.WKT2_2019)
    numbers = " ".join(repr(float(value)) for value in transform.to_gdal())
    attributes = {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": numbers}
    group.create_array("spatial_ref", data=np.array(0, np.int64), attributes=attributes)


def consolidate(path: Path) -> None:
    """Gather the metadata of all arrays in one place, where readers look first."""
    import warnings

    import zarr

    with warnings.catch_warnings():
        # Zarr v3 has no specification for it yet; geotessera's client asks for it
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(str(path), zarr_format=3)


@contextmanager
def failures_named(path: Path) -> Iterator[None]:
    """Raise TesseraError for a file that can't be written."""
    try:
        yield
    except OSError as error:
        raise TesseraError(
            f"can't write {path}: {error.strerror or error}; make room and try again"
        ) from None
