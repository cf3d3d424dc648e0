"""The options of what is made from embeddings: checked once, before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

from tessera_engine.analysis.maps.learn import METHODS
from tessera_engine.analysis.regions import TOP_SHARE
from tessera_engine.analysis.sampling.pooling import POOLS
from tessera_engine.errors import InputError, check_type, is_of
from tessera_engine.files.nearby import nearest
from tessera_engine.formats.given import check_path
from tessera_engine.formats.opening import check_day
from tessera_engine.machine import check_threads
from tessera_engine.model.installed import DEFAULT_MODEL
from tessera_engine.running.options import CHECKS as RUN_CHECKS

Options = TypeVar("Options")


class SimilarKeywords(TypedDict, total=False):
    """What `similar` takes as keywords; see `SimilarOptions`."""

    top: float
    dim: int | None
    year: int | None
    until: date | str | None
    memory: int | str | None


@dataclass(frozen=True)
class SimilarOptions:
    """How similar places are searched.

    Attributes:
        top: share of the pixels that are the top regions.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        year: the year to read, of an output with several years.
        until: the last day of the period to read, of an output with several periods.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
    """

    top: float = TOP_SHARE
    dim: int | None = None
    year: int | None = None
    until: date | None = None
    memory: int | None = None


class ChangeKeywords(TypedDict, total=False):
    """What `change` takes as keywords; see `ChangeOptions`."""

    top: float
    dim: int | None
    years: tuple[int, int] | None
    untils: tuple[date | str, date | str] | None
    memory: int | str | None


@dataclass(frozen=True)
class ChangeOptions:
    """How two years are compared.

    Attributes:
        top: share of the pixels that are the top regions.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        years: the year to read of each, of outputs with several years.
        untils: the last day of the period to read of each, of outputs with several periods.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
    """

    top: float = TOP_SHARE
    dim: int | None = None
    years: tuple[int, int] | None = None
    untils: tuple[date, date] | None = None
    memory: int | None = None


class MapKeywords(TypedDict, total=False):
    """What `map` takes as keywords; see `MapOptions`."""

    train: Any
    by_segment: str | os.PathLike[str] | None
    method: str
    regression: bool
    block: float | None
    layer: str | None
    labels_crs: str | int | None
    band: int | None
    nodata: float | None
    dim: int | None
    year: int | None
    train_year: int | None
    until: date | str | None
    train_until: date | str | None
    memory: int | str | None
    threads: int | None


@dataclass(frozen=True)
class MapOptions:
    """How a map is made from labels.

    Attributes:
        train: the embeddings at the labels, by the same model; None: the embeddings that are mapped.
        by_segment: a file of polygons, such as `segment` writes: each gets one class or number; None: map by pixel.
        method: one of `tessera_engine.analysis.maps.learn.METHODS`.
        regression: the labels are numbers, not classes.
        block: side of the blocks of the spatial cross-validation, in metres; None: a fifth of the labelled area.
        layer: the layer of a file of labels with several; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates; None: what the file says.
        band: the band of a raster of labels with several, from 1; None: the only one.
        nodata: the number that is no label; None: what a raster declares.
        dim: use only the first `dim` dimensions; None: all that are stored.
        year: the year to map, of an output with several years.
        train_year: the year to read from `train`, if it has several.
        until: the last day of the period to map, of an output with several periods.
        train_until: the last day of the period to read from `train`, if it has several.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
        threads: CPU threads; None: all that this process may use.
    """

    train: Any = None
    by_segment: Path | None = None
    method: str = "linear"
    regression: bool = False
    block: float | None = None
    layer: str | None = None
    labels_crs: str | None = None
    band: int | None = None
    nodata: float | None = None
    dim: int | None = None
    year: int | None = None
    train_year: int | None = None
    until: date | None = None
    train_until: date | None = None
    memory: int | None = None
    threads: int | None = None


class SegmentKeywords(TypedDict, total=False):
    """What `segment` takes as keywords; see `SegmentOptions`."""

    scale: float
    min_area: float
    dim: int | None
    year: int | None
    until: date | str | None
    memory: int | str | None


@dataclass(frozen=True)
class SegmentOptions:
    """How fields and patches are found.

    Attributes:
        scale: the larger, the larger the segments, see `tessera_kernels.segment.merge`.
        min_area: hectares of the smallest segment.
        dim: compare only the first `dim` dimensions; None: all that are stored.
        year: the year to read, of an output with several years.
        until: the last day of the period to read, of an output with several periods.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
    """

    scale: float = 100.0
    min_area: float = 0.1
    dim: int | None = None
    year: int | None = None
    until: date | None = None
    memory: int | None = None


class EvaluateKeywords(TypedDict, total=False):
    """What `evaluate` takes as keywords; see `EvaluateOptions`."""

    method: str | list[str] | tuple[str, ...] | None
    regression: bool
    block: float | None
    layer: str | None
    labels_crs: str | int | None
    band: int | None
    nodata: float | None
    year: int | None
    until: date | str | None
    threads: int | None


@dataclass(frozen=True)
class EvaluateOptions:
    """How stored forms are compared.

    Attributes:
        method: of `tessera_engine.analysis.maps.learn.METHODS`.
        regression: the labels are numbers, not classes.
        block: side of the blocks that are held out, in metres; None: a fifth of the labelled area.
        layer: the layer of a file of labels with several; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates; None: what the file says.
        band: the band of a raster of labels with several, from 1; None: the only one.
        nodata: the number that is no label; None: what a raster declares.
        year: the year to read, of an output with several years.
        until: the last day of the only period to read, of an output with several periods; None: score each of them.
        threads: CPU threads; None: all that this process may use.
    """

    method: tuple[str, ...] = METHODS
    regression: bool = False
    block: float | None = None
    layer: str | None = None
    labels_crs: str | None = None
    band: int | None = None
    nodata: float | None = None
    year: int | None = None
    until: date | None = None
    threads: int | None = None


class SampleKeywords(TypedDict, total=False):
    """What `sample` takes as keywords; see `SampleOptions`."""

    model: Any
    pool: str | list[str] | tuple[str, ...] | None
    layer: str | None
    shapes_crs: str | int | None
    buffer: float | str | None
    id: str | None
    dim: int | None
    year: int | None
    until: date | str | None
    memory: int | str | None
    strict: bool


@dataclass(frozen=True)
class SampleOptions:
    """How a table of embeddings at shapes is made.

    Attributes:
        model: for scenes: a loaded model, the name of one on this machine, or a model file.
        pool: how the pixels of a shape are pooled, of `POOLS`; empty: mean, or nothing for a file of points.
        layer: the layer of the shapes; None: the only one that has some.
        shapes_crs: the CRS of the shapes' coordinates; None: what the file says.
        buffer: metres by which shapes grow, or shrink where negative.
        id: the column with the ids, whose values must be unique; None: a column named id, if there is one.
        dim: only the first `dim` dimensions; None: all that are stored.
        year: only this year; None: all years of an output.
        until: the last day of the period to read, of an output with several periods.
        memory: bytes that embedding a scene may take; None: half of the free memory, at most 4 GB.
        strict: refuse a scene with any finding.
    """

    model: Any = DEFAULT_MODEL
    pool: tuple[str, ...] = ()
    layer: str | None = None
    shapes_crs: str | None = None
    buffer: float = 0.0
    id: str | None = None
    dim: int | None = None
    year: int | None = None
    until: date | None = None
    memory: int | None = None
    strict: bool = False


def check_options(
    kind: type[Options],
    function: str,
    options: Mapping[str, Any],
    own: Mapping[str, Callable[[str, object], Any]] | None = None,
) -> Options:
    """Check options as a user gave them.

    Args:
        kind: a dataclass of options.
        function: the name of the function that takes them.
        options: the options by name; None stands for the default.
        own: what checks the options that are this function's alone; None: all are in `CHECKS`.

    Raises:
        InputError: an unknown option, or a value of the wrong type or outside of its range.
    """
    names = [field.name for field in fields(cast(Any, kind))]
    for name in options:
        if name not in names:
            near = nearest(name, [*names, "out", "overwrite", "progress"])
            hint = f"did you mean '{near}'?" if near else f"the options are {', '.join(names)}"
            raise InputError(f"'{name}' is not an option of {function}; {hint}")
    several = {"method": _methods} if kind is EvaluateOptions else {}
    if kind is SampleOptions:
        several = {"pool": _pools}
    checks: dict[str, Callable[[str, object], Any]] = {**CHECKS, **several, **(own or {})}
    return kind(**{name: checks[name](name, value) for name, value in options.items() if value is not None})


def _share(name: str, value: object) -> float:
    check_type(name, value, (float,), "a share of the pixels, more than 0 and less than 1")
    share = float(cast(float, value))
    if not 0 < share < 1:
        raise InputError(
            f"{name}={share:g} is not a share of the pixels; expected more than 0 and less than 1"
        )
    return share


def _years(name: str, value: object) -> tuple[int, int]:
    expected = "two years, of the first and of the second embeddings"
    check_type(name, value, (tuple, list), expected)
    years = tuple(cast(tuple[Any, ...], value))
    if len(years) != 2 or not all(is_of(year, (int,)) for year in years):
        raise InputError(f"{name}={list(years)} is not {expected}")
    return int(years[0]), int(years[1])


def _untils(name: str, value: object) -> tuple[date, date]:
    expected = "two days, the last ones of the first and of the second embeddings"
    check_type(name, value, (tuple, list), expected)
    days = [check_day(name, each) for each in cast(Sequence[Any], value)]
    if len(days) != 2 or days[0] is None or days[1] is None:
        raise InputError(f"{name}={value} is not {expected}")
    return days[0], days[1]


def _method(name: str, value: object) -> str:
    check_type(name, value, (str,), f"one of {', '.join(METHODS)}")
    if value not in METHODS:
        near = nearest(str(value), METHODS)
        hint = f"; did you mean '{near}'?" if near else ""
        raise InputError(f"{name}={value} is unknown; choose one of {', '.join(METHODS)}{hint}")
    return str(value)


def _methods(name: str, value: object) -> tuple[str, ...]:
    each = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return tuple(_method(name, one) for one in each)


def _pools(name: str, value: object) -> tuple[str, ...]:
    each = tuple(value.split(",")) if isinstance(value, str) else value
    check_type(name, each, (list, tuple), f"some of {', '.join(POOLS)}")
    pools = tuple(str(one).strip() for one in cast(tuple[Any, ...], each))
    for one in pools:
        if one not in POOLS:
            near = nearest(one, POOLS)
            hint = f"; did you mean '{near}'?" if near else ""
            raise InputError(f"{name}={one} is unknown; choose some of {', '.join(POOLS)}{hint}")
    return tuple(dict.fromkeys(pools))


def _id(name: str, value: object) -> str:
    check_type(name, value, (str,), "the name of a column")
    return str(value)


def _metres(name: str, value: object) -> float:
    check_type(name, value, (float,), "metres, more than 0")
    metres = float(cast(float, value))
    if not metres > 0:
        raise InputError(f"{name}={metres:g} is not a length; expected metres, more than 0")
    return metres


def _scale(name: str, value: object) -> float:
    check_type(name, value, (float,), "a number, more than 0")
    scale = float(cast(float, value))
    if not 0 < scale < 1e9:
        raise InputError(f"{name}={scale:g} can't be used; expected a number, more than 0")
    return scale


def _hectares(name: str, value: object) -> float:
    check_type(name, value, (float,), "hectares, 0 or more")
    hectares = float(cast(float, value))
    if not 0 <= hectares < 1e9:
        raise InputError(f"{name}={hectares:g} is not an area; expected hectares, 0 or more")
    return hectares


def _file(name: str, value: object) -> Path:
    check_path(name, value, "a file of polygons")
    return Path(cast("str | os.PathLike[str]", value))


def _band(name: str, value: object) -> int:
    check_type(name, value, (int,), "the number of a band, from 1")
    number = int(cast(int, value))
    if number < 1:
        raise InputError(f"{name}={number} is not the number of a band; bands are counted from 1")
    return number


def _nodata(name: str, value: object) -> float:
    check_type(name, value, (float,), "a number")
    return float(cast(float, value))


def _threads(name: str, value: object) -> int:
    check_type(name, value, (int,), "a whole number")
    return check_threads(int(cast(int, value)))


CHECKS: Mapping[str, Callable[[str, object], Any]] = {
    "top": _share,
    "dim": RUN_CHECKS["dim"],
    "year": RUN_CHECKS["dim"],
    "train_year": RUN_CHECKS["dim"],
    "years": _years,
    "until": check_day,
    "train_until": check_day,
    "untils": _untils,
    "memory": RUN_CHECKS["memory"],
    "regression": RUN_CHECKS["overwrite"],
    "train": lambda name, value: value,
    "by_segment": _file,
    "method": _method,
    "block": _metres,
    "layer": RUN_CHECKS["layer"],
    "labels_crs": RUN_CHECKS["shapes_crs"],
    "band": _band,
    "nodata": _nodata,
    "threads": _threads,
    "model": lambda name, value: value,
    "shapes_crs": RUN_CHECKS["shapes_crs"],
    "buffer": RUN_CHECKS["buffer"],
    "id": _id,
    "strict": RUN_CHECKS["strict"],
    "scale": _scale,
    "min_area": _hectares,
}
"""Option -> what checks its value and gives it in one form."""
