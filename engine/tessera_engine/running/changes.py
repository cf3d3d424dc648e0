"""Whether a scene still is what finished windows were read from.

A run may be resumed weeks later. The scene's fingerprint reads only samples of its files, so three things more are
compared: the sizes and times of all files, which cost nothing; a checksum of each date of some finished windows, which
are read again; and of all finished windows where a file has another time, or the user asks for it.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.places.pixels import PixelSet
from tessera_engine.progress import Announce
from tessera_engine.running.journal import Journal, Sums
from tessera_engine.running.windows import windows_of
from tessera_engine.scene import Observations, Reader, Window

SENSORS = {
    "s2": "Sentinel-2",
    "s1_ascending": "ascending Sentinel-1",
    "s1_descending": "descending Sentinel-1",
}
"""Name in `Observations` -> what people call it."""

DIGITS = 8
"""Hexadecimal digits of a CRC-32."""

LEAST_BLOCKS, SHARE = 4, 1 / 16
"""How much of the finished part is read again: blocks of windows that a reader reads together."""


def state_of_files(reader: Reader) -> str:
    """A digest of the names, sizes and times of a scene's files: equal as long as nothing has written to them.

    The time of the last change of a file's facts is among them (on Windows that of its creation), since a copy with
    the old modification time changes it. So equal content can have another state.

    Raises:
        OSError: a file has gone.
    """
    files = sorted(reader.files())
    folder = Path(os.path.commonpath([path.parent for path in files])) if files else Path()
    digest = hashlib.sha256()
    for path in files:
        found = path.stat()
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def sums(observations: Observations) -> Sums:
    """A checksum of each date of a window, for each sensor: `DIGITS` digits a date, without separators."""
    o = observations
    s1 = {
        orbit: "".join(_sum(doy, values) for doy, values in zip(doys, series, strict=True))
        for orbit, doys, series in (
            ("s1_ascending", o.s1_ascending_doy, o.s1_ascending),
            ("s1_descending", o.s1_descending_doy, o.s1_descending),
        )
    }
    s2 = (_sum(*each) for each in zip(o.s2_doy, o.s2, o.s2_valid, strict=True))
    return {"s2": "".join(s2), **s1}


def _sum(doy: np.int32, *arrays: NDArray[np.generic]) -> str:
    found = int(doy)
    for array in arrays:
        found = zlib.crc32(np.ascontiguousarray(array), found)
    return f"{found:0{DIGITS}x}"


def check_finished(
    journal: Journal,
    reader: Reader,
    region: Window,
    files: str,
    every: bool,
    announce: Announce,
    selected: PixelSet | None = None,
) -> None:
    """Make sure that the scene still is what the journal's windows were read from; records the state of its files.

    Args:
        journal: of the run that is resumed, or a new one.
        reader: the scene.
        region: the part of it that is embedded.
        files: the state of its files.
        every: read all finished windows again, not only some.
        announce: called with how many are read.
        selected: the pixels that are embedded; None: all.

    Raises:
        InputError: it has changed; the message says where and what.
    """
    blocks = finished_blocks(journal, reader, region, selected)
    if blocks:
        touched = files != journal.files
        chosen = blocks if every or touched else _some(blocks)
        count, whole = sum(map(len, chosen)), sum(map(len, blocks))
        reason = "the scene's files have changed their times: " if touched else ""
        announce(
            f"{reason}reading {count:,} of {whole:,} finished windows again, to see whether the scene has changed"
        )
        change = find_change(journal, reader, chosen)
        if change is not None:
            raise InputError(
                f"the scene has changed since {journal.path.parent} was begun: {change}; give restart=True to embed "
                "it as it is now, or restore it to resume"
            )
    if files != journal.files:
        journal.files = files
        journal.save()


def look_for_change(
    journal: Journal, reader: Reader, region: Window, selected: PixelSet | None = None
) -> str | None:
    """`find_change` in some of the finished windows."""
    return find_change(journal, reader, _some(finished_blocks(journal, reader, region, selected)))


def find_change(journal: Journal, reader: Reader, blocks: Sequence[Sequence[Window]]) -> str | None:
    """Read finished windows again: what has changed in the first one that has, in words, or None."""
    for window in (window for block in blocks for window in block):
        observations = reader.read(window)
        was, now = journal.finished[window].read, sums(observations)
        if was != now:
            return f"the window {tuple(window)} (col, row, width, height) has {_difference(was, now, observations)}"
    return None


def finished_blocks(
    journal: Journal, reader: Reader, region: Window, selected: PixelSet | None = None
) -> list[list[Window]]:
    """The finished windows in the order of reading; those of a list are read together."""
    every = windows_of(reader, region, journal.window_pixels, selected)
    windows = [window for window in every if window in journal.finished]
    together = max(1, reader.windows_held)
    return [windows[first : first + together] for first in range(0, len(windows), together)]


def _some(blocks: list[list[Window]]) -> list[list[Window]]:
    """A share of the blocks, evenly spaced, with the first and the last."""
    count = min(len(blocks), max(LEAST_BLOCKS, math.ceil(len(blocks) * SHARE)))
    return [blocks[int(i)] for i in np.linspace(0, len(blocks) - 1, count).round()]


def _difference(was: Sums, now: Sums, observations: Observations) -> str:
    """Which dates of a window differ, in words."""
    found = []
    for sensor, title in SENSORS.items():
        before, after = list(_dates(was.get(sensor, ""))), list(_dates(now[sensor]))
        if len(before) != len(after):
            found.append(f"{len(after)} dates of {title} (was {len(before)})")
        elif before != after:
            doys = getattr(observations, f"{sensor}_doy")
            days = [int(doy) for doy, one, other in zip(doys, before, after, strict=True) if one != other]
            more = f" and {len(days) - 1} more dates" if len(days) > 1 else ""
            found.append(f"other values of {title} on day {days[0]} of the year{more}")
    return ", ".join(found)


def _dates(digits: str) -> Iterator[str]:
    yield from (digits[first : first + DIGITS] for first in range(0, len(digits), DIGITS))
