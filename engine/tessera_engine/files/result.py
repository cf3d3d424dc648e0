"""Files and folders that appear complete under their names, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files import last_step
from tessera_engine.files.output import PartialOutput
from tessera_engine.files.partial import Partial
from tessera_engine.files.publish import partial_folder
from tessera_engine.files.record import Record, signature

Identity = Mapping[str, str]
"""Names and values of everything that a result depends on. Repeated after an interruption, a command with the same
identity may replace what it had published."""

_FILE = "file"
"""In the record of a folder that has a file beside it: the signature of that file."""


def already_made(out: Path, identity: Identity) -> bool:
    """Whether an interrupted command of this identity had published its result; what it left is removed then.

    Raises:
        InputError: another process writes there, or the place can't be written.
    """
    place = PartialOutput(out)
    made = place.published_by(identity)
    place.tidy() if not made else place.close(keep=False)
    return made


def accept(out: Path) -> None:
    """Take what stands somewhere as finished: the record of a command that was killed after publishing it goes.

    For a command that finds its output there, and has nothing else to do.

    Raises:
        InputError: another process writes there, or the place can't be written.
    """
    if Record(partial_folder(Path(os.path.realpath(out)))).exists:
        place = PartialOutput(out)
        place.close(keep=False) if place.published else place.tidy()


@contextmanager
def result_folder(out: Path, overwrite: bool, identity: Identity) -> Iterator[Path]:
    """Give a folder to write into. It becomes `out` when the with-block succeeds, and is removed if not.

    Args:
        out: where the results will appear.
        overwrite: replace earlier results there, if they are a folder of this engine by its item.json.
        identity: see `Identity`.

    Raises:
        InputError: something stands there already, another process writes there, an unfinished run of `embed` works
            there, or the place can't be written.
    """
    place = PartialOutput(out)
    with _making(place, identity) as again:
        place.check_target(overwrite, again)
        place.clear()
        yield place.make_output()
        place.publish(overwrite or again, identity)


@contextmanager
def result_file(out: Path, overwrite: bool, identity: Identity | None) -> Iterator[Path]:
    """Give the name of a file to write. It becomes `out` when the with-block succeeds, and is removed if not.

    Args:
        out: the file that will appear.
        overwrite: replace a file there.
        identity: see `Identity`; None for a part of a result, which the same command uses as it is.

    Raises:
        InputError: something stands there already, another process writes there, or the place can't be written.
    """
    place = Partial(out)
    with _making(place, identity) as again:
        replace = overwrite or again
        check_target_file(place.out, replace)
        place.clear()
        yield place.made
        place.publish(replace, identity)


@contextmanager
def result_pair(out: Path, file: Path, overwrite: bool, identity: Identity) -> Iterator[tuple[Path, Path]]:
    """Give a folder and the name of a file, which one command makes: `result_folder` and `result_file` in one.

    Both appear while signals wait. A process that is killed in between leaves one of them, and the same command
    replaces what it had published of the two.

    Args:
        out: where the folder will appear.
        file: where the file will appear; not in `out`.
        overwrite: replace an earlier result at `out`, and a file at `file`.
        identity: see `Identity`.

    Raises:
        InputError: see `result_folder` and `result_file`.
    """
    place, beside = PartialOutput(out), Partial(file)
    with _making(place, identity) as again, _making(beside, identity) as file_again:
        # Where the file's own record has gone already, that of the folder knows it
        file_again = file_again or (again and place.figures().get(_FILE) == _signature_of(beside.out))
        place.check_target(overwrite, again)
        check_target_file(beside.out, overwrite or file_again)
        place.clear()
        beside.clear()
        yield place.make_output(), beside.made
        beside.make_ready(identity, {})
        place.make_ready(identity, {_FILE: signature(beside.made)})
        with last_step.last_step(whole=True):
            beside.take_name(overwrite or file_again)
            place.take_name(overwrite or again)


def _signature_of(path: Path) -> str | None:
    return signature(path) if path.is_file() else None


@contextmanager
def _making(place: Partial, identity: Identity | None) -> Iterator[bool]:
    """Work in a place, and release it; gives whether an interrupted command of this identity had published there."""
    last_step.begin()
    unfinished = place.begun and not place.published
    try:
        if unfinished:
            raise InputError(
                f"{place.folder} belongs to an unfinished run; give its command again to finish it first, or choose "
                "another out="
            )
        yield identity is not None and place.published_by(identity)
    except BaseException:
        # Where only the last sync failed, the result is there, and the same command has to know that
        place.close(keep=unfinished or place.published)
        raise
    place.close(keep=unfinished)


def check_apart(out: Path, sources: Iterable[Path]) -> None:
    """Make sure that a result doesn't replace what it is made from, nor a folder that holds it.

    Raises:
        InputError: it would.
    """
    place = out.resolve()
    for each in sources:
        whole = each.resolve()
        if place == whole or place in whole.parents:
            what = "is" if place == whole else f"holds {each.name}, which is"
            raise InputError(f"{out} {what} read for the result; choose another out=")


def check_free(out: Path, overwrite: bool, beside: Path | None = None, name: str = "out") -> None:
    """Make sure, before anything is computed, that a file may be written.

    Where an interrupted command left its record, only `result_file` or `result_pair` can tell whether it was the same
    command.

    Args:
        out: the file.
        overwrite: replace a file there.
        beside: the folder that is made with it, see `result_pair`.
        name: the parameter that gave the file.

    Raises:
        InputError: a file is there and `overwrite` isn't given, or a folder is there.
    """
    places = [Path(os.path.realpath(each)) for each in (out, beside) if each is not None]
    if overwrite or not any(Record(partial_folder(each)).exists for each in places):
        check_target_file(out, overwrite, name)


def check_target_file(out: Path, overwrite: bool, name: str = "out") -> None:
    """Make sure that a file may appear somewhere.

    Raises:
        InputError: a file is there and `overwrite` isn't given, or a folder is there.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder, and a file is to be written; choose another {name}=")
    if os.path.lexists(out) and not overwrite:
        raise InputError(
            f"{out} exists already; give overwrite=True to replace it, or choose another {name}="
        )
