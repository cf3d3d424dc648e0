"""Sentinel-1: in TESSERA's code, from linear power, VV and VH in their places.

Bounds are of medians over a year and a scene, in dB of gamma0: VV is from -20 (sand, calm water) to -3 (a city), and
VH lies 5 to 10 dB below it. Halved decibels, which amplitude taken for power gives, are too bright and too close.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.scene import Observations

MIN_SEEN = 300
"""Observations with both channels that an orbit needs."""

VV_RANGE = (-24.0, 1.0)
"""The upper end is for the percolation zone of ice sheets, the brightest ground there is."""

_CODE = "code = (20 * log10(gamma0 power) + 50) * 200"


def check_radar(observations: Observations) -> list[Finding]:
    """Find wrong units and swapped channels."""
    findings: dict[str, Finding] = {}
    for orbit, values in (
        ("ascending", observations.s1_ascending),
        ("descending", observations.s1_descending),
    ):
        for finding in _check_orbit(values.reshape(-1, 2)):
            # The same mistake is made with both orbits, as a rule: once is enough to say what it is
            if finding.name in findings:
                known = findings[finding.name]
                findings[finding.name] = replace(
                    known, found=known.found.replace("ascending", "both orbits", 1)
                )
            else:
                findings[finding.name] = replace(finding, found=f"Sentinel-1, {orbit}: {finding.found}")
    return list(findings.values())


def _check_orbit(codes: NDArray[np.int16]) -> list[Finding]:
    given = codes[codes.any(axis=1)]
    if len(given) < MIN_SEEN:
        return []
    negative = float((given < 0).any(axis=1).mean())
    if negative > 0.1:
        return [_units(f"{negative:.0%} of the values are negative, as decibels are")]
    both = given[(given > 0).all(axis=1)].astype(np.float32)
    if len(both) < MIN_SEEN:
        return []
    findings = []
    swapped = float((both[:, 1] > both[:, 0]).mean())
    if swapped > 0.8:
        findings.append(
            Finding(
                "s1-swapped",
                "certain",
                f"VH is stronger than VV in {swapped:.0%} of the observations, in nature hardly anywhere",
                "each channel is taken for the other",
                "store VV first, VH second",
            )
        )
        both = both[:, ::-1]
    vv, vh = (float(np.median(channel)) / 400 - 25 for channel in both.T)
    told = f"read as TESSERA's code the median VV is {vv:.1f} dB and VH {vh:.1f} dB"
    if not VV_RANGE[0] <= vv <= VV_RANGE[1]:
        findings.append(_units(f"{told}; no land is like this"))
    elif vh > -12.5 and vv - vh < 4.8:
        findings.append(
            Finding(
                "s1-amplitude",
                "certain" if vh > -10.5 else "likely",
                f"{told}, too close for land; coded from amplitude, or from decibels without the factor 2, they would "
                f"be {2 * vv:.0f} and {2 * vh:.0f} dB",
                "the radar looks like a city to the model, and changes count half",
                f"store {_CODE}; products: --s1-units amplitude or db",
            )
        )
    elif vv - vh < 2.5 and vh > -21:
        findings.append(_units(f"{told}; VH lies at least 4 dB below VV on any land"))
    return findings


def _units(found: str) -> Finding:
    return Finding(
        "s1-units",
        "certain",
        f"the values aren't TESSERA's code: {found}",
        "the Sentinel-1 half of the embedding means nothing",
        f"store {_CODE}; that is (2 * dB + 50) * 200 for decibels, (40 * log10(x) + 50) * 200 for amplitude",
    )
