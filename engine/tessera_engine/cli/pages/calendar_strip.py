"""The year of a scene in one line per modality: the valid share of its pixels, date by date."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tessera_engine.scene import Observations

CELLS_A_MONTH = 6
"""A cell is five days, the revisit time of Sentinel-2. Twelve months and their names fit into 80 columns."""

BLOCKS = "▁▂▃▄▅▆▇█"
DIGITS = "012345678"
"""Used if blocks can't be printed: eighths, from 0 for nothing to 8 for everything."""

_MONTHS = (("J", 31), ("F", 29), ("M", 31), ("A", 30), ("M", 31), ("J", 30),
           ("J", 31), ("A", 31), ("S", 30), ("O", 31), ("N", 30), ("D", 31))  # fmt: skip

HEADER = "".join(name.ljust(CELLS_A_MONTH) for name, _ in _MONTHS)


def valid_shares(observations: Observations) -> dict[str, dict[int, float]]:
    """Share of a sample's pixels that are valid on each date: clear in Sentinel-2, non-zero in Sentinel-1.

    Returns:
        For `s2`, `s1_ascending` and `s1_descending`: day of year -> share. If a day has two dates, the larger share.
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
    """The year from January to December in 72 characters, with a space for no date.

    Args:
        shares: day of year -> valid share.
        blocks: draw bars; False: digits.
    """
    cells: dict[int, float] = {}
    for day, share in shares.items():
        cell = _cell(day)
        cells[cell] = max(cells.get(cell, 0.0), share)
    signs = ["·", *BLOCKS] if blocks else list(DIGITS)
    # Any share above zero is shown as more than nothing
    level = {cell: int(np.ceil(share * (len(signs) - 1))) for cell, share in cells.items()}
    return "".join(signs[level[cell]] if cell in level else " " for cell in range(len(HEADER)))


def _cell(day: int) -> int:
    """The cell of a day of year in a leap year. Other years are shifted by at most one day."""
    for month, (_, length) in enumerate(_MONTHS):
        if day <= length:
            return month * CELLS_A_MONTH + min((day - 1) // 5, CELLS_A_MONTH - 1)
        day -= length
    raise ValueError(f"a year has no day {day} after its last month")
