"""Checks for seams and stripes: straight lines along rows or columns at which all values jump.

They come from tiles, strips or detectors that were processed differently. What is on the ground has no such lines: its
borders are blurred by the sensor, and seldom follow a row or column exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.calendar import named_days
from tessera_engine.guard.neighbours import Series
from tessera_engine.scene import Window

WIDE = 4
"""Pixels on each side of a line that are compared, besides the two nearest ones."""

SEGMENTS = 4
"""Parts of a line; a seam is in each of them."""

EVEN = 0.5
"""Least ratio of the jump in a part of the line to that in all of it."""

SHARP = 0.7
"""Least ratio of the jump between the two nearest pixels to that between the sides. Real borders are blurred."""

ERRORS = 9.0
"""Times the usual difference of the sides by which a jump has to exceed it on one date."""

LONG = 128
"""Pixels of a line for which that is enough. On shorter lines single pixels count more, and the factor grows."""

ERRORS_ALWAYS = 7.0
"""The same for the mean over all dates, in which speckle and clouds are gone and borders of fields are left."""

LEAST: Mapping[str, float] = {"s2": 60.0, "s1_ascending": 0.6, "s1_descending": 0.6}
"""Smallest jump that is reported: digital numbers, or dB."""

BESIDE = 4
"""Dates before and as many after with which a date is compared: the seasons change slowly, a mistake is sudden."""

LEAST_DATES = 5
"""Of a series with a line in sight."""


@dataclass(frozen=True)
class _Line:
    """A line in one series: along a column or a row, before pixel `at` of the scene."""

    field: str
    axis: str
    at: int


@dataclass
class _Jumps:
    """What is known of a line: jumps by day of year; without any, it is on all dates."""

    always: float = 0.0
    days: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Seams:
    """Collects the lines of all blocks.

    Attributes:
        period: first and last day of the observations; None: not known.
        orbits: for each field of `Dates` the relative orbit of each day of year, where it is known.
    """

    period: tuple[date, date] | None
    orbits: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    _lines: dict[_Line, _Jumps] = field(default_factory=dict)

    def add(self, every: Sequence[Series], window: Window) -> None:
        """Add the series of a block, which lies in a window of the scene."""
        for series in every:
            values = np.mean(series.images, axis=0) if len(series.images) > 1 else series.images[0]
            turned, known = (np.ascontiguousarray(each.transpose(0, 2, 1)) for each in (values, series.known))
            found = {
                ("column", window.col): _jumps(series, values, series.known),
                ("row", window.row): _jumps(series, turned, known),
            }
            for (axis, start), jumps in found.items():
                for at, day, jump in jumps:
                    line = self._lines.setdefault(_Line(series.field, axis, start + at), _Jumps())
                    if day is None:
                        line.always = max(line.always, jump, key=abs)
                    else:
                        line.days[day] = max(line.days.get(day, 0.0), jump, key=abs)

    def findings(self) -> list[Finding]:
        """The lines: for each series those on single dates, and those on all."""
        found = []
        for name in LEAST:
            mine = {line: jumps for line, jumps in self._lines.items() if line.field == name}
            some = {line: jumps for line, jumps in mine.items() if jumps.days}
            always = {line: jumps for line, jumps in mine.items() if not jumps.days}
            if some:
                days = sorted({day for jumps in some.values() for day in jumps.days})
                largest = max((max(jumps.days.values(), key=abs) for jumps in some.values()), key=abs)
                found.append(_finding(name, some, largest, self._when(name, days)))
            if always:
                largest = max((jumps.always for jumps in always.values()), key=abs)
                found.append(_finding(name, always, largest, "in the mean of all dates"))
        return found

    def _when(self, name: str, days: list[int]) -> str:
        """Days, with their relative orbit where all are of one."""
        orbits = {self.orbits.get(name, {}).get(day) for day in days}
        orbit = f" (relative orbit {orbits.pop()})" if len(orbits) == 1 and None not in orbits else ""
        return f"on {named_days(days, self.period)}{orbit}"


def _finding(name: str, lines: Mapping[_Line, _Jumps], largest: float, when: str) -> Finding:
    ordered = sorted(lines, key=lambda line: (line.axis, line.at))
    where = ", ".join(f"{line.axis} {line.at}" for line in ordered[:4])
    more = f" and {len(ordered) - 4} more" if len(ordered) > 4 else ""
    optical = name == "s2"
    size = f"{abs(largest):.0f} digital numbers" if optical else f"{abs(largest):.1f} dB"
    sensor = "Sentinel-2" if optical else f"{name.removeprefix('s1_')} Sentinel-1"
    return Finding(
        "s2-seam" if optical else "s1-seam",
        "likely" if when.startswith("in") else "certain",
        f"{sensor}: values jump by up to {size} along straight lines at {where}{more}, {when}",
        "the embeddings on both sides differ where the ground doesn't",
        "process the parts in the same way, or leave these dates out",
    )


def _jumps(
    series: Series, values: NDArray[np.float32], known: NDArray[np.bool_]
) -> list[tuple[int, int | None, float]]:
    """(column, day of year, jump) of each vertical line; no day where it is in the mean of all dates."""
    doy, least = series.doy, LEAST[series.field]
    near, wide = (_differences(values, known, size) for size in (1, WIDE))
    usable = np.asarray(np.isfinite(wide).all(axis=1)) & np.asarray(np.isfinite(near).all(axis=1))
    usual_near, usual_wide = _usual(near), _usual(wide)
    found: list[tuple[int, int | None, float]] = []
    errors = ERRORS * max(1.0, (LONG / values.shape[1]) ** 0.5)
    if len(doy) >= LEAST_DATES:
        sudden_near, sudden_wide = near - usual_near, wide - usual_wide
        for t in range(len(doy)):
            judged = sudden_near if series.field == "s2" else sudden_wide
            for at in _lines(judged[t], sudden_near[t], sudden_wide[t], usable[t], (errors, least)):
                found.append((at, int(doy[t]), float(judged[t, :, at].mean())))
        for at, jump in _always(values, known, least):
            found.append((at, None, jump))
    return found


def _differences(values: NDArray[np.float32], known: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    """(T, SEGMENTS, w) mean of `size` pixels from each column on minus that before it; NaN where little is known."""
    dates, height, width = values.shape
    result = np.full((dates, SEGMENTS, width), np.nan)
    cols = slice(size, width - size + 1)
    parts = np.array_split(np.arange(height), SEGMENTS)
    whole = np.asarray(known.all(axis=(1, 2)))
    for s, rows in enumerate(parts):
        # Where all is known, the rows are added first: that is far less work
        result[whole, s, cols] = _steps(values[whole, rows[0] : rows[-1] + 1].mean(axis=1), size)
    for t in np.flatnonzero(
        ~whole
    ):  # one date at a time: what it takes is large beside the values themselves
        filled, given = np.where(known[t], values[t], 0), known[t]
        full = np.asarray(np.lib.stride_tricks.sliding_window_view(given, 2 * size, axis=1).all(axis=-1))
        steps = np.where(full, _steps(filled, size), 0)
        for s, rows in enumerate(parts):
            seen = full[rows[0] : rows[-1] + 1].sum(axis=0)
            mean = steps[rows[0] : rows[-1] + 1].sum(axis=0) / np.maximum(seen, 1)
            result[t, s, cols] = np.where(seen >= len(rows) / 2, mean, np.nan)
    return result


def _steps(values: NDArray[Any], size: int) -> NDArray[Any]:
    """(..., w - 2 * size + 1) mean of `size` values minus the mean of as many before them."""
    width = values.shape[-1]
    result = np.zeros((*values.shape[:-1], width - 2 * size + 1), values.dtype)
    for k in range(size):
        result += values[..., size + k : width - size + 1 + k]
        result -= values[..., k : width - 2 * size + 1 + k]
    result /= size
    return result


def _usual(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, SEGMENTS, w) the median over the dates around each date, without itself."""
    dates = len(differences)
    usual = np.full_like(differences, np.nan)
    for t in range(dates):
        around = [u for u in range(t - BESIDE, t + BESIDE + 1) if u != t and 0 <= u < dates]
        if around:
            usual[t] = _median(differences[around])
    return usual


def _median(values: NDArray[Any]) -> NDArray[np.float64]:
    """Over the first axis, without NaN."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    count = np.isfinite(values).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)
    take = np.take_along_axis
    middle = (take(ordered, low[None], 0) + take(ordered, high[None], 0))[0] / 2
    return np.where(count > 0, middle, np.nan)


def _always(
    values: NDArray[np.float32], known: NDArray[np.bool_], least: float
) -> Iterator[tuple[int, float]]:
    """(column, jump) of each vertical line in the mean of all dates.

    Most pixels beside a column are not on a border of the ground, so medians along the column don't feel the borders.
    """
    count = np.count_nonzero(known, axis=0)
    mean = np.where(known, values, 0).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
    mean[count < LEAST_DATES] = np.nan
    width = mean.shape[1]
    near, wide = np.full((SEGMENTS, width), np.nan), np.full((SEGMENTS, width), np.nan)
    for s, rows in enumerate(np.array_split(mean, SEGMENTS)):
        for result, size in ((near, 1), (wide, WIDE)):
            steps = _steps(rows, size)
            known_half = np.isfinite(steps).sum(axis=0) >= len(rows) / 2
            result[s, size : width - size + 1] = np.where(known_half, _median(steps), np.nan)
    # Within `WIDE` pixels of a column there are many borders, next to it few: only the nearest pixels are compared
    for at in _lines(near, near, wide, np.ones(width, bool), (ERRORS_ALWAYS, least)):
        jump, beside = float(near[:, at].mean()), float(wide[:, at].mean())
        # A road or a ditch is a line too, but its two sides are alike
        if beside * np.sign(jump) > 0.5 * abs(jump):
            yield at, jump


def _lines(
    jumps: NDArray[np.float64],
    near: NDArray[np.float64],
    wide: NDArray[np.float64],
    usable: NDArray[np.bool_],
    limits: tuple[float, float],
) -> list[int]:
    """Columns of an image before which there is a line.

    Args:
        jumps: (SEGMENTS, w) what is judged: `near` has less of the borders of fields, `wide` less speckle.
        near: (SEGMENTS, w) differences of the nearest pixels.
        wide: (SEGMENTS, w) differences of the sides.
        usable: (w,) bool.
        limits: times the usual jump, and the smallest jump.
    """
    given = usable & np.isfinite(near).all(axis=0) & np.isfinite(wide).all(axis=0)
    if given.sum() < 4 * WIDE:
        return []
    jump, sharp, sides = (np.zeros(len(given)) for _ in range(3))
    for result, values in ((jump, jumps), (sharp, near), (sides, wide)):
        result[given] = values[:, given].mean(axis=0)
    noise = 1.4826 * np.median(np.abs(jump[given] - np.median(jump[given])))
    sign = np.sign(jump)
    even = np.zeros(len(given), bool)
    even[given] = (jumps[:, given] * sign[given]).min(axis=0) >= EVEN * np.abs(jump[given])
    large = (
        even & (np.abs(jump) >= max(limits[0] * noise, limits[1])) & (sharp * sign >= SHARP * np.abs(sides))
    )
    found = []
    for at in np.flatnonzero(large):
        around = slice(max(at - WIDE, 0), at + WIDE + 1)
        if np.abs(sharp[at]) >= np.abs(sharp[around]).max():
            found.append(int(at))
    return found
