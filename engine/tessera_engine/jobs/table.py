"""The scenes to embed, each with its output and options: the rows of a table (CSV or Parquet)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tessera_engine.backends.choosing import check_options
from tessera_engine.errors import InputError, MissingExtra, quoted
from tessera_engine.files.naming import check_utf8
from tessera_engine.files.nearby import nearest
from tessera_engine.machine import check_threads
from tessera_engine.model.installed import DEFAULT_MODEL, check_model
from tessera_engine.places.table import rows_of_table
from tessera_engine.running.memory import check_device_memory
from tessera_engine.running.options import ELSEWHERE, EmbedOptions, RunOptions
from tessera_engine.scenes.arguments import check_layout, check_s1_units, check_season, check_year

SCENE, OUT, MODEL, INT8 = "scene", "out", "model", "int8"

OPENING = ELSEWHERE["open_scene"]
LOADING = (MODEL, *ELSEWHERE["load_model"])

ALIASES = {"from": "start", "to": "end", "store": "stored_as"}
"""Options of the command line that have another name in Python."""

PATHS = ("like", "aoi", "points")
"""Columns that name files; those of a table lie in its folder unless their paths are absolute."""

_NUMBERS = ("year", "threads", "dim", "min_clear")
_DAYS = ("start", "end")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")

LARGEST_TABLE = 64 << 20
"""Bytes of a table of jobs; a million rows have less."""


@dataclass(frozen=True)
class Job:
    """One scene to embed.

    Attributes:
        scene: its folder, or an open scene.
        out: its output folder.
        opening: arguments of `open_scene`.
        loading: arguments of `load_model`, with the model as `model`.
        options: arguments of `embed`.
    """

    scene: Any
    out: Path
    opening: Mapping[str, Any]
    loading: Mapping[str, Any]
    options: EmbedOptions

    @property
    def model(self) -> str:
        """The model's name or file."""
        return str(self.loading.get(MODEL, DEFAULT_MODEL))

    @property
    def name(self) -> str:
        """The scene's name."""
        return scene_name(self.scene)


def columns() -> list[str]:
    """All that a row may have, as it is spelled in Python."""
    return [SCENE, OUT, INT8, *LOADING, *OPENING, *EmbedOptions.__annotations__]


def scene_name(scene: Any) -> str:
    """The name of an open scene, or of a scene's folder."""
    return str(scene.name) if hasattr(scene, "reader") else Path(os.path.realpath(scene)).name


def read_jobs(path: Path, out: Path | None, defaults: Mapping[str, Any]) -> list[Job]:
    """The jobs of a table.

    Args:
        path: a CSV or Parquet file with a row of names; relative paths in it start at its folder.
        out: the folder of outputs without a path of their own; None: the current folder.
        defaults: values of what a row leaves out.

    Raises:
        InputError: the table or a value in it can't be used, or two rows have one output.
        MissingExtra: pyarrow isn't installed.
    """
    check_utf8(path)
    names, rows = _read(path)
    known = _known_columns(path, names)
    if SCENE not in known:
        raise InputError(f"{path} has no column 'scene'; its columns are {', '.join(names) or 'none'}")
    made = []
    for number, row in enumerate(rows, 1):
        given = {name: value for name, value in zip(known, row, strict=False) if _is_given(value)}
        for name in (SCENE, *PATHS):
            if name in given:
                given[name] = str(path.parent / str(given[name]))
        made.append(make_job(given, out, defaults, f"row {number} of {path}"))
    if not made:
        raise InputError(f"{path} has no rows; expected one for each scene")
    check_outputs(made, [f"row {number}" for number in range(1, len(made) + 1)])
    return made


def make_job(given: Mapping[str, Any], out: Path | None, defaults: Mapping[str, Any], where: str) -> Job:
    """One job, with everything checked that can be checked before anything is opened.

    Args:
        given: values by name; texts of a table are converted.
        out: see `read_jobs`.
        defaults: see `read_jobs`.
        where: the row, for messages.

    Raises:
        InputError: a value can't be used.
    """
    try:
        chosen = {
            **{name: value for name, value in defaults.items() if value is not None},
            **{name: _converted(name, value) for name, value in given.items()},
        }
        if not chosen.get(SCENE):
            raise InputError("scene= is missing; give the scene folder")
        scene = chosen[SCENE]
        if chosen.pop(INT8, False):
            if chosen.get("precision") not in (None, "int8"):
                raise InputError(f"int8=True and precision={chosen['precision']} contradict each other")
            chosen = {"precision": "int8", "stored_as": "int8"} | chosen
        opening = {name: chosen[name] for name in OPENING if chosen.get(name) is not None}
        loading = {name: chosen[name] for name in LOADING if chosen.get(name) is not None}
        options: Any = {
            name: chosen[name] for name in EmbedOptions.__annotations__ if chosen.get(name) is not None
        }
        _check(opening, loading, options)
        default = f"{scene_name(scene)}.embeddings"
        return Job(scene, (out or Path()) / str(chosen.get(OUT) or default), opening, loading, options)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check(opening: Mapping[str, Any], loading: Mapping[str, Any], options: EmbedOptions) -> None:
    check_layout(opening.get("layout"))
    check_year(opening.get("year"))
    check_season(opening.get("season"), opening.get("start"), opening.get("end"))
    check_s1_units(opening.get("s1_units"))
    check_model(loading.get(MODEL, DEFAULT_MODEL), loading.get("precision"))
    check_options(loading.get("backend", "auto"), loading.get("device", "auto"))
    check_threads(loading.get("threads"))
    check_device_memory(loading.get("device_memory"))
    if RunOptions.given(options).append:
        raise InputError(
            "append=True adds one scene to a store; run embed with append=True for one scene after the other"
        )


def check_outputs(jobs: Sequence[Job], names: Sequence[str]) -> None:
    """Make sure that no two jobs write the same output, also where capital letters don't count in names.

    Args:
        jobs: all of them.
        names: what messages call each of them.

    Raises:
        InputError: two do.
    """
    first: dict[str, tuple[str, Path]] = {}
    for job, name in zip(jobs, names, strict=True):
        place = os.path.realpath(job.out)
        if place.casefold() in first:
            other, out = first[place.casefold()]
            both = f"both write {job.out}"
            if place != os.path.realpath(out):
                both = f"write {out} and {job.out}, which are the same on Windows, macOS and most sticks"
            raise InputError(f"{other} and {name} {both}; give each an out= of its own")
        first[place.casefold()] = (name, job.out)


def _known_columns(path: Path, names: Sequence[str]) -> list[str]:
    """The columns as Python spells them."""
    known, spelled = columns(), []
    for name in names:
        plain = name.strip().casefold().replace("-", "_").replace(" ", "_").lstrip("_")
        plain = ALIASES.get(plain, plain)
        if plain not in known:
            near = nearest(name, [*known, *ALIASES])
            hint = f"did you mean '{near}'?" if near else f"the columns are {', '.join([*known, *ALIASES])}"
            raise InputError(f"{path} has the unknown column {quoted(name)}; {hint}")
        if plain in spelled:
            raise InputError(f"{path} has the column '{name}' twice; keep one of them")
        spelled.append(plain)
    return spelled


def _read(path: Path) -> tuple[list[str], list[Sequence[Any]]]:
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"jobs={path} {what}; give a table with a row for each scene (CSV or Parquet)")
    if path.stat().st_size > LARGEST_TABLE:
        raise InputError(f"{path} has more than {LARGEST_TABLE:,} bytes, which no table of scenes has")
    if path.suffix.lower() in (".parquet", ".geoparquet", ".pq"):
        return _read_parquet(path)
    names, rows = rows_of_table(path)
    for number, row in enumerate(rows, 1):
        if any(cell.strip() for cell in row[len(names) :]):
            raise InputError(
                f"row {number} of {path} has {len(row)} cells, expected {len(names)}; quote cells that contain the "
                "delimiter"
            )
    return names, list(rows)


def _read_parquet(path: Path) -> tuple[list[str], list[Sequence[Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtra("pyarrow", "maps", "reading a table of scenes from Parquet") from None
    try:
        # Opened here: pyarrow would read a name such as "http:a.parquet" as a URI
        with pyarrow.OSFile(str(path)) as file:
            table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"can't read {path}: {' '.join(str(error).split())}") from None
    every = [column.to_pylist() for column in table.columns]
    return list(table.column_names), list(zip(*every, strict=True))


def _is_given(value: Any) -> bool:
    """Whether a cell holds anything; NaN stands for nothing too."""
    return value is not None and value == value and (not isinstance(value, str) or bool(value.strip()))


def _converted(name: str, value: Any) -> Any:
    """A value as `embed` takes it. A table has texts, or numbers of another type."""
    kind = str(getattr(EmbedOptions.__annotations__.get(name), "__forward_arg__", ""))
    if name in _NUMBERS:
        return _number(name, value)
    if name == INT8 or kind == "bool":
        return _flag(name, value)
    if name in _DAYS:
        return _day(name, value)
    if kind.startswith("tuple"):
        parts = value.replace(",", " ").replace(";", " ").split() if isinstance(value, str) else list(value)
        number = int if "int" in kind else float
        try:
            return tuple(number(part) for part in parts)
        except ValueError:
            raise InputError(
                f"{name}={quoted(value)} is not a list of numbers; write them with spaces"
            ) from None
    return value.strip() if isinstance(value, str) else value


def _number(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return value  # refused where it is used
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.5
    if number != int(number):  # spreadsheets and data frames write 2024.0
        raise InputError(f"{name}={quoted(value)} is not a whole number")
    return int(number)


def _flag(name: str, value: Any) -> bool:
    text = str(value).strip().casefold()
    if text not in (*_YES, *_NO):
        raise InputError(f"{name}={quoted(value)} is neither yes nor no; write true or false")
    return text in _YES


def _day(name: str, value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise InputError(f"{name}={quoted(value)} is not a day; write it like 2024-03-31") from None
