"""Starting a run, or resuming one that was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.output import PartialOutput
from tessera_engine.files.staging import Block, checksum, checksum_of_all
from tessera_engine.places.pixels import PixelSet
from tessera_engine.progress import Announce
from tessera_engine.running.journal import Journal
from tessera_engine.running.windows import pixels_in
from tessera_engine.scene import Window


def begin(
    place: PartialOutput,
    identity: Mapping[str, str],
    window_pixels: int,
    overwrite: bool,
    restart: bool,
    announce: Announce,
    look: Callable[[Journal], str | None],
) -> Journal:
    """The journal of the run: a new one, or that of the interrupted run that is resumed.

    Args:
        place: where the run works.
        identity: what the run is: names and values.
        window_pixels: size of the largest windows that fit into the memory.
        overwrite: replace an earlier output.
        restart: discard an interrupted run.
        announce: called with what is damaged.
        look: finds in finished windows how a scene with another fingerprint has changed, in words, see
            `tessera_engine.running.changes.look_for_change`.

    Raises:
        InputError: the interrupted run differs or needs more memory, or the output can't be replaced.
        TesseraError: the journal can't be read.
    """
    if place.begun and not restart and not place.published:
        journal = Journal.open(place.journal)
        _check_same(journal, identity, window_pixels, place, look)
        place.check_target(overwrite)
        _announce_damage(journal, place, announce)
        journal.save()
        return journal
    place.check_target(overwrite)
    place.clear()
    journal = Journal(place.journal, identity, window_pixels)
    journal.save()
    return journal


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    """In what a run differs from another one, in words; empty where it doesn't."""
    return ", ".join(
        f"{word} (was {was.get(word, 'none')}, now {now.get(word, 'none')})"
        for word in dict.fromkeys([*now, *was])
        if was.get(word) != now.get(word)
    )


def check_identity(folder: Path, was: Mapping[str, str], now: Mapping[str, str], detail: str = "") -> None:
    """Make sure that an unfinished run is the one that was asked for; `detail` says more about how it differs.

    Raises:
        InputError: it differs; the message says in what.
    """
    found = differences(was, now)
    if found:
        raise InputError(
            f"{folder} belongs to an unfinished run that differs in {found}{detail}; give that run's "
            "command to resume it, restart=True to start again, or choose another out="
        )


def _check_same(
    journal: Journal,
    identity: Mapping[str, str],
    window_pixels: int,
    place: PartialOutput,
    look: Callable[[Journal], str | None],
) -> None:
    was = journal.identity
    differ = [word for word in {**identity, **was} if identity.get(word) != was.get(word)]
    change = look(journal) if differ == ["scene"] else None
    check_identity(place.folder, was, identity, f": {change}" if change else "")
    if window_pixels < journal.window_pixels:
        raise InputError(
            f"{place.folder} was started with windows of {journal.window_pixels} pixels, and memory= now allows "
            f"{window_pixels}; give more memory to resume it, or restart=True to start again"
        )


def _announce_damage(journal: Journal, place: PartialOutput, announce: Announce) -> None:
    if journal.damaged:
        lines = ", ".join(map(str, journal.damaged))
        announce(f"warning: {place.journal} is damaged in line {lines}; those windows are computed again")


class Staged(Protocol):
    """Finished windows on the disk, such as a `tessera_engine.files.staging.Staging`."""

    def read_block(self, window: Window) -> Block:
        """The block of a window, counted from the corner of the region, as it was written."""
        ...


def check_staged(
    journal: Journal,
    stagings: Sequence[Staged],
    region: Window,
    announce: Announce,
    selected: PixelSet | None = None,
) -> None:
    """Remove windows from the journal whose staged bytes aren't those that were written.

    Args:
        journal: of the run that is resumed.
        stagings: its arrays.
        region: the part of the scene that they cover.
        announce: called with how much is finished, and with each damaged window.
        selected: the pixels that are embedded; None: all.
    """
    damaged = []
    for window, finished in journal.finished.items():
        try:
            place = window.relative_to(region)
            found = [checksum(staging.read_block(place)) for staging in stagings]
            intact = checksum_of_all(found) == finished.sha256
        except (TesseraError, ValueError):
            intact = False
        if not intact:
            damaged.append(window)
    for window in damaged:
        del journal.finished[window]
        announce(
            f"warning: the staged window {tuple(window)} (col, row, width, height) is damaged; it is computed again"
        )
    if damaged:
        journal.item_sha256 = ""
        journal.save()
    if journal.finished:
        pixels = sum(pixels_in(window, selected) for window in journal.finished)
        announce(f"resuming an interrupted run: {pixels:,} px are finished")
