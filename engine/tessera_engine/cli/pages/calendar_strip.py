"""The year of a scene in one line a modality: how much of it could be seen, date by date."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tessera_engine.scene import Observations

CELLS_A_MONTH = 6
"""A cell is five days, which Sentinel-2 takes to come again; twelve months with their names fit into 80 columns."""

BLOCKS = "▁▂▃▄▅▆▇█"
DIGITS = "012345678"
"""Where blocks can't be printed: 0 for nothing seen, eighths up to 8 for everything."""

_MONTHS = (("J", 31), ("F", 29), ("M", 31), ("A", 30), ("M", 31), ("J", 30),
           ("J", 31), ("A", 31), ("S", 30), ("O", 31), ("N", 30), ("D", 31))  # fmt: skip

HEADER = "".join(name.ljust(CELLS_A_MONTH) for name, _ in _MONTHS)


def valid_shares(observations: Observations) -> dict[str, dict[int, float]]:
    """Share of a sample's pixels that were seen on each date: clear in Sentinel-2, non-zero in Sentinel-1.

    Returns:
        By `s2`, `s1_ascending` and `s1_descending`: day of year -> share; the largest where a day has two dates.
    """
    seen = {
        "s2": (observations.s2_valid != 0, observations.s2_doy),
        "s1_ascending": (observations.s1_ascending.any(axis=3), observations.s1_ascending_doy),
        "s1_descending": (observations.s1_descending.any(axis=3), observations.s1_descending_doy),
    }
    shares: dict[str, dict[int, float]] = {}
    for modality, (valid, doys) in seen.items():
        days: dict[int, float] = {}
        for date, doy in enumerate(doys.tolist()):
            days[doy] = max(days.get(doy, 0.0), float(np.mean(valid[date])))
        shares[modality] = days
    return shares


def strip(shares: Mapping[int, float], blocks: bool) -> str:
    """The year from January to December, 72 characters; a space where there is no date.

    Args:
        shares: day of year -> share seen.
        blocks: draw bars; False: digits.
    """
    cells: dict[int, float] = {}
    for day, share in shares.items():
        cell = _cell(day)
        cells[cell] = max(cells.get(cell, 0.0), share)
    signs = ["·", *BLOCKS] if blocks else list(DIGITS)
    # Whatever was seen at all is more than nothing
    level = {cell: int(np.ceil(share * (len(signs) - 1))) for cell, share in cells.items()}
    return "".join(signs[level[cell]] if cell in level else " " for cell in range(len(HEADER)))


def _cell(day: int) -> int:
    """Which cell a day of year lies in; the year is a leap year, which shifts others by a day at most."""
    for month, (_, length) in enumerate(_MONTHS):
        if day <= length:
            return month * CELLS_A_MONTH + min((day - 1) // 5, CELLS_A_MONTH - 1)
        day -= length
    raise ValueError(f"a year has no day {day} after its last month")
