"""How well a pixel was seen: its clear dates and valid observations, the months they cover, and the longest gap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.scl import WATER
from tessera_kernels.threads import in_shares

BANDS = 6
"""Clear dates, valid ascending and descending observations, months, longest gap, status."""

NOT_LOOKED_AT, GOOD, FEW_CLEAR, IS_WATER, NO_DATA = range(5)
"""The status of a pixel."""


class Seen(NamedTuple):
    """Sentinel-2 of N pixels on T dates, in the order of time.

    Attributes:
        valid: (T, N) uint8, 0 = not clear, `scl.WATER` = clear water, else clear.
        days: (T,) int32, days in rising order.
        months: (T,) int32, a number for each month, in rising order.
    """

    valid: NDArray[np.uint8]
    days: NDArray[np.int32]
    months: NDArray[np.int32]


@kernel()
def _count_valid(codes: NDArray[np.int16], pixel: int) -> int:
    n = 0
    for t in range(codes.shape[0]):
        if codes[t, pixel, 0] != 0 or codes[t, pixel, 1] != 0:
            n += 1
    return n


@kernel(nogil=True)
def _quality(
    seen: Seen,
    ascending: NDArray[np.int16],
    descending: NDArray[np.int16],
    time: tuple[int, int],
    min_clear: int,
    out: NDArray[np.uint16],
    start: int,
    stop: int,
) -> None:
    first, last = time
    for pixel in range(start, stop):
        dates, water, months, gap = 0, 0, 0, 0
        day, month = first - 1, np.int32(-1)
        for t in range(len(seen.days)):
            value = seen.valid[t, pixel]
            if value == 0:
                continue
            if dates == 0 or seen.days[t] != day:
                dates += 1
                gap = max(gap, seen.days[t] - day - 1)
                day = seen.days[t]
                if value == WATER:
                    water += 1
                if seen.months[t] != month:
                    month = seen.months[t]
                    months += 1
        up, down = _count_valid(ascending, pixel), _count_valid(descending, pixel)
        status = GOOD
        if dates + up + down == 0:
            status = NO_DATA
        elif dates < min_clear:
            status = FEW_CLEAR
        elif 2 * water > dates:
            status = IS_WATER
        out[pixel, 0] = dates
        out[pixel, 1] = up
        out[pixel, 2] = down
        out[pixel, 3] = months
        out[pixel, 4] = max(gap, last - day)
        out[pixel, 5] = status


def quality(
    seen: Seen,
    ascending: NDArray[np.int16],
    descending: NDArray[np.int16],
    time: tuple[int, int],
    min_clear: int,
) -> NDArray[np.uint16]:
    """How well N pixels were seen.

    Args:
        seen: Sentinel-2.
        ascending: (Ta, N, 2) int16, 0 = missing.
        descending: (Td, N, 2) int16.
        time: first and last day of the time that should be covered, in the numbers of `Seen.days`.
        min_clear: pixels with fewer clear dates have the status `FEW_CLEAR`; 0: none have.

    Returns:
        (N, 6) uint16: clear dates (two observations of one day count once); valid ascending and descending
        observations; months with a clear date; the longest run of days without a clear date, from the first to the
        last day; and the status.
    """
    out = np.empty((seen.valid.shape[1], BANDS), np.uint16)

    def work(share: slice) -> None:
        _quality(seen, ascending, descending, time, min_clear, out, share.start, share.stop)

    in_shares(work, len(out))
    return out
