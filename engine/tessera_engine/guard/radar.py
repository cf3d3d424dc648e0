"""Checks that Sentinel-1 is in TESSERA's code, made from linear power, with VV first and VH second.

The limits are for medians over a year and a scene, in dB of gamma0: VV is between -20 (sand, calm water) and -3 (a
city), and VH is 5 to 10 dB below it. If amplitude was used as power, decibels are halved: too bright and too close.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.scene import Observations

MIN_SEEN = 300
"""Least number of observations with both channels in an orbit."""

VV_RANGE = (-24.0, 1.0)
"""dB. The upper limit is for the percolation zone of ice sheets, the brightest ground on Earth."""

_CODE = "code = (20 * log10(gamma0 power) + 50) * 200"


def check_radar(observations: Observations) -> list[Finding]:
    """Find wrong units and swapped channels."""
    findings: dict[str, Finding] = {}
    for orbit, values in (
        ("ascending", observations.s1_ascending),
        ("descending", observations.s1_descending),
    ):
        for finding in _check_orbit(values.reshape(-1, 2)):
            # Usually both orbits have the same mistake: one finding is enough
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
        return [_units(f"{negative:.0%} of the observations are negative, like decibels")]
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
                f"VH is stronger than VV in {swapped:.0%} of the observations, which is rare in nature",
                "the model reads each channel as the other one",
                "store VV first, VH second",
            )
        )
        both = both[:, ::-1]
    vv, vh = (float(np.median(channel)) / 400 - 25 for channel in both.T)
    medians = f"read as TESSERA's code, the median is {vv:.1f} dB for VV and {vh:.1f} dB for VH"
    if not VV_RANGE[0] <= vv <= VV_RANGE[1]:
        findings.append(_units(f"{medians}; no land is like this"))
    elif vh > -12.5 and vv - vh < 4.8:
        findings.append(
            Finding(
                "s1-amplitude",
                "certain" if vh > -10.5 else "likely",
                f"{medians}, too close for land; if the code was made from amplitude, or from decibels without the "
                f"factor 2, the true values are {2 * vv:.0f} and {2 * vh:.0f} dB",
                "all land looks like a city to the model, and changes count half",
                f"store {_CODE}; for products give s1_units='amplitude' or s1_units='db'",
            )
        )
    elif vv - vh < 2.5 and vh > -21:
        findings.append(_units(f"{medians}; on any land VH is at least 4 dB below VV"))
    return findings


def _units(found: str) -> Finding:
    return Finding(
        "s1-units",
        "certain",
        f"the values are not in TESSERA's code: {found}",
        "the Sentinel-1 part of the embeddings is meaningless",
        f"store {_CODE}; from decibels: (2 * dB + 50) * 200, from amplitude: (40 * log10(x) + 50) * 200",
    )
