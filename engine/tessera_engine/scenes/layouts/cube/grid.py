"""Where the pixels of a cube are: the grid by its coordinate variables, whose values are the centres of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.scenes.layouts.cube.container import Array
from tessera_engine.scenes.products import Unusable

_METRES = {"km": 1000.0, "kilometre": 1000.0, "kilometer": 1000.0, "kilometers": 1000.0, "kilometres": 1000.0}

_UNEVEN = 0.01
"""Fraction of a pixel by which a coordinate may be beside its place; float32 may be off by its rounding besides."""

_TRANSFORMS = (
    # Six numbers in Affine's order, or in GDAL's
    ("transform", False), ("proj:transform", False), ("spatial:transform", False), ("affine", False),
    ("GeoTransform", True), ("geotransform", True),
)  # fmt: skip


class Line(NamedTuple):
    """Evenly spaced positions along one axis.

    Attributes:
        first: the outer edge of the first pixel.
        step: size of a pixel; negative where positions fall.
    """

    first: float
    step: float


def transform_of(
    x: tuple[Array | None, int], y: tuple[Array | None, int], attributes: Iterable[Mapping[str, Any]]
) -> Affine:
    """The affine transform of an array, with the order of its rows and columns as stored.

    The coordinate variables decide. A transform in attributes tells whether their values are centres or corners
    (stackstac writes corners), and takes their place where there are none; one that doesn't match them is left over
    from before the array was cut, and is not used.

    Args:
        x: coordinate variable along x, and the number of pixels.
        y: the same along y.
        attributes: attributes of the array, its grid mapping and its groups, nearest first.

    Raises:
        Unusable: positions are missing, uneven, or not in order.
    """
    given = next((found for each in attributes if (found := _transform(each)) is not None), None)
    if x[0] is None or y[0] is None:
        if given is None:
            raise Unusable(
                f"has no coordinate variable {'x' if x[0] is None else 'y'}, so its place on Earth is unknown"
            )
        return given
    counted = [each for each in (x[0], y[0]) if _counts(each)]
    if counted and (given is None or len(counted) == 1):
        last = counted[0].shape[0] - 1
        raise Unusable(
            f"has the numbers of pixels (up to {_positions(counted[0])[last]:.12g}) in {counted[0].name}, expected "
            "positions in the CRS: give it coordinates, or the attribute GeoTransform"
        )
    if given is not None and counted:
        return given
    lines = []
    steps = [_step(*x), _step(*y)]
    for (coordinate, _), own, other, axis in zip((x, y), steps, reversed(steps), (0, 1), strict=True):
        assert coordinate is not None
        of_transform = None if given is None else ((given.a, given.c), (given.e, given.f))[axis]
        step = own if own is not None else (of_transform[0] if of_transform else _opposite(other, axis))
        if step is None:
            raise Unusable(f"has one value in {coordinate.name}, so the size of its pixels is unknown")
        lines.append(_line(coordinate, step, of_transform))
    return Affine(lines[0].step, 0, lines[0].first, 0, lines[1].step, lines[1].first)


def _counts(coordinate: Array) -> bool:
    """Whether values are 0, 1, 2, .., or 1, 2, 3, ..: no grid of Sentinel has such positions."""
    values = _positions(coordinate)
    return len(values) > 1 and values[0] in (0, 0.5, 1) and bool((np.diff(values) == 1).all())


def _opposite(other: float | None, axis: int) -> float | None:
    """The step of square pixels in the usual order: x grows, y falls."""
    if other is None:
        return None
    return abs(other) if axis == 0 else -abs(other)


def _step(coordinate: Array | None, length: int) -> float | None:
    """The distance of neighbouring values; None where there is one value only."""
    assert coordinate is not None
    values = _positions(coordinate)
    if length == 1:
        return None
    steps = np.diff(values)
    if not (steps > 0).all() and not (steps < 0).all():
        odd = int(np.argmax(np.sign(steps) != np.sign(steps[0]) if steps[0] else steps == 0)) + 1
        raise Unusable(
            f"has positions in {coordinate.name} that neither only grow nor only fall: {values[odd - 1]:.12g} is "
            f"followed by {values[odd]:.12g} at place {odd}; sort it, without doubles"
        )
    step = float(values[-1] - values[0]) / (length - 1)
    beside = np.abs(values - (values[0] + step * np.arange(length)))
    rounding = (
        float(np.finfo(coordinate.dtype).eps * np.abs(values).max()) if coordinate.dtype.kind == "f" else 0.0
    )
    worst = int(beside.argmax())
    if beside[worst] > _UNEVEN * abs(step) + rounding:
        raise Unusable(
            f"has uneven positions in {coordinate.name}: {values[worst]:.12g} at place {worst}, expected "
            f"{values[0] + step * worst:.12g}; resample it to even steps"
        )
    if beside[worst] > 1e-6 * abs(step):  # rounded values: the straight line through all of them
        step = float(np.polyfit(np.arange(length), values - values[0], 1)[0])
    return _rounded(step, step, length)


def _line(coordinate: Array, step: float, of_transform: tuple[float, float] | None) -> Line:
    values = _positions(coordinate)
    places = np.arange(len(values))
    first = float(values[0])
    if np.abs(values - (first + step * places)).max() > 1e-6 * abs(step):
        first = float((values - step * places).mean())
    corner = first - step / 2
    if of_transform is not None and abs(of_transform[0] - step) < 1e-6 * abs(step):
        beside = (first - of_transform[1]) / step
        if abs(beside - round(beside)) < 0.01:
            corner = first  # values are whole pixels from the transform's corner: they are corners
    return Line(_rounded(corner, step, 1), step)


def _rounded(value: float, step: float, length: int) -> float:
    """Without the noise of binary fractions, such as 9.999999999; never by more than a millionth of a pixel."""
    for digits in range(13):
        short = round(value, digits)
        if abs(short - value) * length < 1e-7 * abs(step):
            return short
    return value


def _positions(coordinate: Array) -> NDArray[np.float64]:
    values = coordinate.values()
    if values.dtype.kind not in "iuf":
        raise Unusable(f"has {values.dtype} in its coordinate {coordinate.name}, expected numbers")
    positions = values.astype(np.float64)
    scale, offset = (coordinate.attributes.get(key) for key in ("scale_factor", "add_offset"))
    if isinstance(scale, (int, float)):
        positions *= scale
    if isinstance(offset, (int, float)):
        positions += offset
    if not np.isfinite(positions).all():
        place = int(np.argmin(np.isfinite(positions)))
        raise Unusable(
            f"has {positions[place]} at place {place} of its coordinate {coordinate.name}, expected numbers"
        )
    return positions * _METRES.get(str(coordinate.attributes.get("units", "")).lower(), 1.0)


def _transform(attributes: Mapping[str, Any]) -> Affine | None:
    for key, gdal_order in _TRANSFORMS:
        value = attributes.get(key)
        if isinstance(value, str):
            value = value.replace(",", " ").replace("(", " ").replace(")", " ").split()
        if not isinstance(value, list) or len(value) < 6:
            continue
        try:
            numbers = [float(each) for each in value[:6]]
        except (TypeError, ValueError):
            continue
        found = Affine.from_gdal(*numbers) if gdal_order else Affine(*numbers)
        if np.isfinite(numbers).all() and found.determinant and not found.b and not found.d:
            return found
    return None
