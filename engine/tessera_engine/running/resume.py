"""Beginning a run, or going on with one that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.output import PartialOutput
from tessera_engine.files.staging import Staging, checksum
from tessera_engine.progress import Announce
from tessera_engine.running.journal import Journal
from tessera_engine.scene import Window


def begin(
    place: PartialOutput,
    identity: Mapping[str, str],
    window_pixels: int,
    overwrite: bool,
    restart: bool,
    tell: Announce,
) -> Journal:
    """The journal of the run: a new one, or that of the interrupted run that this one goes on with.

    Args:
        place: where the run works.
        identity: what the run is, a word and a value each.
        window_pixels: the largest windows that fit into the memory.
        overwrite: replace an earlier output.
        restart: forget an interrupted run.
        tell: told what is gone on with, and what is damaged.

    Raises:
        InputError: the interrupted run was another one, needs more memory, or the output can't be replaced.
        TesseraError: the journal can't be read.
    """
    if place.begun and not restart:
        journal = Journal.open(place.journal)
        if not (journal.complete and place.published):
            _check_same(journal, identity, window_pixels, place)
            place.check_target(overwrite)
            _tell_damage(journal, place, tell)
            journal.save()
            return journal
        if journal.identity == identity:
            return journal
    place.check_target(overwrite)
    place.clear()
    journal = Journal(place.journal, identity, window_pixels)
    journal.save()
    return journal


def check_identity(folder: Path, was: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Make sure that an unfinished run is the one that is asked for.

    Raises:
        InputError: it isn't; says in what they differ.
    """
    differences = [
        f"{word} (was {was.get(word, 'none')}, now {now.get(word, 'none')})"
        for word in dict.fromkeys([*now, *was])
        if was.get(word) != now.get(word)
    ]
    if differences:
        raise InputError(
            f"{folder} is of an unfinished run that differs in {', '.join(differences)}; give its command to go "
            "on with it, --restart to begin anew, or another place with -o"
        )


def _check_same(
    journal: Journal, identity: Mapping[str, str], window_pixels: int, place: PartialOutput
) -> None:
    check_identity(place.folder, journal.identity, identity)
    if window_pixels < journal.window_pixels:
        raise InputError(
            f"{place.folder} was begun with windows of {journal.window_pixels} pixels, of which --memory now allows "
            f"{window_pixels}; give more memory to go on, or --restart to begin anew"
        )


def _tell_damage(journal: Journal, place: PartialOutput, tell: Announce) -> None:
    if journal.damaged:
        lines = ", ".join(map(str, journal.damaged))
        tell(f"warning: {place.journal} is damaged in line {lines}: what it said there is computed again")


def check_staged(journal: Journal, staging: Staging, region: Window, tell: Announce) -> None:
    """Take finished windows whose staged bytes aren't those that were written out of the journal.

    Args:
        journal: of a run that is gone on with.
        staging: its arrays.
        region: the part of the scene that they cover.
        tell: told how many windows are finished, and which are damaged.
    """
    damaged = []
    for window, finished in journal.finished.items():
        try:
            intact = checksum(staging.read_block(window.relative_to(region))) == finished.sha256
        except (TesseraError, ValueError):
            intact = False
        if not intact:
            damaged.append(window)
    for window in damaged:
        del journal.finished[window]
        tell(
            f"warning: the staged window {tuple(window)} (col, row, width, height) isn't as it was written; "
            "it is computed again"
        )
    if damaged:
        journal.complete = False
        journal.save()
    if journal.finished:
        pixels = sum(window.pixels for window in journal.finished)
        tell(f"going on with an interrupted run: {pixels:,} px are finished")
