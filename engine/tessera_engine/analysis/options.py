"""The options of what is made from embeddings: checked once, before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

from tessera_engine.analysis.maps.learn import EVALUATED
from tessera_engine.analysis.option_checks import CHECKS, EVALUATE_CHECKS, MAP_CHECKS, SAMPLE_CHECKS
from tessera_engine.analysis.regions import TOP_SHARE
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest
from tessera_engine.model.installed import DEFAULT_MODEL

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
    context: int | None
    balance: bool
    regression: bool
    block: float | None
    test: str | os.PathLike[str] | None
    save: str | os.PathLike[str] | None
    probabilities: bool
    applicability: bool
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
        method: one of `tessera_engine.analysis.maps.learn.METHODS`, or `auto`.
        context: one of `tessera_engine.analysis.maps.features.CONTEXTS`; None: 0, or what `auto` finds.
        balance: all classes weigh the same in learning.
        regression: the labels are numbers, not classes.
        block: side of the blocks of the spatial cross-validation, in metres; None: a fifth of the labelled area.
        test: a file with independent labels, of the same field; None: none.
        save: the file to keep what was learned in; None: it isn't kept.
        probabilities: write the probability of each class.
        applicability: write how dissimilar each pixel is to the labels.
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
    context: int | None = None
    balance: bool = False
    regression: bool = False
    block: float | None = None
    test: Path | None = None
    save: Path | None = None
    probabilities: bool = False
    applicability: bool = False
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


class ApplyKeywords(TypedDict, total=False):
    """What `apply` takes as keywords; see `ApplyOptions`."""

    probabilities: bool
    year: int | None
    until: date | str | None
    memory: int | str | None
    threads: int | None


@dataclass(frozen=True)
class ApplyOptions:
    """How a saved classifier is applied.

    Attributes:
        probabilities: write the probability of each class.
        year: the year to map, of an output with several years.
        until: the last day of the period to map, of an output with several periods.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
        threads: CPU threads; None: all that this process may use.
    """

    probabilities: bool = False
    year: int | None = None
    until: date | None = None
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

    method: tuple[str, ...] = EVALUATED
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
    of_kind = {EvaluateOptions: EVALUATE_CHECKS, MapOptions: MAP_CHECKS, SampleOptions: SAMPLE_CHECKS}
    checks = {**of_kind.get(kind, CHECKS), **(own or {})}
    return kind(**{name: checks[name](name, value) for name, value in options.items() if value is not None})
