"""Checks that all dates lie on the same place: of Sentinel-2, and of each direction of Sentinel-1.

Sentinel-1 products have jumped by 20 m between satellites and processings, and Sentinel-2 dates by a pixel before
ESA's refined geometry of 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding, Sure
from tessera_engine.guard.calendar import named_days
from tessera_engine.guard.neighbours import LEAST_KNOWN, Series
from tessera_engine.guard.registration import REACH, correlate, difference, locate, texture

LEAST_DATES = 8
"""Of a series. Fewer don't define a place."""

SHIFTED = 0.75
"""Pixels beside the series from which on a date is reported."""

SPREADS = 4.5
"""A date is also farther from the series than this many times its usual spread: some series are loose."""

CERTAIN = 1.5
"""Pixels. Trees and houses lie up to this far apart in radar images of different incidence angles."""

AGREES = 0.7
"""Least share of the comparisons of a date that its shift explains. Clouds that the mask misses have less."""

ALIKE = 0.3
"""Least correlation of the mean images of the two directions, where they are brought together."""

ACROSS, ALONG = 3.0, 1.0
"""Pixels between the two directions of Sentinel-1 from which on they are reported. What is tall leans towards the radar
in each of them, to the west and to the east, but not to the north or south."""

FEW, FEW_PIXELS = 2, 4_900
"""Clear pixels that so few Sentinel-2 dates need to be reported, in all blocks together: in fewer, what the mask
misses of a cloud can look like a shift. It is 30 % of a block of 128 x 128 pixels. More dates confirm each other."""

GROUP_SHIFTED, GROUP_ERRORS, GROUP_DATES = 0.4, 6.0, 5
"""Pixels between two satellites, the standard errors of that difference, and the dates of each, at least."""

ORBIT = "relative orbit"

MOST_SOURCES = 3
"""Satellites or orbits of shifted dates; more of them explain nothing."""

EFFECT = "pixels there show the ground beside them, and borders of fields are blurred"

NAMES = {
    "s2": "Sentinel-2",
    "s1_ascending": "ascending Sentinel-1",
    "s1_descending": "descending Sentinel-1",
}


@dataclass
class _Sum:
    """Correlations of one series, summed over the blocks."""

    doy: NDArray[np.int32]
    correlations: NDArray[np.float32]
    seen: NDArray[np.bool_]
    pixels: NDArray[np.int64]


@dataclass(frozen=True)
class Geometry:
    """Collects what is needed block by block, so that one block is in memory at a time.

    Attributes:
        period: first and last day of the observations; None: not known.
        satellites: for each field of `Dates` the satellite of each day of year, where it is known.
        orbits: the same with the number of the relative orbit.
    """

    period: tuple[date, date] | None
    satellites: Mapping[str, Mapping[int, str]]
    orbits: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    _sums: dict[tuple[str, int], _Sum] = field(default_factory=dict)
    _directions: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, every: Sequence[Series]) -> None:
        """Add the series of a block."""
        means = {}
        for series in every:
            textures = np.stack([texture(image, series.known) for image in series.images])
            pixels = np.count_nonzero(series.known, axis=(1, 2))
            seen = pixels >= LEAST_KNOWN * series.known[0].size
            textures[:, ~seen] = 0
            key = series.field, int(series.doy[0])
            found = correlate(textures)
            if key in self._sums:
                self._sums[key].correlations += found
                self._sums[key].seen |= seen
                self._sums[key].pixels += np.where(seen, pixels, 0)
            else:
                self._sums[key] = _Sum(series.doy, found, seen, np.where(seen, pixels, 0))
            if series.field != "s2" and seen.sum() >= LEAST_DATES:
                means[series.field] = textures[0][seen].mean(axis=0)
        if len(means) == 2:
            both = np.stack([means["s1_ascending"], means["s1_descending"]])
            known = np.ones(both.shape, bool)
            self._directions.append(correlate(texture(both, known)[None]))

    def findings(self) -> list[Finding]:
        """What lies beside the rest."""
        found = []
        for (name, _), each in self._sums.items():
            if each.seen.sum() < LEAST_DATES:
                continue
            pairs = each.correlations[:, :, each.seen][:, :, :, each.seen]
            shifts = locate(pairs)
            doy = each.doy[each.seen]
            away = np.hypot(*shifts.pixels.T)
            shifted = (away >= max(SHIFTED, SPREADS * shifts.spread)) & (shifts.agreement >= AGREES)
            if name == "s2" and shifted.sum() <= FEW:
                shifted &= each.pixels[each.seen] >= FEW_PIXELS
            if shifted.any():
                found.append(self._dates(name, doy, shifts.pixels, shifted))
            else:
                fits = shifts.agreement >= AGREES
                found += self._groups(name, doy[fits], shifts.pixels[fits])
        return found + self._between_directions()

    def _dates(
        self, name: str, doy: NDArray[np.int32], pixels: NDArray[np.float64], shifted: NDArray[np.bool_]
    ) -> Finding:
        typical = np.median(pixels[shifted], axis=0)
        least = float(np.hypot(*pixels[shifted].T).min())
        same = bool((np.linalg.norm(pixels[shifted] - typical, axis=1) < SHIFTED).all())
        one = int(shifted.sum()) == 1
        where = (
            _direction(typical) if one or same else f"up to {_size(pixels[shifted])} in different directions"
        )
        whose = self._whose(name, doy, shifted)
        sure: Sure = "certain" if least >= CERTAIN else "likely"
        return Finding(
            "s2-shift" if name == "s2" else "s1-shift",
            sure,
            f"{NAMES[name]}: {shifted.sum()} of {len(doy)} dates lie {where} of the others, expected less than "
            f"{SHIFTED} pixels: {named_days(doy[shifted].tolist(), self.period)}{whose}".replace(
                "directions of the others", "directions beside the others"
            ),
            EFFECT,
            "process these dates again with the same grid and the same geometry as the others, or leave them out",
        )

    def _whose(self, name: str, doy: NDArray[np.int32], shifted: NDArray[np.bool_]) -> str:
        """Which satellites and orbits the shifted dates are from, where that is known."""
        satellites = _sources(self.satellites.get(name, {}), doy, shifted, "")
        orbits = _sources(self.orbits.get(name, {}), doy, shifted, ORBIT)
        found = ", ".join(filter(None, (satellites, orbits)))
        return f" ({found})" if found else ""

    def _groups(self, name: str, doy: NDArray[np.int32], pixels: NDArray[np.float64]) -> list[Finding]:
        """Satellites that are a part of a pixel apart: less than single dates show."""
        known = self.satellites.get(name, {})
        groups = {
            satellite: pixels[[known.get(day) == satellite for day in doy.tolist()]]
            for satellite in sorted(set(known.values()))
        }
        large = {each: places for each, places in groups.items() if len(places) >= GROUP_DATES}
        if len(large) != 2:
            return []
        (first, a), (second, b) = large.items()
        apart = np.median(b, axis=0) - np.median(a, axis=0)
        error = np.sqrt(a.var(axis=0).sum() / len(a) + b.var(axis=0).sum() / len(b)) * 1.25
        if np.hypot(*apart) < max(GROUP_SHIFTED, GROUP_ERRORS * error):
            return []
        return [
            Finding(
                "s2-shift" if name == "s2" else "s1-shift",
                "likely",
                f"{NAMES[name]}: the dates of {second} lie {_direction(apart)} of those of {first}, expected less than "
                f"{GROUP_SHIFTED} pixels",
                EFFECT,
                "process both satellites with the same geometry",
            )
        ]

    def _between_directions(self) -> list[Finding]:
        if not self._directions:
            return []
        total = np.stack(self._directions).sum(axis=0)
        (down, right), alike = difference(total)
        if alike < ALIKE or (abs(down) < ALONG and abs(right) < ACROSS):
            return []
        return [
            Finding(
                "s1-orbit-shift",
                "likely",
                f"descending Sentinel-1 lies {_direction(np.array([down, right]))} of ascending Sentinel-1, expected "
                f"less than {ALONG:.0f} pixel to the north or south and {ACROSS:.0f} to the east or west",
                EFFECT,
                "process both directions with the same grid and geometry",
            )
        ]


def _sources(
    known: Mapping[int, str] | Mapping[int, int],
    doy: NDArray[np.int32],
    shifted: NDArray[np.bool_],
    word: str,
) -> str:
    """Of what the shifted dates are, in words: satellites, or with a word before them orbits; empty: not known."""
    sources = sorted({known[day] for day in doy[shifted].tolist() if day in known}, key=str)
    if not sources or len(sources) > MOST_SOURCES:
        return ""
    every = [day for day in doy.tolist() if known.get(day) in sources]
    all_of = shifted.sum() >= 0.8 * len(every) and len(set(known.values())) > len(sources)
    listed = " and ".join(map(str, sources))
    plural = "s" if word and len(sources) > 1 else ""
    return f"{'nearly all dates' if all_of else 'dates'} of {word}{plural}{' ' if word else ''}{listed}"


def _direction(pixels: NDArray[np.float64]) -> str:
    """A shift in words, by the rows and columns of a grid with north up."""
    down, right = pixels
    names = [name for name, size in (("south" if down > 0 else "north", down), ("east" if right > 0 else "west", right))
             if abs(size) > 0.35 * np.hypot(down, right)]  # fmt: skip
    return f"{np.hypot(down, right):.1f} pixels {'-'.join(names)}"


def _size(pixels: NDArray[np.float64]) -> str:
    return f"{min(float(np.hypot(*pixels.T).max()), REACH):.1f} pixels"
