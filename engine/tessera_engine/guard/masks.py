"""Checks that masks mark clouds: a cloud is brighter than the ground in the blue and the short-wave infrared.

Snow and salt are as bright as clouds in the blue only, sand in the infrared only; so both are required.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample

MIN_SHARE = 0.05
"""Least share of the observations that are clear, and that are not, for the two to be compared."""

BRIGHTER = 1000.0
"""Digital numbers by which clouds are at least brighter in the blue, as a median over the year."""

CLOUDY_SHARE = 0.03
"""Share of cloudy observations; only deserts have a smaller one."""

MIN_DATES = 12
"""Dates needed to judge a mask that is clear everywhere."""

_FIX = "make masks.npy from the scene classification again: 1 = clear, 0 = classes 0, 1, 2, 3, 8 and 9"


def check_masks(sample: OpticalSample) -> list[Finding]:
    """Find masks that are empty, inverted or clear everywhere."""
    seen = sample.seen.sum()
    if not seen:
        return []
    share = sample.clear.sum() / seen
    if share == 0:
        return [
            Finding(
                "mask-empty",
                "certain",
                f"the mask marks none of {seen:,} sampled Sentinel-2 observations as clear",
                "embeddings are from Sentinel-1 alone",
                f"{_FIX}; or use another year if the place had no clear day",
            )
        ]
    if MIN_SHARE <= share <= 1 - MIN_SHARE:
        covered = sample.seen & ~sample.clear
        brighter = {
            name: float(np.median(sample.band(name)[sample.clear]))
            - float(np.median(sample.band(name)[covered]))
            for name in ("B02", "B11", "B12")
        }
        if brighter["B02"] > BRIGHTER and min(brighter["B11"], brighter["B12"]) > 0:
            return [
                Finding(
                    "mask-inverted",
                    "certain" if min(brighter["B11"], brighter["B12"]) > BRIGHTER / 4 else "likely",
                    f"observations marked as clear are brighter than those marked as cloud, by {brighter['B02']:.0f} "
                    f"in B02 and {brighter['B12']:.0f} in B12, as if the mask were inverted",
                    "embeddings show clouds, not the ground",
                    f"invert the mask; {_FIX}",
                )
            ]
    if share > 0.999 and len(sample.doy) >= MIN_DATES:
        clouds = _clouds(sample)
        if clouds.sum() > CLOUDY_SHARE * seen:
            return [
                Finding(
                    "mask-all-clear",
                    "certain" if clouds.sum() > 3 * CLOUDY_SHARE * seen else "likely",
                    f"the mask marks all of {seen:,} sampled Sentinel-2 observations as clear, but "
                    f"{clouds.sum() / seen:.0%} look like clouds",
                    "the model reads clouds as ground",
                    f"{_FIX} (in a mask of class numbers nearly everything counts as clear)",
                )
            ]
    return []


def _clouds(sample: OpticalSample) -> NDArray[np.bool_]:
    """(T, N) bool: much brighter in blue than the pixel on its darkest days, and bright in infrared, unlike snow."""
    blue = sample.band("B02").astype(np.float32)
    darkest = np.quantile(np.where(sample.seen, blue, np.float32(65535)), 0.15, axis=0)
    return (
        sample.seen
        & (blue > darkest + 1.5 * BRIGHTER)
        & (sample.band("B11") > 2 * BRIGHTER)
        & (sample.band("B12") > 1.5 * BRIGHTER)
    )
