"""Blocks of a scene as series of images, in which pixels are compared with their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.guard.optical_sample import band_index
from tessera_engine.scene import Observations

BLOCKS = 4
"""Blocks that are read of a scene."""

EVERY = 2
"""Dates are compared in every second block: a shift is the same everywhere, a seam is not."""

LEAST_SIDE = 48
"""Pixels. In a smaller block there is too little to compare."""

LEAST_KNOWN = 0.3
"""Share of a block that must be clear, or in the swath, for a date to be used."""

MOST_DATES = 120
"""Dates of a series, because pairs of dates are compared; longer series are cut into parts."""

OPTICAL_BANDS = ("B04", "B08")
"""Of 10 m. Fields differ in the one when they are bare, in the other when they are green."""

FIELDS = ("s2", "s1_ascending", "s1_descending")
"""The series, named like the fields of `Dates`."""


@dataclass(frozen=True)
class Series:
    """Images of one sensor and direction in one block.

    Attributes:
        field: one of `FIELDS`.
        doy: (T,) int32, days of year 1..366.
        images: one (T, h, w) float32 for each band: digital numbers, or dB of VV and VH together.
        known: (T, h, w) bool, where there is a clear value.
    """

    field: str
    doy: NDArray[np.int32]
    images: tuple[NDArray[np.float32], ...]
    known: NDArray[np.bool_]


def series_of(block: Observations) -> Iterator[Series]:
    """The series of a block, in parts of at most `MOST_DATES` dates by day of year; each part has all its dates."""
    if min(block.s2_valid.shape[1:]) < LEAST_SIDE:
        return
    for field in FIELDS:
        doy = getattr(block, f"{field}_doy")
        order = np.argsort(doy, kind="stable")
        is_ordered = bool((np.diff(order) == 1).all())
        for part in np.array_split(order, max(1, -(-len(order) // MOST_DATES))):
            if len(part):
                # A slice makes no copy
                dates = slice(part[0], part[-1] + 1) if is_ordered else part
                yield _optical(block, dates) if field == "s2" else _radar(block, field, dates)


def _optical(block: Observations, dates: slice | NDArray[np.int64]) -> Series:
    # A band at a time, since a copy of all of them is large
    bands = tuple(block.s2[..., band_index(name)][dates].astype(np.float32) for name in OPTICAL_BANDS)
    known = (block.s2_valid[dates] != 0) & (bands[OPTICAL_BANDS.index("B08")] > 0)
    return Series("s2", block.s2_doy[dates], bands, known)


def _radar(block: Observations, field: str, dates: slice | NDArray[np.int64]) -> Series:
    codes = getattr(block, field)[dates]
    known = (codes > 0).all(axis=-1)
    # The sum of two channels has less speckle than each of them
    both = codes.sum(axis=-1, dtype=np.float32)
    both /= 800
    both -= 25
    return Series(field, getattr(block, f"{field}_doy")[dates], (both,), known)
