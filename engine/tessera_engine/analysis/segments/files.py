"""Segments as a table, with the names of the fiboa specification."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.options import SegmentOptions
from tessera_engine.analysis.pixel_area import SQUARE_METRES
from tessera_engine.analysis.sampling.tables import Batches, Content, bounds_of, writer_for
from tessera_engine.errors import CheckFailed, MissingExtra, quoted
from tessera_engine.files.output import ITEM
from tessera_engine.formats.embeddings.base import Embeddings

SCHEMAS = (
    "https://vecorel.org/specification/v0.1.0/schema.yaml",
    "https://vecorel.org/metrics-extension/v0.1.0/schema.yaml",
    "https://fiboa.org/specification/v0.3.0/schema.yaml",
)
"""What the columns follow: fiboa 0.3.0, and what that is based on."""

METHOD = "auto-imagery"
"""fiboa's word for boundaries from satellite images."""

BATCH = 10_000
"""Segments that are written at a time."""


def need_tables(out: Path) -> Callable[[Path, str, Content, Batches], None]:
    """What writes a file, by the ending of its name.

    Raises:
        InputError: no format has this ending.
        MissingExtra: a library isn't installed.
    """
    write = writer_for(out)
    for library in ("shapely", "pyarrow", "pyogrio"):
        try:
            __import__(library)
        except ModuleNotFoundError:
            raise MissingExtra(library, "maps", "segment") from None
    return write


def content_of(
    out: Path,
    embeddings: Embeddings,
    polygons: NDArray[Any],
    vectors: NDArray[np.float32],
    square_metres: NDArray[np.floating[Any]],
    options: SegmentOptions,
) -> tuple[Content, Batches]:
    """What is written of S segments.

    Args:
        out: the file that will appear; its name is that of the collection.
        embeddings: what was segmented.
        polygons: (S,) shapely polygons, at least one.
        vectors: (S, K) their mean embeddings.
        square_metres: (S,) their areas.
        options: how they were found.
    """
    import pyarrow
    import shapely
    from rasterio.crs import CRS

    columns = _columns(out.stem, embeddings, polygons, vectors, square_metres, options)
    if out.suffix.lower() != ".parquet":
        # In the expressions of QGIS and in SQL, a name with a colon needs quotes
        columns = {name.replace(":", "_"): values for name, values in columns.items()}
    arrays = {name: pyarrow.array(values) for name, values in columns.items()}
    arrays["geometry"] = pyarrow.array(shapely.to_wkb(polygons), pyarrow.binary())
    table = pyarrow.table(arrays)
    about = embeddings.provenance
    facts = {key: about.get(key) for key in ("scene", "model", "model_sha256", "precision", "year")}
    facts |= {"item": embeddings.item.get("id"), "dim": embeddings.dim}
    facts |= {"scale": options.scale, "min_area": options.min_area}
    content = Content(
        table.schema,
        "geometry",
        CRS.from_string(str(embeddings.grid.crs)),
        ("Polygon",),
        bounds_of(polygons),
        facts,
        False,
        {"collection": json.dumps({"schemas": {out.stem: list(SCHEMAS)}})},
    )
    return content, lambda: iter(table.to_batches(BATCH))


def _columns(
    name: str,
    embeddings: Embeddings,
    polygons: NDArray[Any],
    vectors: NDArray[np.float32],
    square_metres: NDArray[np.floating[Any]],
    options: SegmentOptions,
) -> dict[str, Any]:
    import shapely

    count, about = len(polygons), embeddings.provenance
    # Without a year or season it is only the day when the output was made
    known = about.get("year") is not None or about.get("season") is not None
    ended = embeddings.item["properties"].get("end_datetime") if known else None
    factor = math.sqrt(float(square_metres.sum()) / max(float(shapely.area(polygons).sum()), 1e-9))
    details = (
        f"TESSERA embeddings of {about.get('scene', embeddings.path.name)} by {about.get('model', 'a model')}, "
        f"segmented by tessera-engine, scale {options.scale:g}, at least {options.min_area:g} ha"
    )
    columns: dict[str, Any] = {
        "id": [str(number) for number in range(1, count + 1)],
        "collection": [name] * count,
        "hectares": square_metres / SQUARE_METRES,
        "metrics:area": square_metres.astype(np.float32),
        "metrics:perimeter": (shapely.length(polygons) * factor).astype(np.float32),
        "determination:method": [METHOD] * count,
        "determination:details": [details] * count,
    }
    if ended is not None:
        columns["determination:datetime"] = _moments(embeddings.path, str(ended), count)
    return columns | {
        f"mean_{k + 1:03d}": np.ascontiguousarray(vectors[:, k]) for k in range(vectors.shape[1])
    }


def _moments(path: Path, text: str, count: int) -> Any:
    """A moment of the item of an output, `count` times, as a column of timestamps in UTC."""
    import pyarrow

    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (OverflowError, ValueError):
        raise CheckFailed(
            f"{path / ITEM} has the end_datetime {quoted(text)}, expected one like 2024-12-31T23:59:59Z; make or copy "
            "the output again"
        ) from None
    return pyarrow.array([moment] * count, pyarrow.timestamp("ms", "UTC"))
