"""Checks the order of bands: the spectra of leaves and bare ground are plausible in one order only.

Which spectra may be leaves or ground is decided without knowing the order, from their largest and smallest value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.finding import Finding
from tessera_engine.guard.optical_sample import OpticalSample, band_index
from tessera_engine.scene import S2_BANDS

ORDERS: dict[str, tuple[str, ...]] = {
    "TESSERA's": S2_BANDS,
    "by wavelength": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "by name (B8A last)": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12", "B8A"),
    "by colour name (blue, green, nir, ...)": (
        "B02", "B03", "B08", "B8A", "B04", "B05", "B06", "B07", "B11", "B12",
    ),
    "10 m bands by wavelength, then 20 m": (
        "B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12",
    ),
    "10 m bands red first, then 20 m": (
        "B04", "B02", "B03", "B08", "B05", "B06", "B07", "B8A", "B11", "B12",
    ),
    "TESSERA's with blue, green, red first": (
        "B02", "B03", "B04", "B08", "B8A", "B05", "B06", "B07", "B11", "B12",
    ),
    "TESSERA's with red, green, blue first": (
        "B04", "B03", "B02", "B08", "B8A", "B05", "B06", "B07", "B11", "B12",
    ),
    "TESSERA's with B12 before B11": ("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B12", "B11"),
    "by wavelength, backwards": ("B12", "B11", "B8A", "B08", "B07", "B06", "B05", "B04", "B03", "B02"),
}  # fmt: skip
"""Name -> an order of bands that is common in image stacks."""

MIN_SPECTRA = 300
"""Least number of spectra of leaves or ground. With fewer, the scene is water, ice or cloud, and nothing is decided."""

EXPLAINED, UNEXPLAINED = 0.6, 0.4
"""Share of plausible spectra: at least the first if an order is right, at most the second if it is wrong."""

MAX_SPECTRA = 20_000
"""Most spectra that are checked, evenly chosen."""


def check_band_order(sample: OpticalSample) -> list[Finding]:
    """Find bands in an order that isn't TESSERA's."""
    clear = sample.values[sample.clear]
    spectra = clear[:: max(1, len(clear) // MAX_SPECTRA)].astype(np.float32)
    top, bottom = spectra.max(axis=1), np.maximum(spectra.min(axis=1), 1)
    # Leaves are far brighter in one band than in another, but not as bright as snow
    leaves = spectra[(top > 5 * bottom) & (top > 1500) & (top < 7000)]
    ground = spectra[(top > 1.6 * bottom) & (top < 5 * bottom) & (top > 1500) & (top < 7000)]
    if len(leaves) + len(ground) < MIN_SPECTRA:
        return []
    shares = {name: _explained(leaves, ground, order) for name, order in ORDERS.items()}
    ours = shares["TESSERA's"]
    best = max(shares, key=lambda name: shares[name])
    if ours > UNEXPLAINED or shares[best] < EXPLAINED:
        return []
    return [
        Finding(
            "s2-band-order",
            "certain",
            f"Sentinel-2 bands seem to be ordered {best}: in this order {shares[best]:.0%} of "
            f"{len(leaves) + len(ground):,} spectra look like leaves or bare ground, in TESSERA's order {ours:.0%}",
            "the model reads each band as another one, and the embeddings are meaningless",
            f"store the bands in the order {' '.join(S2_BANDS)}",
        )
    ]


def _explained(leaves: NDArray[np.float32], ground: NDArray[np.float32], order: tuple[str, ...]) -> float:
    """Share of the spectra that look like leaves or ground, if their bands are in `order`."""
    right = (
        _looks_like_leaves(_reorder(leaves, order)).sum() + _looks_like_ground(_reorder(ground, order)).sum()
    )
    return float(right / (len(leaves) + len(ground)))


def _reorder(spectra: NDArray[np.float32], order: tuple[str, ...]) -> NDArray[np.float32]:
    """Put the bands of spectra from `order` into TESSERA's order."""
    return spectra[:, [order.index(name) for name in S2_BANDS]]


def _looks_like_leaves(spectra: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(M,) bool: green above blue and red, the red edge rises to a plateau, water absorbs in the infrared."""
    b = {name: spectra[:, band_index(name)] for name in S2_BANDS}
    plateau = np.abs(b["B08"] / np.maximum(b["B8A"], 1) - 1) < 0.25
    edge = (b["B04"] < b["B05"]) & (b["B05"] < b["B06"]) & (b["B06"] < 1.05 * b["B07"])
    return (
        plateau
        & edge
        & (b["B02"] < 1.05 * b["B03"])
        & (b["B03"] < b["B05"])
        & (b["B12"] < 0.75 * b["B11"])
        & (b["B11"] < 1.2 * b["B8A"])
        & (b["B07"] < 1.2 * b["B8A"])
    )


def _looks_like_ground(spectra: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(M,) bool: soil, sand and rock rise from blue to the near infrared, without a step."""
    b = {name: spectra[:, band_index(name)] for name in S2_BANDS}
    rising = np.ones(len(spectra), bool)
    for lower, upper in zip(
        ("B02", "B03", "B04", "B05", "B06", "B07"), ("B03", "B04", "B05", "B06", "B07", "B8A"), strict=True
    ):
        rising &= b[lower] < 1.05 * b[upper]
    return rising & (np.abs(b["B08"] / np.maximum(b["B8A"], 1) - 1) < 0.25) & (b["B12"] < 1.05 * b["B11"])
