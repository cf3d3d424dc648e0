"""Do the masks mark clouds? A cloud is brighter than the ground in the blue and in the short-wave infrared at once.

Snow and salt outshine clouds in the blue only, sand in the infrared only; so both are asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample

MIN_SHARE = 0.05
"""Of the observations that must be clear, and must not be, before the two are compared."""

BRIGHTER = 1000.0
"""Digital numbers by which clouds stand out in the blue, at the least: the median over a year of them."""

CLOUDY_SHARE = 0.03
"""Of all observations; deserts have fewer clouds than this, hardly any other place has."""

MIN_DATES = 12

_FIX = "make masks.npy from the scene classification again: 1 = clear, 0 = classes 0 1 2 3 8 9"


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
                f"the mask calls none of {seen:,} sampled Sentinel-2 observations clear",
                "embeddings rest on Sentinel-1 alone",
                f"{_FIX}; or the place had no clear day",
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
                    f"what the mask calls clear is brighter than what it calls cloud, by {brighter['B02']:.0f} in B02 "
                    f"and {brighter['B12']:.0f} in B12, as clouds are",
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
                    f"the mask calls all of {seen:,} sampled Sentinel-2 observations clear, but "
                    f"{clouds.sum() / seen:.0%} look like clouds",
                    "clouds count as ground",
                    f"{_FIX} (class numbers kept as they are would all count as clear)",
                )
            ]
    return []


def _clouds(sample: OpticalSample) -> NDArray[np.bool_]:
    """(T, N): much brighter in blue than the pixel is on its darkest days, and not as snow is."""
    blue = sample.band("B02").astype(np.float32)
    darkest = np.quantile(np.where(sample.seen, blue, np.float32(65535)), 0.15, axis=0)
    return (
        sample.seen
        & (blue > darkest + 1.5 * BRIGHTER)
        & (sample.band("B11") > 2 * BRIGHTER)
        & (sample.band("B12") > 1.5 * BRIGHTER)
    )
