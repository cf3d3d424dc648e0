"""From the values of a cube, of any dtype, to those that the engine reads: digital numbers, classes, backscatter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scenes.layouts.cube.container import Array
from tessera_engine.scenes.metadata.baseline import OFFSET
from tessera_engine.scenes.products import Unusable

Convert = Callable[[NDArray[Any]], NDArray[Any]]

_QUANTITY = 10_000
"""Digital numbers are reflectance times this."""

_LAST_CLASS = 11
"""Of Sentinel-2's scene classification."""

_MOST_REFLECTANCE = 2.0
_MORE_THAN_PERCENT = 150.0
"""No reflectance in percent is larger, and the brightest pixels of any scene are in digital numbers."""


@dataclass(frozen=True)
class Packing:
    """How values are stored (CF conventions, 8.1): value = stored * scale + offset.

    Attributes:
        scale: `scale_factor`, 1 without one.
        offset: `add_offset`, 0 without one.
        missing: stored values that mean no data.
        unsigned: whether negative integers stand for large ones (`_Unsigned`).
    """

    scale: float
    offset: float
    missing: tuple[float, ...]
    unsigned: bool

    @property
    def plain(self) -> bool:
        """Whether values are stored as they are."""
        return (self.scale, self.offset) == (1.0, 0.0)


def packing_of(array: Array) -> Packing:
    """The packing that an array's attributes give.

    Raises:
        Unusable: an attribute isn't a number.
    """
    attributes = array.attributes
    nested = attributes.get("_eopf_attrs")
    if isinstance(nested, Mapping):
        attributes = {**nested, **attributes}
    missing = [attributes.get(key) for key in ("_FillValue", "missing_value", "fill_value", "nodata")]
    given = [*_flat(missing), *_flat([array.fill])]
    return Packing(
        scale=_number(array, attributes, "scale_factor", 1.0),
        offset=_number(array, attributes, "add_offset", 0.0),
        missing=tuple(dict.fromkeys(given)),
        unsigned=str(attributes.get("_Unsigned", "")).lower() == "true" and array.dtype.kind == "i",
    )


def _flat(values: list[Any]) -> list[float]:
    found: list[float] = []
    for value in values:
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, np.generic):
                each = each.item()
            if isinstance(each, str) and each.lower() == "nan":
                each = float("nan")
            if isinstance(each, (int, float)) and not isinstance(each, bool):
                found.append(each)
    return found


def _number(array: Array, attributes: Mapping[str, Any], key: str, default: float) -> float:
    value = attributes.get(key, default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Unusable(f"has {key} {value!r} on {array.name}, expected a number") from None
    if not np.isfinite(number) or (key == "scale_factor" and number == 0):
        raise Unusable(
            f"has scale_factor and add_offset on {array.name} that lose its values: {key} {number}"
        )
    return number


def _prepared(values: NDArray[Any], packing: Packing) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Values as numbers, and where there are none."""
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    absent: NDArray[np.bool_] | None = np.isnan(values) if values.dtype.kind == "f" else None
    large = values.view(values.dtype.str.replace("i", "u")) if packing.unsigned else values
    for each in packing.missing:
        if each == each:
            here = (values == each) | (large == each)  # the attribute is signed too, or not
            absent = here if absent is None else absent | here
    return large, absent


def digital_numbers(packing: Packing, stored_as: Literal["numbers", "reflectance"]) -> Convert:
    """To uint16 reflectance * 10000, 0 where there is no data.

    Args:
        packing: of the stored values.
        stored_as: `numbers`: the stored values are digital numbers, whatever the scale says; `reflectance`: stored *
            scale + offset is reflectance.
    """

    def convert(values: NDArray[Any]) -> NDArray[np.uint16]:
        numbers, absent = _prepared(values, packing)
        if stored_as == "reflectance":
            numbers = (numbers.astype(np.float64) * packing.scale + packing.offset) * _QUANTITY
        if numbers.dtype.kind == "f":
            # A value that can't be a digital number isn't data
            numbers = np.rint(np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0))
        if numbers.dtype != np.uint16:
            numbers = np.clip(numbers, 0, 65535).astype(np.uint16)
        return _without(numbers, absent)

    return convert


def classes(packing: Packing) -> Convert:
    """To uint8 classes, 0 where there is no data.

    EOPF's tools and others write the bands' scale on classes too, whose stored values are the classes all the same; a
    stored value that is none is unpacked.
    """

    def convert(values: NDArray[Any]) -> NDArray[np.uint8]:
        numbers, absent = _prepared(values, packing)
        if numbers.dtype.kind == "f":
            numbers = np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)
        if not packing.plain:
            unpacked = np.rint(numbers * packing.scale + packing.offset)
            numbers = np.where(numbers <= _LAST_CLASS, numbers, unpacked)
        return _without(np.clip(numbers, 0, 255).astype(np.uint8), absent)

    return convert


def clear_mask(packing: Packing) -> Convert:
    """To uint8: 1 where clear, 0 where not or where there is no data."""

    def convert(values: NDArray[Any]) -> NDArray[np.uint8]:
        numbers, absent = _prepared(values, packing)
        clear: NDArray[np.uint8] = (numbers != 0).view(np.uint8)
        return _without(clear, absent)

    return convert


def backscatter(packing: Packing, dtype: np.dtype[Any]) -> Convert:
    """To floating point with NaN where there is no data, or to int32 codes with 0 there.

    Args:
        packing: of the stored values.
        dtype: in which they are stored.
    """
    floating = dtype.kind == "f" or not packing.plain

    def convert(values: NDArray[Any]) -> NDArray[Any]:
        numbers, absent = _prepared(values, packing)
        if not floating:
            return _without(np.clip(numbers, -(2**31), 2**31 - 1).astype(np.int32), absent)
        result: NDArray[Any] = numbers.astype(
            np.float64 if numbers.dtype == np.float64 or not packing.plain else np.float32
        )
        if not packing.plain:
            result = result * packing.scale + packing.offset
        if absent is not None:
            result[absent] = np.nan
        return result

    return convert


def _without(values: NDArray[Any], absent: NDArray[np.bool_] | None) -> NDArray[Any]:
    if absent is not None and absent.any():
        values = values.copy()
        values[absent] = 0
    return values


def baseline_offset(packings: list[Packing]) -> int | None:
    """The number to subtract from digital numbers; None where scale and offset are others than ESA's.

    Args:
        packings: of all bands.
    """
    if any(round(each.scale * _QUANTITY, 6) != 1 for each in packings):
        return None
    offsets = {round(-each.offset / each.scale) for each in packings}
    return offsets.pop() if len(offsets) == 1 and offsets <= {0, OFFSET} else None


def kind_of_values(name: str, sample: NDArray[np.float64]) -> Literal["numbers", "reflectance"] | None:
    """Whether a band with decimals has digital numbers, such as xarray makes where some are missing, or reflectance.

    Args:
        name: the band's, for the message.
        sample: unpacked values of several dates, NaN where they mean no data.

    Returns:
        What they are; None where the sample has no values but 0.

    Raises:
        Unusable: they are neither.
    """
    sample = sample[np.isfinite(sample) & (sample != 0)]
    if not sample.size:
        return None
    high, whole = float(np.percentile(sample, 99)), bool((sample == np.rint(sample)).all())
    if high <= _MOST_REFLECTANCE and not whole:
        return "reflectance"
    if high >= _MORE_THAN_PERCENT or (whole and high > _MOST_REFLECTANCE):
        return "numbers"
    raise Unusable(
        f"has values up to {high:.4g} in {name}, expected reflectance (0 to 1) or reflectance * 10000"
    )
