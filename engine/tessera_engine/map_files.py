"""Files of maps made from embeddings: one-band cloud-optimised GeoTIFFs, and the item that says what they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from tessera_engine.embeddings import Embeddings
from tessera_engine.errors import TesseraError
from tessera_engine.output import ITEM
from tessera_engine.provenance import (
    EXTENSIONS,
    STAC_VERSION,
    Asset,
    bounding_box,
    footprint,
    grid_fields,
    write_converted_item,
)
from tessera_engine.scene import Grid

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

CACHE_BYTES = 64_000_000
"""GDAL's block cache."""


def write_map(
    path: Path,
    values: NDArray[Any],
    grid: Grid,
    title: str,
    nodata: float,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Asset:
    """Write one band.

    Args:
        path: of the GeoTIFF.
        values: (height, width).
        grid: its pixels.
        title: what it is, for people.
        nodata: the value of pixels without data.
        colours: the colour table of a uint8 band, by value.
        tags: of the file.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    # Classes have no average
    resampling = "NEAREST" if colours else "AVERAGE"
    predictor = "NO" if colours else "YES"
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                temporary,
                "w",
                driver="GTiff",
                width=grid.width,
                height=grid.height,
                count=1,
                dtype=values.dtype.name,
                nodata=nodata,
                crs=grid.crs,
                transform=None if grid.transform.is_identity else grid.transform,
                tiled=True,
            ) as file:
                file.write(values, 1)
                file.descriptions = (title,)
                file.update_tags(**(tags or {}))
                if colours:
                    file.write_colormap(1, dict(colours))
            rasterio.shutil.copy(
                temporary,
                path,
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL="1",
                PREDICTOR=predictor,
                OVERVIEW_RESAMPLING=resampling,
                BLOCKSIZE="256",
            )
            with rasterio.open(path) as file:
                # GDAL says nothing when the last bytes didn't fit on the disk
                for _, window in file.block_windows(1):
                    file.read(1, window=window)
    except (CPLE_BaseError, RasterioError, OSError) as error:
        path.unlink(missing_ok=True)
        raise TesseraError(f"can't write {path}: {error}; make room or choose another place") from None
    finally:
        temporary.unlink(missing_ok=True)
    fields = {"data_type": values.dtype.name, "nodata": "nan" if np.isnan(nodata) else int(nodata)}
    return Asset(path.stem, path.name, MEDIA_TYPE, title, ("data",), fields | grid_fields(grid))


def write_result_item(
    folder: Path,
    embeddings: Embeddings,
    name: str,
    title: str,
    assets: Sequence[Asset],
    facts: Mapping[str, Any],
) -> None:
    """Write the item of results: what was made, from which embeddings of which model.

    Args:
        folder: where the assets lie.
        embeddings: what the results were made from.
        name: `similar`, `map`, ...
        title: what the results are, for people.
        assets: the files.
        facts: what was asked for, by name.
    """
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    source, geometry = embeddings.item["properties"], footprint(embeddings.grid)
    times = {key: source.get(key) for key in ("datetime", "start_datetime", "end_datetime")}
    if times["start_datetime"] is None:
        times = {"datetime": now}
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": f"{embeddings.item.get('id', embeddings.path.name)}_{name}",
        "geometry": geometry,
        "links": [],
    }
    if geometry is not None:
        item["bbox"] = bounding_box(geometry)
    item["properties"] = {
        "title": title,
        **times,
        "created": now,
        "proj:code": source.get("proj:code", embeddings.grid.crs),
        **grid_fields(embeddings.grid),
        "tessera:result": name,
        "tessera:embeddings": str(embeddings.item.get("id", embeddings.path.name)),
        **{
            key: source[key]
            for key in ("tessera:model", "tessera:model_sha256", "tessera:generation", "tessera:year")
            if key in source
        },
        "tessera:dim": embeddings.dim,
        **{f"tessera:{key}": value for key, value in facts.items()},
    }
    write_converted_item(folder / ITEM, item, assets, {})
