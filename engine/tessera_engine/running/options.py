"""The options of a run: from the command line or Python, checked once, in one place."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict, cast

from tessera_engine.errors import InputError, check_type, is_of
from tessera_engine.files.naming import check_utf8
from tessera_engine.files.nearby import nearest, unknown
from tessera_engine.formats.appending import check_appendable
from tessera_engine.formats.registry import FORMATS, format_named
from tessera_engine.geo import check_window, window_of_bbox
from tessera_engine.model.facts import ModelFacts
from tessera_engine.pictures.quicklook import QUICKLOOKS
from tessera_engine.places.crs import parse_crs
from tessera_engine.places.selecting import AOI, POINTS, Asked, parse_length
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.running.memory import parse_size
from tessera_engine.running.periods import parse_every
from tessera_engine.scene import Grid, Window

STORED_AS = ("int8", "float32")

ELSEWHERE = {
    "load_model": ("precision", "backend", "device", "device_memory", "threads"),
    "open_scene": ("layout", "year", "start", "end", "season", "like", "s1_units"),
}
"""Options of the command `embed` that Python gives to another function."""


class EmbedOptions(TypedDict, total=False):
    """What `embed` takes as keywords; see `RunOptions`."""

    window: tuple[int, int, int, int] | None
    bbox: tuple[float, float, float, float] | None
    aoi: str | os.PathLike[str] | None
    points: str | os.PathLike[str] | None
    layer: str | None
    shapes_crs: str | int | None
    buffer: float | str | None
    dim: int | None
    stored_as: str | None
    format: str
    quicklook: str
    every: str | None
    min_clear: int | None
    truecolour: bool
    memory: int | str | None
    overwrite: bool
    append: bool
    restart: bool
    check: bool
    strict: bool


@dataclass(frozen=True)
class RunOptions:
    """How a scene is embedded and stored.

    Attributes:
        window: the part of the scene, in pixels; None: all, or what `bbox` says.
        bbox: the part of the scene: west, south, east, north in degrees.
        aoi: a file of shapes: only pixels in them are embedded.
        points: a file of points: only their pixels are embedded.
        layer: the layer of that file; None: the only one with shapes.
        shapes_crs: the CRS of its coordinates; None: what the file says.
        buffer: metres by which its shapes grow, or shrink where negative.
        dim: length of the embedding, one of the model's prefixes; None: the whole.
        stored_as: `int8` or `float32`; None: int8 for an int8 model, else float32.
        format: one of `tessera_engine.formats.registry.FORMATS`.
        quicklook: one of `tessera_engine.pictures.quicklook.QUICKLOOKS`.
        every: also embed the periods that grow to the whole time by this step, see
            `tessera_engine.running.periods.parse_every`; None: only the whole time.
        min_clear: pixels with fewer clear Sentinel-2 dates are flagged in the quality layer; None: no limit.
        truecolour: also write `truecolour.tif`, see `tessera_engine.pictures.true_colour`.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
        overwrite: replace an earlier output.
        append: add to a store of that format at `out`, see `tessera_engine.formats.grown`.
        restart: discard an interrupted run and start again.
        check: on resuming, read all finished windows of the scene again to see whether it has changed, not only some.
        strict: refuse a scene with any finding.
    """

    window: Window | None = None
    bbox: tuple[float, float, float, float] | None = None
    aoi: Path | None = None
    points: Path | None = None
    layer: str | None = None
    shapes_crs: str | None = None
    buffer: float | None = None
    dim: int | None = None
    stored_as: str | None = None
    format: str = "cog"
    quicklook: str = "pca"
    every: str | None = None
    min_clear: int | None = None
    truecolour: bool = True
    memory: int | None = None
    overwrite: bool = False
    append: bool = False
    restart: bool = False
    check: bool = False
    strict: bool = False

    @classmethod
    def given(cls, options: Mapping[str, Any]) -> RunOptions:
        """Check options as a user gave them, without opening or loading anything.

        Args:
            options: see `EmbedOptions`.

        Raises:
            InputError: an unknown option, a value of the wrong type, an unknown value, or options that contradict
                each other.
        """
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                raise InputError(_unknown(name, names))
        checked = {name: CHECKS[name](name, value) for name, value in options.items() if value is not None}
        made = cls(**checked)
        if made.append and made.overwrite:
            raise InputError(
                "append=True adds to an output that overwrite=True would replace; give only one of them"
            )
        if made.append and made.every is None:
            check_appendable(made.format)
        if made.window is not None and made.bbox is not None:
            raise InputError("window= and bbox= both name a part of the scene; give only one of them")
        if made.aoi is not None and made.points is not None:
            raise InputError("aoi= and points= both select pixels; give only one of them")
        if made.asked is None:
            for name in ("layer", "shapes_crs", "buffer"):
                if getattr(made, name) is not None:
                    raise InputError(f"{name}= is about shapes; give them as aoi= or points=")
        return made._of_several_periods(checked) if made.every is not None else made

    def _of_several_periods(self, given: Mapping[str, Any]) -> RunOptions:
        """The same for a store of several periods, which decides what wasn't given."""
        fitting = [name for name, each in FORMATS.items() if each.takes_periods]
        if given.get("format", fitting[0]) not in fitting:
            raise InputError(
                f"format={self.format} holds one period, and every={self.every} makes several; use format="
                f"{' or '.join(fitting)}, or leave format= out"
            )
        if self.append:
            raise InputError(
                "append=True adds years and scenes to a store, and every= makes a store of its own; give only one of "
                "them"
            )
        return replace(self, format=given.get("format", fitting[0]), stored_as=self.stored_as or "int8")

    @property
    def asked(self) -> Asked | None:
        """The shapes that select pixels; None: all pixels are embedded."""
        for kind, path in ((AOI, self.aoi), (POINTS, self.points)):
            if path is not None:
                file = ShapeFile(path, self.layer, self.shapes_crs, "shapes_crs")
                return Asked(kind, file, self.buffer or 0.0)
        return None

    def resolve(self, grid: Grid, facts: ModelFacts) -> RunOptions:
        """The same with `window`, `dim` and `stored_as` filled in for a scene and a model.

        Raises:
            InputError: the window or the box doesn't lie in the scene, or the model has no such prefix.
        """
        if self.bbox is not None:
            window = window_of_bbox(grid, self.bbox)
        else:
            window = grid.window if self.window is None else check_window(grid, self.window)
        return replace(
            self,
            window=window,
            bbox=None,
            dim=check_dim(self.dim, facts),
            stored_as=self.stored_as or ("int8" if facts.is_int8 else "float32"),
        )


def check_dim(dim: int | None, facts: ModelFacts) -> int:
    """The length of an embedding: `dim` if the model has that prefix, its whole length for None.

    Raises:
        InputError: the model has no such prefix.
    """
    if dim is None:
        return facts.dims
    check_type("dim", dim, (int,), "a whole number")
    if dim not in facts.prefixes:
        raise InputError(
            f"dim={dim} is not a prefix of model {facts.name}; choose one of "
            f"{', '.join(map(str, facts.prefixes))}"
        )
    return int(dim)


def spelled_out(function: Callable[..., Any], options: type, defaults: object) -> inspect.Signature:
    """The signature of a function with each option in the place of `**options`, for help and editors.

    Args:
        function: takes `**options`.
        options: a TypedDict of the options.
        defaults: has the default of each option as an attribute.
    """
    known = [
        each for each in inspect.signature(function).parameters.values() if each.kind != each.VAR_KEYWORD
    ]
    named = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(defaults, name),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in options.__annotations__.items()
    ]
    return inspect.Signature(
        [*known, *named], return_annotation=inspect.signature(function).return_annotation
    )


def _unknown(name: str, names: list[str]) -> str:
    for function, theirs in ELSEWHERE.items():
        if name in theirs:
            return f"'{name}' is not an option of embed; give it to {function}({name}=...)"
    near = nearest(name, names)
    hint = f"did you mean '{near}'?" if near else f"the options are {', '.join(names)}"
    return f"unknown option '{name}'; {hint}"


def _flag(name: str, value: object) -> bool:
    check_type(name, value, (bool,), "True or False")
    return bool(value)


def _window(name: str, value: object) -> Window:
    return Window(*map(int, _numbers(name, value, int, "four whole numbers: col, row, width, height")))


def _box(name: str, value: object) -> tuple[float, ...]:
    return tuple(
        map(float, _numbers(name, value, float, "four numbers: west, south, east, north in degrees"))
    )


def _numbers(name: str, value: object, kind: type, expected: str) -> tuple[Any, ...]:
    check_type(name, value, (tuple, list), expected)
    numbers = tuple(cast(Sequence[Any], value))
    if len(numbers) != 4 or not all(is_of(each, (kind,)) for each in numbers):
        raise InputError(f"{name}={list(numbers)} is not {expected}")
    return numbers


def _whole(name: str, value: object) -> int:
    check_type(name, value, (int,), "a whole number")
    return int(cast(int, value))


def _stored_as(name: str, value: object) -> str:
    return _one_of(name, value, STORED_AS)


def _format(name: str, value: object) -> str:
    check_type(name, value, (str,), f"one of {', '.join(FORMATS)}")
    format_named(str(value))
    return str(value)


def _quicklook(name: str, value: object) -> str:
    return _one_of(name, value, tuple(QUICKLOOKS))


def _one_of(name: str, value: object, values: tuple[str, ...]) -> str:
    check_type(name, value, (str,), f"one of {', '.join(values)}")
    if value not in values:
        raise unknown(name, value, values)
    return str(value)


def _path(name: str, value: object) -> Path:
    check_type(name, value, (str, os.PathLike), "a file of shapes")
    check_utf8(cast("str | os.PathLike[str]", value))
    return Path(cast("str | os.PathLike[str]", value))


def _layer(name: str, value: object) -> str:
    check_type(name, value, (str,), "the name of a layer")
    return str(value)


def _crs(name: str, value: object) -> str:
    check_type(name, value, (str, int), "a CRS, such as EPSG:32631")
    parse_crs(value, name)
    return str(value)


def _length(name: str, value: object) -> float:
    check_type(name, value, (float, str), "metres, or a length like '50m'")
    return parse_length(name, cast("float | str", value))


def _every(name: str, value: object) -> str:
    check_type(name, value, (str,), "a step of time, such as '14d' or 'month'")
    return parse_every(cast(str, value))


MOST_DATES = 366
"""Days of a leap year."""


def _count(name: str, value: object) -> int:
    count = _whole(name, value)
    if not 1 <= count <= MOST_DATES:
        raise InputError(f"{name}={count} is not a number of dates in a year, expected 1 to {MOST_DATES}")
    return count


def _memory(name: str, value: object) -> int:
    check_type(name, value, (int, str), "bytes, or a size like '2GB'")
    return parse_size(value) if isinstance(value, str) else _whole(name, value)


CHECKS: Mapping[str, Callable[[str, object], Any]] = {
    "window": _window,
    "bbox": _box,
    "aoi": _path,
    "points": _path,
    "layer": _layer,
    "shapes_crs": _crs,
    "buffer": _length,
    "dim": _whole,
    "stored_as": _stored_as,
    "format": _format,
    "quicklook": _quicklook,
    "every": _every,
    "min_clear": _count,
    "truecolour": _flag,
    "memory": _memory,
    "overwrite": _flag,
    "append": _flag,
    "restart": _flag,
    "check": _flag,
    "strict": _flag,
}
