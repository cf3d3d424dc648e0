"""The Sentinel-2 part of a sample, in the form that the guard's checks use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.scene import S2_BANDS, Observations


@dataclass(frozen=True)
class OpticalSample:
    """Sentinel-2 observations of N sampled pixels on T dates.

    Attributes:
        values: (T, N, 10) uint16, digital numbers as in the scene.
        marked: (T, N) bool, where the mask is clear.
        clear: (T, N) bool, where the mask is clear and there is data.
        seen: (T, N) bool, where there is data: outside the swath a pixel is 0 in all bands.
        doy: (T,) int32, days of year 1..366.
    """

    values: NDArray[np.uint16]
    marked: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    doy: NDArray[np.int32]

    @classmethod
    def of(cls, observations: Observations) -> OpticalSample:
        """Make it from observations, with the pixels in one row."""
        dates = len(observations.s2_doy)
        pixels = observations.s2_valid.shape[1] * observations.s2_valid.shape[2]
        values = observations.s2.reshape(dates, pixels, len(S2_BANDS))
        seen = values.max(axis=2, initial=0) > 0
        marked = observations.s2_valid.reshape(dates, pixels) != 0
        return cls(values, marked, marked & seen, seen, observations.s2_doy)

    def band(self, name: str) -> NDArray[np.uint16]:
        """(T, N) digital numbers of one band."""
        return self.values[:, :, band_index(name)]


def band_index(name: str) -> int:
    """Position of a band in TESSERA's order."""
    return S2_BANDS.index(name)
