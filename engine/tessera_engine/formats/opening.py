"""Opening embeddings: one `Embeddings`, in whatever format they are stored."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from tessera_engine.errors import CheckFailed, InputError, TesseraError, check_type
from tessera_engine.files.naming import check_utf8
from tessera_engine.files.nearby import no_such_folder
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.files.pinned import Pinned
from tessera_engine.formats.embeddings.base import PREFIXES, Embeddings
from tessera_engine.formats.format import Format
from tessera_engine.formats.registry import FORMATS
from tessera_engine.scenes.period import Period
from tessera_engine.stac import members
from tessera_engine.stac.items import load_item
from tessera_engine.stac.periods import of_period, periods
from tessera_engine.stac.reading import output_of

_SHOWN = 8
"""Days that a message lists."""


class _Found(NamedTuple):
    """Embeddings in a folder.

    Attributes:
        format: that they are stored in.
        folder: as it is now, even if it is replaced.
        item: the output's item; without properties for a folder that other software wrote.
        years: that the folder holds, rising; empty where they aren't known.
        periods: that the folder holds instead of years, in the order of time.
    """

    format: Format
    folder: Pinned
    item: Mapping[str, Any]
    years: list[int]
    periods: Sequence[Period] = ()


def stored_years(path: str | os.PathLike[str]) -> list[int]:
    """The years of an output, or of a tree that geotessera downloaded; empty where they aren't known.

    Raises:
        InputError: no embeddings are there.
    """
    return _find(_folder(path)).years


def holds_embeddings(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is an output, or a tree that geotessera downloaded; it may still be damaged."""
    folder = _folder(path)
    return is_output(folder) or any(format.foreign_years(folder) is not None for format in FORMATS.values())


def stored_periods(path: str | os.PathLike[str]) -> list[Period]:
    """First and last day of the periods of an output of a season, in the order of time; empty for outputs of years.

    Raises:
        InputError: no embeddings are there.
    """
    return list(_find(_folder(path)).periods)


def open_embeddings(
    path: str | os.PathLike[str],
    dim: int | None = None,
    year: int | None = None,
    until: date | str | None = None,
) -> Embeddings:
    """Open an output of this engine, or a tree that geotessera downloaded. Only metadata is read now.

    Args:
        path: the output folder (with item.json), or a folder with geotessera's `global_0.1_degree_representation`.
        dim: read only the first `dim` dimensions; None: all that are stored.
        year: which year to open, of an output that holds several.
        until: which period to open, of an output that holds several: its last day, such as "2024-03-31".

    Raises:
        InputError: the folder has no embeddings, or not that prefix, year or period; or it has several and `year` or
            `until` is None; or an argument has a wrong type.
        CheckFailed: the item is damaged.
    """
    folder = _folder(path)
    for name, value in (("dim", dim), ("year", year)):
        if value is not None:
            check_type(name, value, (int,), "a whole number")
    last = check_day("until", until)
    found = _find(folder)
    item = found.item
    time: int | date | None = None
    if found.periods:
        period = _choose_period(folder, found.periods, year, last)
        item, time = of_period(item, period), period[1]
    else:
        if last is not None:
            raise InputError(f"{folder} holds no season, so until={last} is not known; leave it out")
        year = _choose(folder, found.years, year)
        if year is not None:
            item, time = members.of_year(item, year), year
    with found.folder.reading() as here:
        source = found.format.open(here, item, time)
    if dim is not None and (dim not in PREFIXES or dim > source.dim):
        fitting = ", ".join(str(prefix) for prefix in PREFIXES if prefix <= source.dim)
        raise InputError(f"dim={dim} is not a prefix of {folder}; choose one of {fitting or source.dim}")
    return Embeddings(found.folder, source, dim or source.dim, item, found.format.name)


def _find(folder: Path) -> _Found:
    if is_output(folder):
        pinned = Pinned(folder)
        with pinned.reading() as here:
            item = load_item(here)
        result = item["properties"].get("tessera:result")
        if result is not None:
            raise InputError(
                f"{folder} is a result ({result}), not embeddings; give the folder that it was made from"
            )
        media_type = item["assets"].get("embeddings", {}).get("type")
        for format in FORMATS.values():
            if format.media_type == media_type:
                return _Found(format, pinned, item, sorted(members.years(item)), _periods(folder, item))
        raise InputError(f"{folder} holds no embeddings that this version can read (type {media_type})")
    for format in FORMATS.values():
        years = format.foreign_years(folder)
        if years is not None:
            return _Found(format, Pinned(folder), {"properties": {}}, years)
    raise _no_embeddings(folder)


def _no_embeddings(folder: Path) -> InputError:
    """Why a path isn't a folder of embeddings."""
    if not folder.exists():
        return no_such_folder(folder)
    output = output_of(folder)
    if output is not None:
        return InputError(f"{folder} is a part of an output; give the output's folder, {output}")
    if folder.is_dir() and _is_scene(folder):
        return InputError(f"{folder} is a scene, not embeddings; embed it first, and give the output")
    return InputError(
        f"{folder} holds no embeddings: expected an output folder of 'tessera-engine embed' or 'convert' (with "
        f"{ITEM}), or a folder of geotessera tiles"
    )


def _is_scene(folder: Path) -> bool:
    from tessera_engine.scenes import open_scene

    try:
        open_scene(folder)
    except (TesseraError, OSError):
        return False
    return True


def check_day(name: str, value: object) -> date | None:
    """A day as an argument, or None.

    Raises:
        InputError: it is none.
    """
    if value is None:
        return None
    check_type(name, value, (str, date), "a day such as '2024-03-31'")
    try:
        # A datetime is a date too
        return date.fromisoformat(value) if isinstance(value, str) else date.fromordinal(value.toordinal())  # type: ignore[attr-defined]
    except ValueError:
        raise InputError(f"{name}='{value}' is not a day; write it like 2024-03-31") from None


def _periods(folder: Path, item: Mapping[str, Any]) -> list[Period]:
    try:
        return periods(item)
    except ValueError as error:
        raise CheckFailed(f"{folder / ITEM} is damaged: {error}; embed again") from None


def _choose_period(folder: Path, known: Sequence[Period], year: int | None, last: date | None) -> Period:
    """The period to read."""
    ends = {each[1]: each for each in known}
    if year is not None:
        raise InputError(
            f"{folder} holds a season from {known[0][0]} to {known[-1][1]}, which is filed under no year; leave out "
            f"year={year}"
        )
    if last is None and len(ends) > 1:
        raise InputError(
            f"{folder} holds {len(ends)} periods from {known[0][0]} on, until {_shortly(list(ends))}; choose one of "
            "them with until="
        )
    if last is not None and last not in ends:
        raise InputError(f"{folder} holds no period until {last}; choose until {_shortly(list(ends))}")
    return ends[last] if last is not None else known[0]


def _shortly(ends: list[date]) -> str:
    """Days in words; of many, the first ones and the last one."""
    if len(ends) <= _SHOWN:
        return ", ".join(map(str, ends))
    return f"{', '.join(map(str, ends[: _SHOWN - 1]))}, ... {ends[-1]}"


def _choose(folder: Path, years: list[int], year: int | None) -> int | None:
    """The year to read."""
    if year is not None and year not in years:
        if not years:
            raise InputError(f"{folder} doesn't record its year; leave out year={year}")
        raise InputError(f"{folder} holds {_listed(years)}, not {year}; choose another year= or leave it out")
    if year is None and len(years) > 1:
        raise InputError(f"{folder} holds the years {_listed(years)}; choose one of them with year=")
    return year if year is not None or not years else years[0]


def _listed(years: list[int]) -> str:
    return ", ".join(map(str, years))


def _folder(path: str | os.PathLike[str]) -> Path:
    check_type("path", path, (str, os.PathLike), "an output folder")
    check_utf8(path)
    return Path(path)
