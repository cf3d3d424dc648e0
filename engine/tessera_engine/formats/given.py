"""Embeddings as functions of the Python API take them: a folder, or embeddings that are open already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TypeAlias, cast

from tessera_engine.errors import InputError, check_type
from tessera_engine.files.naming import check_utf8, default_out
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.formats.opening import open_embeddings, stored_periods, stored_years
from tessera_engine.stac.items import ITEM_SHA256

GivenPath: TypeAlias = str | os.PathLike[str]
"""A file or folder as an argument."""

Given: TypeAlias = Embeddings | str | os.PathLike[str]
"""Embeddings as an argument."""


def check_path(name: str, value: object, expected: str) -> None:
    """Make sure that an argument names a file or folder.

    Raises:
        InputError: it is of another type, or isn't UTF-8.
    """
    check_type(name, value, (str, os.PathLike), expected)
    check_utf8(cast("GivenPath", value))


def path_given(name: str, embeddings: Given) -> Path:
    """The folder of embeddings.

    Args:
        name: the parameter's.
        embeddings: its value.

    Raises:
        InputError: it is of another type.
    """
    check_type(name, embeddings, (Embeddings, str, os.PathLike), "an output folder or open_embeddings(...)")
    if isinstance(embeddings, Embeddings):
        return embeddings.path
    check_utf8(embeddings)
    return Path(embeddings)


def open_given(
    name: str,
    embeddings: Given,
    dim: int | None = None,
    year: int | None = None,
    until: date | str | None = None,
) -> Embeddings:
    """Open embeddings, if they are not open already.

    Args:
        name: the parameter's.
        embeddings: its value.
        dim: read only the first `dim` dimensions; None: all that are stored.
        year: the year to read, of an output with several years.
        until: the last day of the period to read, of an output with several periods.

    Raises:
        InputError: it is of another type or can't be opened, or an option was given for open embeddings.
    """
    path = path_given(name, embeddings)
    if not isinstance(embeddings, Embeddings):
        return open_embeddings(path, dim, year, until)
    for option, value in (("dim", dim), ("year", year), ("until", until)):
        if value is not None:
            raise InputError(
                f"{name} are open already, so {option}={value} comes too late; give it to open_embeddings"
            )
    return embeddings


Several: TypeAlias = Given | Sequence[Given]
"""One or several embeddings as an argument."""


def paths_given(name: str, embeddings: Several) -> list[Path]:
    """The folders of one or several embeddings.

    Args:
        name: the parameter's.
        embeddings: its value.

    Raises:
        InputError: it is of another type, empty, or has a folder twice.
    """
    given = _each(embeddings)
    if not given:
        raise InputError(f"{name} is empty; give at least one output folder")
    paths = [path_given(name, each) for each in given]
    twice = [path for path in paths if [each.absolute() for each in paths].count(path.absolute()) > 1]
    if twice:
        raise InputError(f"{name} has {twice[0]} twice; give each output once")
    return paths


def out_for(
    name: str,
    embeddings: Several,
    ending: str,
    year: int | None = None,
    until: date | str | None = None,
) -> Path:
    """Where a result is written if nobody says where: `<name>.<ending>` in the current folder.

    An output with several years or periods is read more than once, so the one that is read is in the name too:
    `<name>.2024.<ending>`.

    Args:
        name: the parameter's.
        embeddings: its value; the first of several gives the name.
        ending: of the result's name.
        year: the year that is read; of embeddings that are open, theirs.
        until: the last day of the period that is read, likewise.

    Raises:
        InputError: see `paths_given`; or no embeddings are there.
    """
    path, first = paths_given(name, embeddings)[0], _each(embeddings)[0]
    if isinstance(first, Embeddings):
        about = first.provenance
        year, until = about.get("year"), (about.get("season") or (None, None))[1]
    several = (until is not None and len(stored_periods(path)) > 1) or (
        year is not None and len(stored_years(path)) > 1
    )
    return default_out(path, f"{until or year}.{ending}" if several else ending)


def _each(embeddings: Several) -> list[Given]:
    """One or several as a list; the values may be of any type."""
    return list(embeddings) if isinstance(embeddings, (list, tuple)) else [cast("Given", embeddings)]


def open_several(
    name: str,
    embeddings: Several,
    dim: int | None = None,
    year: int | None = None,
    until: date | str | None = None,
) -> list[Embeddings]:
    """Open one or several embeddings of one model; the arguments are those of `open_given`.

    Raises:
        InputError: see `open_given`; or they are of different models or dimensions, and which.
    """
    given = _each(embeddings)
    opened = [open_given(name, each, dim, year, until) for each in given]
    for other in opened[1:]:
        check_same_model(opened[0], other)
    return opened


def open_each(
    name: str, embeddings: Several, year: int | None = None, until: date | str | None = None
) -> list[Embeddings]:
    """Open one or several embeddings of any models and dimensions; the arguments are those of `open_given`.

    Raises:
        InputError: see `open_given`.
    """
    return [open_given(name, each, None, year, until) for each in _each(embeddings)]


def folder_names(sources: Sequence[Embeddings]) -> list[str]:
    """A name for each of several embeddings, in a result of all: that of its folder, with a number if it is taken."""
    names: list[str] = []
    for each in sources:
        plain = each.path.absolute().name.removesuffix(".embeddings") or "embeddings"
        name, number = plain, 2
        while name.casefold() in (other.casefold() for other in names):
            name, number = f"{plain}-{number}", number + 1
        names.append(name)
    return names


def identity_of(command: str, sources: Sequence[Embeddings], **facts: object) -> dict[str, str]:
    """What a result made from embeddings depends on, for `tessera_engine.files.result`.

    Args:
        command: that makes it.
        sources: the embeddings.
        facts: everything else, by name.
    """
    read = [
        f"{each.path.absolute()} {each.dim} {each.item['properties'].get(ITEM_SHA256)} "
        f"{each.provenance.get('season') or each.provenance.get('year')}"
        + (f" {each.grid}" if "resampled" in each.provenance else "")
        for each in sources
    ]
    return {
        "command": command,
        "sources": repr(read),
        **{name: _in_words(fact) for name, fact in facts.items()},
    }


def _in_words(fact: object) -> str:
    """A fact; a file with its size and time, so that a changed one is another."""
    if isinstance(fact, Path) and fact.is_file():
        status = fact.stat()
        return f"{fact.absolute()} {status.st_size} {status.st_mtime_ns}"
    return repr(fact)
