"""Checks that Sentinel-2 values are reflectance * 10000."""

from __future__ import annotations

import numpy as np

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample


def check_scale(sample: OpticalSample) -> list[Finding]:
    """Find values in other units; masks are not used."""
    if not sample.values.size:
        return []
    brightest = sample.values.max(axis=2)
    if brightest.max() <= 1 and sample.marked.any():
        return [_scale("all values are 0 or 1", "they seem to be 0..1 floats cut to whole numbers")]
    if not sample.seen.any():
        return []
    top = float(np.percentile(brightest[sample.seen], 99.5))
    brightest_of_all = f"the brightest observations, clouds included, are {top:.0f} (99.5th percentile)"
    if top <= 300:
        return [_scale(brightest_of_all, "they seem to be 0..255 or percentages")]
    if top <= 1400:
        # A lake without clouds is equally dark, but water is dark in the infrared
        land = sample.band("B8A") > 1.2 * sample.band("B02")
        seen = sample.seen.sum()
        with_clouds = 0.2 < sample.clear.sum() / seen < 0.8
        if land.sum() > 0.2 * seen or with_clouds:
            return [_scale(brightest_of_all, "they seem to be reflectance * 1000")]
    middle = float(np.median(brightest[sample.seen]))
    if 15_000 < middle < 60_000:
        return [_scale(f"half of all observations are above {middle:.0f}", "no surface reflects that much")]
    return []


def _scale(found: str, guess: str) -> Finding:
    return Finding(
        "s2-scale",
        "certain",
        f"Sentinel-2 values are not reflectance * 10000: {found}; {guess}",
        "all Sentinel-2 tokens look the same to the model",
        "store reflectance * 10000 as uint16",
    )
