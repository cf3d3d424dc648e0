"""Segments as a table, with the names of the fiboa specification."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
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
"""Segments that are written at a time. Groups of segments have a multiple of it, but the last one."""


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


class SegmentTable:
    """Segments as rows, which wait in a file until all of them are there: memory doesn't follow their number.

    Args:
        kept: the file to keep them in.
        name: of the file that will appear, with its ending.
        embeddings: what was segmented.
        options: how.
        square_metres: of a pixel.

    Raises:
        CheckFailed: the item of the embeddings gives an end of the observations that is no time.
    """

    def __init__(
        self, kept: Path, name: str, embeddings: Embeddings, options: SegmentOptions, square_metres: float
    ) -> None:
        self._kept, self._name, self._embeddings, self._options = kept, Path(name), embeddings, options
        self._square_metres, self._ended = square_metres, _last_moment(embeddings)
        self._writer: Any = None
        self._schema: Any = None
        self._bounds: list[tuple[float, float, float, float]] = []

    def __enter__(self) -> SegmentTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def add(
        self, first: int, polygons: NDArray[Any], vectors: NDArray[np.float32], pixels: NDArray[np.int64]
    ) -> None:
        """Add the next S segments.

        Args:
            first: number of the first one, from 0.
            polygons: (S,) shapely polygons, at least one.
            vectors: (S, K) their mean embeddings.
            pixels: (S,) how many they have.
        """
        import pyarrow
        import shapely

        columns = self._columns(first, polygons, vectors, pixels)
        if self._name.suffix.lower() != ".parquet":
            # In the expressions of QGIS and in SQL, a name with a colon needs quotes
            columns = {name.replace(":", "_"): values for name, values in columns.items()}
        arrays = {name: pyarrow.array(values) for name, values in columns.items()}
        arrays["geometry"] = pyarrow.array(shapely.to_wkb(polygons), pyarrow.binary())
        rows = pyarrow.record_batch(arrays)
        if self._writer is None:
            self._schema = rows.schema
            self._writer = pyarrow.ipc.new_file(str(self._kept), rows.schema)
        for start in range(0, len(polygons), BATCH):
            self._writer.write_batch(rows.slice(start, BATCH))
        bounds = bounds_of(polygons)
        if bounds is not None:
            self._bounds.append(bounds)

    def content(self) -> Content:
        """What a file of all segments holds; at least one was added."""
        from rasterio.crs import CRS

        about, options, stem = self._embeddings.provenance, self._options, self._name.stem
        facts = {key: about.get(key) for key in ("scene", "model", "model_sha256", "precision", "year")}
        facts |= {"item": self._embeddings.item.get("id"), "dim": self._embeddings.dim}
        facts |= {"scale": options.scale, "min_area": options.min_area}
        boxes = np.array(self._bounds)
        left, bottom, right, top = map(float, (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))
        return Content(
            self._schema,
            "geometry",
            CRS.from_string(str(self._embeddings.grid.crs)),
            ("Polygon",),
            (left, bottom, right, top),
            facts,
            False,
            {"collection": json.dumps({"schemas": {stem: list(SCHEMAS)}})},
        )

    def batches(self) -> Iterator[Any]:
        """The rows, as they were added; nothing can be added after this."""
        import pyarrow

        self._close()
        with pyarrow.OSFile(str(self._kept)) as file:
            reader = pyarrow.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    def _columns(
        self, first: int, polygons: NDArray[Any], vectors: NDArray[np.float32], pixels: NDArray[np.int64]
    ) -> dict[str, Any]:
        import pyarrow
        import shapely

        embeddings, options, count = self._embeddings, self._options, len(polygons)
        about, square_metres = embeddings.provenance, pixels * self._square_metres
        # Metres of a unit of the CRS, which may be feet
        factor = math.sqrt(self._square_metres / abs(embeddings.grid.transform.determinant))
        details = (
            f"TESSERA embeddings of {about.get('scene', embeddings.path.name)} by {about.get('model', 'a model')}, "
            f"segmented by tessera-engine, scale {options.scale:g}, at least {options.min_area:g} ha"
        )
        columns: dict[str, Any] = {
            "id": [str(number) for number in range(first + 1, first + count + 1)],
            "collection": [self._name.stem] * count,
            "hectares": square_metres / SQUARE_METRES,
            "metrics:area": square_metres.astype(np.float32),
            "metrics:perimeter": (shapely.length(polygons) * factor).astype(np.float32),
            "determination:method": [METHOD] * count,
            "determination:details": [details] * count,
        }
        if self._ended is not None:
            columns["determination:datetime"] = pyarrow.array(
                [self._ended] * count, pyarrow.timestamp("ms", "UTC")
            )
        return columns | {
            f"mean_{k + 1:03d}": np.ascontiguousarray(vectors[:, k]) for k in range(vectors.shape[1])
        }


def _last_moment(embeddings: Embeddings) -> datetime | None:
    """The end of the observations; None where it isn't known.

    Raises:
        CheckFailed: what the item gives is no time.
    """
    # Without a year or season it is only the day when the output was made
    known = any(embeddings.provenance.get(key) is not None for key in ("year", "season"))
    text = embeddings.item["properties"].get("end_datetime") if known else None
    if text is None:
        return None
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).astimezone(timezone.utc)
    except (OverflowError, ValueError):
        raise CheckFailed(
            f"{embeddings.path / ITEM} has the end_datetime {quoted(str(text))}, expected one like "
            "2024-12-31T23:59:59Z; make or copy the output again"
        ) from None
