"""Files of maps made from embeddings: one-band cloud-optimised GeoTIFFs, and the item that describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.output import ITEM
from tessera_engine.formats.cog import FORMAT as COG
from tessera_engine.formats.cog.files import GeoTiff, Part, few_bands, many_bands, write_cog
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.geo import grid_fields
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import Result, projection
from tessera_engine.stac.writing import write_result_item as write_item


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
        colours: the colour table of a uint8 band of classes, by value.
        tags: of the file.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    about = GeoTiff(grid, values.dtype.name, (title,), nodata, tags or {}, colours)
    write_cog(path, about, [Part(grid.window, (1,), values[np.newaxis])], few_bands(classes=bool(colours)))
    fields = {"data_type": values.dtype.name, "nodata": "nan" if np.isnan(nodata) else int(nodata)}
    return Asset(path.stem, path.name, COG.media_type, title, ("data",), fields | grid_fields(grid))


def write_bands(
    path: Path, values: NDArray[Any], grid: Grid, title: str, names: Sequence[str], nodata: float
) -> Asset:
    """Write a band for each class.

    Args:
        path: of the GeoTIFF.
        values: (bands, height, width).
        grid: its pixels.
        title: what it is, for people.
        names: of the bands.
        nodata: the value of pixels without data.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    about = GeoTiff(grid, values.dtype.name, tuple(names), nodata)
    write_cog(
        path, about, [Part(grid.window, range(1, len(values) + 1), values)], many_bands(values.dtype.name)
    )
    fields = {"data_type": values.dtype.name, "nodata": int(nodata)}
    return Asset(path.stem, path.name, COG.media_type, title, ("data",), fields | grid_fields(grid))


def within(asset: Asset, name: str, grid: Grid) -> Asset:
    """An asset of one of several outputs, which lies in a folder of the output's name and has a grid of its own.

    Args:
        asset: in that folder.
        name: the folder's.
        grid: of the output.
    """
    code = {"proj:code": projection(grid)["proj:code"]} if "proj:shape" in asset.fields else {}
    return replace(
        asset,
        key=f"{asset.key}-{name}",
        file_name=f"{name}/{asset.file_name}",
        fields={**asset.fields, **code},
    )


def write_result_item(
    folder: Path,
    grids: Sequence[Grid],
    sources: Sequence[Embeddings],
    name: str,
    title: str,
    assets: Sequence[Asset],
    facts: Mapping[str, Any],
) -> None:
    """Write the item of results: what was made, from which embeddings of which model.

    Args:
        folder: where the assets lie.
        grids: of the results, more than one where several outputs were given.
        sources: the embeddings that the results were made from, by one model; the first gives the model's facts.
        name: `similar`, `map`, ...
        title: what the results are, for people.
        assets: the files.
        facts: what was asked for, by name.
    """
    # A downloaded tree has no item, so no id
    items = [{"id": each.path.name, **each.item} for each in sources]
    write_item(folder / ITEM, grids, items, assets, Result(name, title, sources[0].dim, facts))
