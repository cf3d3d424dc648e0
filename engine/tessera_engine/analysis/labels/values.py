"""Values of fields and rasters as labels: class names, or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_LABELS = ("", "nan", "inf", "infinity")
"""Texts that are no label, whatever their case and sign."""


def class_names(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """(N,) values as names of classes; None where a value is missing or no label.

    Args:
        values: (N,) of a field or a raster.
        nodata: the number that is no label.
    """
    names = np.full(len(values), None, dtype=object)
    # Few values occur many times
    known: dict[Any, str | None] = {}
    for i, value in enumerate(values):
        try:
            if value not in known:
                known[value] = _name(value, nodata)
            names[i] = known[value]
        except TypeError:  # a list, or another value without a hash
            names[i] = _name(value, nodata)
    return names


def _name(value: Any, nodata: float | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            return None
        # GDAL gives whole numbers as floats where a value is missing
        text = str(int(value)) if float(value).is_integer() else str(value)
    else:
        text = " ".join(str(value).split())
    if text.lstrip("+-").casefold() in NO_LABELS or text == "NaT":
        return None
    if nodata is not None and _number(text) == nodata:
        return None
    return text


def numbers(values: NDArray[Any], nodata: float | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values as numbers, NaN where a value is missing, infinite or no number; and which of them are no number.

    Args:
        values: (N,) of a field.
        nodata: the number that is no label.

    Returns:
        (N,) float64, and (N,) True where there is a value which is no number.
    """
    found = np.array([np.nan if value is None else _number(value) for value in values], np.float64)
    other = [_name(value, None) is not None for value in values]  # texts, dates, lists
    wrong = np.isnan(found) & np.array(other, bool)
    found[~np.isfinite(found)] = np.nan
    if nodata is not None:
        found[found == nodata] = np.nan
    return found, wrong


def _number(value: Any) -> float:
    """The number that a value is; NaN where it is none."""
    if isinstance(value, str) and "_" in value:  # Python's own notation
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
