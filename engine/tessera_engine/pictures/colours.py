"""Colours of classes and of numbers."""

from __future__ import annotations

from functools import cache
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


# What people with a cone missing see, in linear RGB (Machado, Oliveira and Fernandes, A Physiologically-based Model for
# Simulation of Color Vision Deficiency, IEEE TVCG 15, 2009): protanopia, deuteranopia, tritanopia
DEFICIENCIES = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)

# Linear RGB to cones, and cones to Oklab, in which equal distances look equally different (Ottosson, A perceptual color
# space for image processing, 2020)
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

LEVELS = np.arange(10, 256, 35)
"""Levels of red, green and blue among which further colours are chosen."""

LIGHTEST = 0.93
"""Largest lightness in Oklab: no class looks like the paper, which is where there is no data."""


def class_colour(i: int) -> Colour:
    """The colour of the i-th class, from 0 to 253."""
    return PALETTE[i] if i < len(PALETTE) else _further_colours()[i - len(PALETTE)]


@cache
def _further_colours() -> tuple[Colour, ...]:
    """Colours beyond the palette, each the one that differs most from all before it, for eyes of every kind."""
    candidates = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = _seen(candidates)
    usable = seen[0, :, 0] <= LIGHTEST
    candidates, seen = candidates[usable], seen[:, usable]
    paper_and_palette = _seen(np.array([(255, 255, 255), *PALETTE]))
    nearest = np.full(len(candidates), np.inf)
    for place in range(paper_and_palette.shape[1]):
        nearest = np.minimum(nearest, _difference(seen, paper_and_palette[:, place]))
    chosen: list[Colour] = []
    while len(chosen) < 254 - len(PALETTE):
        best = int(nearest.argmax())
        red, green, blue = candidates[best].tolist()
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, _difference(seen, seen[:, best]))
        nearest[best] = -1  # never twice, however crowded
    return tuple(chosen)


def _seen(colours: NDArray[Any]) -> NDArray[np.float64]:
    """(4, N, 3) in Oklab: how eyes with three cones, and eyes of each deficiency, see N colours (N, 3) of 0..255."""
    share = colours / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    all_eyes = np.stack([linear, *(linear @ deficiency.T for deficiency in DEFICIENCIES)]).clip(0, 1)
    oklab: NDArray[np.float64] = np.cbrt(all_eyes @ TO_CONES.T) @ TO_OKLAB.T
    return oklab


def _difference(seen: NDArray[np.float64], colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) the difference of each colour (4, N, 3) from one (4, 3), to the eyes that see the least of it."""
    distance: NDArray[np.float64] = np.linalg.norm(seen - colour[:, None], axis=-1).min(axis=0)
    return distance


def ramp(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Colours (..., 3) of numbers."""
    places = np.linspace(low, high if high > low else low + 1, len(RAMP))
    bands = [np.interp(values, places, [colour[band] for colour in RAMP]) for band in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return colours
