"""Outputs of two times: which of them are of which time, and which lie on the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.aligned import align
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.overlay import overlay
from tessera_engine.formats.embeddings.same_grid import named
from tessera_engine.formats.opening import open_embeddings, stored_periods, stored_years
from tessera_engine.scene import Grid, Window


@dataclass(frozen=True)
class Pair:
    """One place at two times.

    Attributes:
        before: embeddings of the first time.
        window: the part of their grid that both times have.
        after: embeddings of the second time, on the pixels of that part.
        notes: what was done to bring them there, a line each.
    """

    before: Embeddings
    window: Window
    after: Embeddings
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """The pixels that both have."""
        return self.before.grid.crop(self.window)


def pair_by_place(befores: Sequence[Embeddings], afters: Sequence[Embeddings]) -> list[Pair]:
    """Pair each output of one time with those of another time that lie on it.

    Args:
        befores: of the first time.
        afters: of the second time; where several have data in a pixel, the first of them counts.

    Returns:
        At least one pair, in the order of `befores`.

    Raises:
        InputError: an output has no CRS, pixels have other sizes, or no two outputs share a pixel.
    """
    pairs = []
    for before in befores:
        found = overlay(before, afters)
        if found is not None:
            each = (align(before, after) for after in afters)
            notes = (aligned.note(before) for aligned in each if aligned is not None)
            pairs.append(Pair(before, found.window, found.embeddings, tuple(filter(None, notes))))
    if not pairs:
        one, other = befores[0], afters[0]
        raise InputError(
            f"{one.path} and {other.path} share no pixel: {named(one.grid)} and {named(other.grid)}; give outputs of "
            "one place"
        )
    return pairs


def two_times(
    outputs: Sequence[Path],
    years: tuple[int, int] | None = None,
    untils: tuple[date, date] | None = None,
) -> tuple[list[Path], list[Path]]:
    """Divide outputs into those of a first and those of a second time.

    Of two outputs of one place the first is the first time. Otherwise `years` or `untils` are read from each output, or
    without them the outputs are divided by the time that they record.

    Args:
        outputs: folders; one that is given twice counts once where there are more than two.
        years: to read of outputs with several years, see `tessera_engine.analysis.change.change`.
        untils: the same for periods.

    Raises:
        InputError: they aren't of two times; or see `open_embeddings`.
    """
    chosen = years or untils
    if len(outputs) == 2 and (
        outputs[0] == outputs[1] or not chosen or _of_one_place(outputs, years, untils)
    ):
        return [outputs[0]], [outputs[1]]
    each = list(dict.fromkeys(outputs))
    if chosen:
        return each, each
    if len(each) == 1:
        raise InputError(
            f"{each[0]} is the only output, so there is nothing to compare it with; give outputs of two times, or "
            "years= of an output with several years"
        )
    times = {output: _time(output) for output in each}
    known = sorted({time for time in times.values() if time is not None})
    unknown = next((output for output, time in times.items() if time is None), None)
    if unknown is not None:
        raise InputError(
            f"{unknown} doesn't record its year, so {len(each)} outputs can't be divided by their time; give one "
            "output of each time"
        )
    if len(known) != 2:
        found = ", ".join(f"{output} of {time}" for output, time in times.items())
        raise InputError(
            f"the outputs are of {len(known)} times, expected 2: {found}; give outputs of two times, or years= of "
            "outputs with several years"
        )
    first, second = ([output for output, time in times.items() if time == one] for one in known)
    return first, second


def _time(output: Path) -> str | None:
    """The year of an output, or the last day of its season, so that times sort; None where it isn't known.

    Raises:
        InputError: it has several.
    """
    periods, years = stored_periods(output), stored_years(output)
    if len(periods) > 1:
        raise InputError(f"{output} holds {len(periods)} periods; choose one of each time with untils=")
    if len(years) > 1:
        raise InputError(f"{output} holds the years {', '.join(map(str, years))}; choose two with years=")
    if periods:
        return str(periods[0][1])
    return str(years[0]) if years else None


def _of_one_place(
    outputs: Sequence[Path], years: tuple[int, int] | None, untils: tuple[date, date] | None
) -> bool:
    opened = [
        open_embeddings(output, year=year, until=until)
        for output, year, until in zip(outputs, years or (None, None), untils or (None, None), strict=True)
    ]
    return align(*opened) is not None
