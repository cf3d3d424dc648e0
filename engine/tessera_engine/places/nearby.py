"""Which shapes lie near a box, and where those lie that don't."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.places.crs import LARGEST_LATITUDE, LARGEST_LONGITUDE, Near, can_be_degrees
from tessera_engine.places.losses import Cause, Losses
from tessera_engine.places.shapes import Box, Part, objects


class Collector:
    """Gathers the shapes near a box, from batches of a layer, and counts the others by cause.

    Args:
        crs: of the shapes, a `rasterio.crs.CRS`.
        near: the box.
        assumed: why this CRS was taken, where the file names none.
    """

    def __init__(self, crs: Any, near: Near, assumed: str = "") -> None:
        self.crs, self.assumed = crs, assumed
        self.box = near.box_in(crs)
        self.lost = Losses()
        self._geometries: list[NDArray[Any]] = []
        self._values: list[NDArray[Any]] = []
        self._bounds: Box | None = None

    def add_wkb(self, wkb: Iterable[bytes | None], values: Any) -> None:
        """Add shapes as WKB; None where a shape has no geometry."""
        import shapely

        self._add_parsed(shapely.from_wkb, objects(list(wkb)), values)

    def add_wkt(self, wkt: Iterable[str | None], values: Any) -> None:
        """Add shapes as WKT; None where a shape has no geometry."""
        import shapely

        self._add_parsed(shapely.from_wkt, objects(list(wkt)), values)

    def _add_parsed(self, parse: Callable[..., Any], texts: NDArray[Any], values: Any) -> None:
        geometries = parsed(parse, texts)
        broken = np.array(
            [shape is None and bool(text) for shape, text in zip(geometries, texts, strict=True)], bool
        )
        self.lost[Cause.BROKEN] += int(broken.sum())
        self.add(geometries[~broken], objects(values)[~broken])

    def add(self, geometries: NDArray[Any], values: NDArray[Any]) -> None:
        """Add shapely geometries (None: no geometry) with their values.

        Args:
            geometries: (N,).
            values: (N,).
        """
        import shapely

        with np.errstate(invalid="ignore"):  # shapely computes with coordinates that aren't finite
            geometries = shapely.force_2d(geometries)
            bounds = shapely.bounds(geometries)
            missing = shapely.is_missing(geometries) | shapely.is_empty(geometries)
            finite = np.isfinite(bounds).all(axis=1)
            left, bottom, right, top = np.where(finite[:, None], bounds, 0).T
            inside = finite & ~missing
            if self.crs.is_geographic:
                far = np.maximum(np.abs(left), np.abs(right)) > LARGEST_LONGITUDE
                inside &= ~far & (np.maximum(np.abs(bottom), np.abs(top)) <= LARGEST_LATITUDE)
            near = inside.copy()
            if self.box is not None:
                near &= (right >= self.box[0]) & (left <= self.box[2])
                near &= (top >= self.box[1]) & (bottom <= self.box[3])
            coordinates, owner = shapely.get_coordinates(geometries[near], return_index=True)
        # A polygon's bounds don't show coordinates that are no numbers
        bad = np.unique(owner[~np.isfinite(coordinates).all(axis=1)])
        placed = np.flatnonzero(near)
        inside[placed[bad]] = near[placed[bad]] = False
        self.lost[Cause.NO_GEOMETRY] += int(missing.sum())
        self.lost[Cause.OUT_OF_PROJECTION] += int((~missing & ~inside).sum())
        self.lost[Cause.BESIDE] += int((inside & ~near).sum())
        located = finite & ~missing
        if located.any():
            lower, upper = bounds[located, :2].min(axis=0), bounds[located, 2:].max(axis=0)
            self.extend((*map(float, lower), *map(float, upper)))  # type: ignore[arg-type]
        self._geometries.append(geometries[near])
        self._values.append(values[near])

    def extend(self, bounds: Box) -> None:
        """Note where more shapes of the layer lie."""
        known = self._bounds or bounds
        left, bottom = (min(known[i], bounds[i]) for i in (0, 1))
        right, top = (max(known[i], bounds[i]) for i in (2, 3))
        self._bounds = left, bottom, right, top

    def part(self) -> Part:
        """All that was gathered."""
        geometries = np.concatenate([objects([]), *self._geometries])
        values = np.concatenate([objects([]), *self._values])
        return Part(self.crs, geometries, values, self.lost, self._bounds, self.assumed)


def parsed(parse: Callable[..., Any], texts: NDArray[Any]) -> NDArray[Any]:
    """(N,) shapely geometries from WKB or WKT; None where there is none, or one that shapely doesn't know.

    Args:
        parse: `shapely.from_wkb` or `shapely.from_wkt`.
        texts: (N,) bytes or str; None: no geometry.
    """
    import shapely

    unknown = (shapely.errors.ShapelyError, NotImplementedError, TypeError, ValueError)
    try:
        found: NDArray[Any] = parse(texts, on_invalid="ignore")
    except unknown:  # a curve, for example, makes the whole call fail
        found = objects([None] * len(texts))
        for i, text in enumerate(texts):
            with suppress(*unknown):
                found[i] = parse(text, on_invalid="ignore")
    return found


def where_they_lie(parts: Iterable[Part], near: Near, parameter: str) -> str:
    """Where shapes lie that aren't near the box, and what may be wrong with that; empty where nothing is known.

    Args:
        parts: the layers.
        near: the box.
        parameter: the name of the user's parameter for the CRS.
    """
    for part in parts:
        if part.bounds is None:
            continue
        name, box = part.crs.to_string(), near.box_in(part.crs)
        degrees = part.crs.is_geographic
        turned = part.bounds[1], part.bounds[0], part.bounds[3], part.bounds[2]
        lying = f"they lie at {box_in_words(part.bounds)} in {name}"
        if degrees and can_be_degrees(turned) and box is not None and _touch(turned, box):
            return f"{lying}: latitude and longitude are swapped"
        if degrees and not can_be_degrees(part.bounds):
            why = part.assumed or "of the file"
            return f"{box_in_words(part.bounds)} can't be degrees, but the CRS is {name} ({why}); give {parameter}="
        if box is None:
            return f"{lying}, in which the scene has no place; is that their CRS? If not, give {parameter}="
        return f"{lying}, the scene at {box_in_words(box)}; if that is not their CRS, give {parameter}="
    return ""


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def box_in_words(box: Box) -> str:
    """The edges of a box, for messages."""
    left, bottom, right, top = (f"{value:.7g}" for value in box)
    return f"x {left} to {right}, y {bottom} to {top}"
