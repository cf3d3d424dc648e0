"""Checks that values are like those the model was trained on, within a few standard deviations of its mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample
from tessera_engine.scene import S1_BANDS, S2_BANDS, Observations
from tessera_engine.tokens import Statistics

DEVIATIONS = 4.0
"""Standard deviations from the mean within which values are plausible."""

OFF = 0.5
"""Share of plausible values in a band below which the band is reported."""


def plausible_shares(observations: Observations, model: Statistics) -> dict[str, float]:
    """Share of the plausible values among the valid values of each band.

    Args:
        observations: a sample.
        model: the model's statistics.

    Returns:
        Modality and band, such as `S2 B04` or `S1 ascending VV` -> share, 0..1; bands without a valid value are left
        out.
    """
    sample = OpticalSample.of(observations)
    shares = _shares("S2", S2_BANDS, sample.values[sample.clear], model.s2_mean, model.s2_std)
    for orbit, values, mean, std in (
        ("ascending", observations.s1_ascending, model.s1_ascending_mean, model.s1_ascending_std),
        ("descending", observations.s1_descending, model.s1_descending_mean, model.s1_descending_std),
    ):
        codes = values.reshape(-1, len(S1_BANDS))
        shares |= _shares(f"S1 {orbit}", S1_BANDS, codes[codes.any(axis=1)], mean, std)
    return shares


def check_range(shares: dict[str, float]) -> list[Finding]:
    """Find bands with mostly implausible values; `shares` as from `plausible_shares`."""
    off = {band: share for band, share in shares.items() if share < OFF}
    if not off:
        return []
    listed = ", ".join(f"{band} {share:.0%}" for band, share in off.items())
    return [
        Finding(
            "model-range",
            "likely",
            f"most values are more than {DEVIATIONS:.0f} standard deviations from the model's mean; within are only "
            f"{listed}",
            "the model was hardly trained on such values",
            "check the units of these bands",
        )
    ]


def _shares(
    modality: str,
    bands: tuple[str, ...],
    values: NDArray[np.uint16] | NDArray[np.int16],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> dict[str, float]:
    if not len(values):
        return {}
    z = (values - np.array(mean, np.float32)) / np.array(std, np.float32)
    within = (np.abs(z) <= DEVIATIONS).mean(axis=0)
    return {f"{modality} {band}": float(share) for band, share in zip(bands, within, strict=True)}
