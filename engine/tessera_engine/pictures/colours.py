"""Colours of classes and of numbers."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

# Easy to distinguish, also for most colour-blind people (Okabe and Ito)
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (90, 90, 90),
)

# Viridis at 0, 1/4, 1/2, 3/4 and 1
RAMP: tuple[Colour, ...] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def class_colour(i: int) -> Colour:
    """The colour of the i-th class, from 0."""
    if i < len(PALETTE):
        return PALETTE[i]
    # The golden ratio spreads any number of hues evenly
    red, green, blue = colorsys.hsv_to_rgb(i * 0.618033988749895 % 1, 0.65, 0.95 - 0.3 * (i % 2))
    return round(red * 255), round(green * 255), round(blue * 255)


def ramp(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Colours (..., 3) of numbers."""
    places = np.linspace(low, high if high > low else low + 1, len(RAMP))
    bands = [np.interp(values, places, [colour[band] for colour in RAMP]) for band in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return colours
