"""The work on a table from a scene: kept when it is interrupted, so that the same command resumes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.files import last_step
from tessera_engine.files.partial import Partial
from tessera_engine.files.result import Identity, check_target_file, result_file
from tessera_engine.running.journal import Journal
from tessera_engine.running.resume import differences


@dataclass
class Work:
    """A table in the making.

    Attributes:
        made: the file to write.
        folder: for the pixels of the sources, and what says which of them are finished.
        figures: what an interrupted command of this identity would have said of the table, which it had published; None
            where there is something to do.
        done: what this command says of it, recorded with it.
    """

    made: Path
    folder: Path
    figures: Mapping[str, Any] | None = None
    done: Mapping[str, Any] | None = None


@contextmanager
def resumed_file(out: Path, overwrite: bool, identity: Identity) -> Iterator[Work]:
    """Give the place to make a table in. It becomes `out` when the with-block succeeds.

    If not, the work is kept if any of it is finished, and given again to the same command.

    Args:
        out: the file that will appear.
        overwrite: replace a file there.
        identity: names and values of everything that the table depends on.

    Raises:
        InputError: something stands there already, another process works there, or an unfinished run differs.
        TesseraError: what is left of an unfinished run can't be read.
    """
    place = Partial(out)
    keep = place.begun or place.published
    work = Work(place.made, place.folder / "staging")
    last_step.begin()
    try:
        if place.published_by(identity):
            work.figures = place.figures()
            yield work
        else:
            if place.begun and not place.published:
                _check_same(place, Journal.open(place.journal).identity, identity)
                check_target_file(place.out, overwrite)
                place.remove_made()
            else:
                check_target_file(place.out, overwrite)
                place.clear()
                Journal(place.journal, identity, 1).save()
            work.folder.mkdir(exist_ok=True)
            yield work
            place.publish(overwrite, identity, work.done)
        keep = False
    except BaseException:
        # The journal of a source is written before its first window is computed
        keep = keep or any(work.folder.glob("*.journal"))
        raise
    finally:
        place.close(keep)


@contextmanager
def made_at_once(out: Path, overwrite: bool, identity: Identity) -> Iterator[Work]:
    """`resumed_file` for what takes little time: nothing is kept of it."""
    with result_file(out, overwrite, identity) as made:
        folder = made.parent / "staging"
        folder.mkdir(exist_ok=True)
        yield Work(made, folder)


def _check_same(place: Partial, was: Mapping[str, str], now: Mapping[str, str]) -> None:
    found = differences(was, now)
    if found:
        raise InputError(
            f"{place.folder} belongs to an unfinished table that differs in {found}; give that table's command to "
            f"finish it, choose another out=, or remove {place.folder.name}"
        )
