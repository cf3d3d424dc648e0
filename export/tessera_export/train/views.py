"""Views of a pixel: random draws of its valid observations, as rectangles for the reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tessera_engine.tokens import PackedTokens, Tokens


class View(NamedTuple):
    """One draw for each of B pixels: the arguments of `Reference.forward`, in their order.

    `s2` is (B, T2, 10) and `s1` (B, T1, 2) float32, z-scored; days of year are int64; multiplicities are float32, 1
    for an observation and 0 for filling.
    """

    s2: Tensor
    s2_doy: Tensor
    s2_multiplicity: Tensor
    s1: Tensor
    s1_doy: Tensor
    s1_multiplicity: Tensor


def draw_length(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """Number of observations to draw: the exponent between the bounds is the square of a uniform number.

    Short draws are fast and hard to match, so the network learns most from them. Long ones are needed now and then.
    """
    low, high = bounds
    length: float = low * (high / low) ** (rng.random() ** 2)
    return round(length)


def draw_view(
    rng: np.random.Generator, tokens: PackedTokens, pixels: NDArray[np.int64], s2_length: int, s1_length: int
) -> View:
    """Draw a view of some pixels.

    Args:
        rng: random numbers.
        tokens: all pixels' tokens.
        pixels: (B,) which of them.
        s2_length: Sentinel-2 observations per pixel; all of them for a pixel that has fewer.
        s1_length: Sentinel-1 observations per pixel, likewise.
    """
    return View(*_draw(rng, tokens.s2, pixels, s2_length), *_draw(rng, tokens.s1, pixels, s1_length))


def _draw(
    rng: np.random.Generator, tokens: Tokens, pixels: NDArray[np.int64], length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, days and multiplicities of `length` observations, drawn without replacement and kept in order."""
    count = tokens.lengths[pixels][:, None]
    longest = int(count.max())
    length = min(length, longest)
    # The observations with the smallest random keys. Those that a pixel does not have come last
    keys = rng.random((len(pixels), longest), np.float32)
    keys[np.arange(longest) >= count] = 2
    drawn = np.sort(np.argpartition(keys, length - 1, axis=1)[:, :length], axis=1)
    filled = drawn < count
    source = tokens.offsets[pixels][:, None] + np.where(filled, drawn, 0)
    return (
        torch.from_numpy(tokens.values[source]),
        torch.from_numpy(tokens.doy[source].astype(np.int64)),
        torch.from_numpy(filled.astype(np.float32)),
    )


def mix(first: View, second: View, share: float) -> View:
    """Mix pixels in pairs: `share` of the first's values and the rest of the second's, on the days of the first.

    Both views need the same lengths. An observation that the second pixel does not have stays as it is in the first.
    """

    def between(a: Tensor, b: Tensor, both: Tensor) -> Tensor:
        return torch.where(both.bool()[:, :, None], share * a + (1 - share) * b, a)

    return first._replace(
        s2=between(first.s2, second.s2, second.s2_multiplicity),
        s1=between(first.s1, second.s1, second.s1_multiplicity),
    )
