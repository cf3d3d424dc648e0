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

from tessera_engine.errors import TesseraError
from tessera_engine.files.output import ITEM
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.geo import bounding_box, footprint, grid_fields
from tessera_engine.scene import Grid
from tessera_engine.stac.writing import EXTENSIONS, STAC_VERSION, Asset, write_converted_item

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
    grid: Grid,
    sources: Sequence[Embeddings],
    name: str,
    title: str,
    assets: Sequence[Asset],
    facts: Mapping[str, Any],
) -> None:
    """Write the item of results: what was made, from which embeddings of which model.

    Args:
        folder: where the assets lie.
        grid: of the results.
        sources: the embeddings that the results were made from, by one model; the first is where it is from.
        name: `similar`, `map`, ...
        title: what the results are, for people.
        assets: the files.
        facts: what was asked for, by name.
    """
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    first, geometry = sources[0], footprint(grid)
    ids = [str(each.item.get("id", each.path.name)) for each in sources]
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": f"{ids[0]}_{name}",
        "geometry": geometry,
        "links": [],
    }
    if geometry is not None:
        item["bbox"] = bounding_box(geometry)
    item["properties"] = {
        "title": title,
        **_times(sources, now),
        "created": now,
        "proj:code": first.item["properties"].get("proj:code", grid.crs),
        **grid_fields(grid),
        "tessera:result": name,
        "tessera:embeddings": ids if len(ids) > 1 else ids[0],
        "tessera:year": [each.provenance.get("year") for each in sources]
        if len(ids) > 1
        else first.provenance.get("year"),
        **{
            f"tessera:{key}": first.provenance[key]
            for key in ("model", "model_sha256", "generation")
            if key in first.provenance
        },
        "tessera:dim": first.dim,
        **{f"tessera:{key}": value for key, value in facts.items()},
    }
    write_converted_item(folder / ITEM, item, assets, {})


def _times(sources: Sequence[Embeddings], now: str) -> dict[str, Any]:
    """From when to when the observations are, in STAC's words; now where that isn't known of all."""
    spans = [
        [each.item["properties"].get(key) for key in ("start_datetime", "end_datetime")] for each in sources
    ]
    if not all(all(span) for span in spans):
        return {"datetime": now}
    # RFC 3339 in UTC sorts as text
    return {
        "datetime": None,
        "start_datetime": min(start for start, _ in spans),
        "end_datetime": max(end for _, end in spans),
    }
