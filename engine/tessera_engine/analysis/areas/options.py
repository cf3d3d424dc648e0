"""The options of sampling designs and of areas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from tessera_engine.errors import InputError, check_type
from tessera_engine.running.options import CHECKS as RUN_CHECKS

EXPECTED_ACCURACY = 0.8
"""Of each class, where nothing else is said."""

LEAST = 50
"""Points of a rare class: 50 to 100 are usual (Olofsson et al. 2014)."""


class DesignKeywords(TypedDict, total=False):
    """What `sample_design` takes as keywords; see `DesignOptions`."""

    per_class: int | None
    standard_error: float | None
    expected_accuracy: float | Mapping[str, float] | None
    least: int | None
    seed: int
    show_class: bool
    nodata: float | None


@dataclass(frozen=True)
class DesignOptions:
    """How points to check are drawn.

    Attributes:
        per_class: points of each class; None: by `standard_error`.
        standard_error: that the overall accuracy will have, as a share such as 0.01; None: by `per_class`.
        expected_accuracy: the user's accuracy that is expected: one for all classes, or by the name of a class.
        least: points of a rare class.
        seed: of the random draw.
        show_class: write the map's class of each point; without it, who checks the points doesn't see it.
        nodata: the map's value of pixels without a class; None: what the file declares.
    """

    per_class: int | None = None
    standard_error: float | None = None
    expected_accuracy: float | Mapping[str, float] = EXPECTED_ACCURACY
    least: int = LEAST
    seed: int = 0
    show_class: bool = False
    nodata: float | None = None


class AreaKeywords(TypedDict, total=False):
    """What `area` takes as keywords; see `AreaOptions`."""

    layer: str | None
    reference_crs: str | int | None
    nodata: float | None


@dataclass(frozen=True)
class AreaOptions:
    """How points that were checked are read.

    Attributes:
        layer: the layer of the points; None: the only one that has some.
        reference_crs: the CRS of their coordinates; None: what the file says.
        nodata: the map's value of pixels without a class; None: what the file declares.
    """

    layer: str | None = None
    reference_crs: str | None = None
    nodata: float | None = None


def _points(name: str, value: object) -> int:
    check_type(name, value, (int,), "a number of points")
    number = int(cast(int, value))
    if not 2 <= number <= 1_000_000:
        raise InputError(f"{name}={number} can't be used; expected 2 points or more of each class")
    return number


def _seed(name: str, value: object) -> int:
    check_type(name, value, (int,), "a whole number, 0 or more")
    number = int(cast(int, value))
    if number < 0:
        raise InputError(f"{name}={number} can't be used; expected a whole number, 0 or more")
    return number


def _error(name: str, value: object) -> float:
    check_type(name, value, (float,), "a share, such as 0.01")
    share = float(cast(float, value))
    if not 0 < share < 0.5:
        raise InputError(
            f"{name}={share:g} is not a standard error; expected more than 0 and less than 0.5, such as 0.01"
        )
    return share


def _accuracies(name: str, value: object) -> float | dict[str, float]:
    expected = "a share such as 0.8, or one for each class by its name"
    check_type(name, value, (float, Mapping), expected)
    by_class = value if isinstance(value, Mapping) else {"": value}
    for each in by_class.values():
        check_type(name, each, (float,), expected)
        if not 0 < float(cast(float, each)) <= 1:
            raise InputError(
                f"{name}={each:g} is not an accuracy; expected more than 0 and at most 1, such as 0.8"
            )
    if isinstance(value, Mapping):
        return {str(key): float(each) for key, each in value.items()}
    return float(cast(float, value))


def _nodata(name: str, value: object) -> float:
    check_type(name, value, (float,), "a number")
    return float(cast(float, value))


CHECKS: Mapping[str, Callable[[str, object], Any]] = {
    "per_class": _points,
    "standard_error": _error,
    "expected_accuracy": _accuracies,
    "least": _points,
    "seed": _seed,
    "show_class": RUN_CHECKS["overwrite"],
    "nodata": _nodata,
    "layer": RUN_CHECKS["layer"],
    "reference_crs": RUN_CHECKS["shapes_crs"],
}
"""Option -> what checks its value and gives it in one form."""
