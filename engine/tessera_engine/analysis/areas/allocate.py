"""How many points to check, and how many of each class of a map."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def total_points(pixels: NDArray[np.int64], expected: NDArray[np.float64], standard_error: float) -> int:
    """Points that give the overall accuracy a standard error, by Cochran's formula for stratified samples.

    Equation 13 of Olofsson et al. 2014 ("Good practices for estimating area and assessing accuracy of land change",
    Remote Sensing of Environment 148, 42-57), with the term for small populations of Cochran 1977 ("Sampling
    Techniques", equation 5.25).

    Args:
        pixels: (C,) of each class.
        expected: (C,) user's accuracy that is expected of each class.
        standard_error: of the overall accuracy.
    """
    whole = pixels.sum()
    weight, spread = pixels / whole, np.sqrt(expected * (1 - expected))
    needed = float((weight @ spread) ** 2 / (standard_error**2 + weight @ spread**2 / whole))
    return max(1, math.ceil(needed - 1e-9))


def divide(pixels: NDArray[np.int64], total: int, least: int) -> NDArray[np.int64]:
    """(C,) points of each class: `least` for classes whose share of the total is less, and the rest by their pixels.

    Olofsson et al. 2014, section 5.1: so rare classes get points enough, and common ones stay close to their share. No
    class gets more points than it has pixels.

    Args:
        pixels: (C,) of each class, 1 or more.
        total: of the points; more where `least` needs more.
        least: points of a class.
    """
    points = np.minimum(pixels, least)
    common = np.ones(len(pixels), bool)
    while common.any():
        rest = max(0, total - int(points[~common].sum()))
        share = rest * pixels[common] / pixels[common].sum()
        rare = share < np.minimum(pixels[common], least)
        if not rare.any():
            points[common] = np.minimum(pixels[common], _rounded(share))
            break
        common[np.flatnonzero(common)[rare]] = False
    return points


def _rounded(share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers with the same sum: the largest fractions are rounded up."""
    down = np.floor(share).astype(np.int64)
    missing = round(float(share.sum())) - int(down.sum())
    down[np.argsort(down - share, kind="stable")[:missing]] += 1
    return down
