"""Token rules: how often each valid observation of a pixel stands in the published code's sequence.

Each generation of TESSERA has its own. n valid observations in time order:

* v2: up to 256 are filled up to the next multiple of 8 with the middle elements of equal groups; more are thinned
  to floor(linspace(0, n - 1, 256)).
* v1.1: filled up with rint(linspace(0, n - 1, r + 2)[1:-1]) for r repeats; more than 256 are thinned to the middle
  elements of 256 equal groups.
* v1.0: 40 are drawn at random, repeatedly if there are fewer; then sorted by day of year. The published
  code draws anew in each run. Here the generator is seeded with the pixel's own valid observations: the draw is the
  same in every run, with any windows and threads, and as random over pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.inner import inner

BIN = 8
"""Sequence lengths of the published code are multiples of this."""

MAX_TOKENS = 256
"""More valid observations than this are thinned."""

DRAWN = 40
"""Observations that v1.0 draws."""

V2, V1_1, V1_0 = 0, 1, 2
RULES = {"v2": V2, "v1.1": V1_1, "v1.0": V1_0}
"""Generation -> number of its rules, for the kernels."""

ZERO_TOKENS = {"v2": 1, "v1.1": BIN, "v1.0": DRAWN}
"""How often the all-zero token for "no observation" stands. v1.0's rule is not published; this fills its sequence."""

FNV_PRIME = np.uint64(0x100000001B3)
FNV_BASIS = np.uint64(0xCBF29CE484222325)


@inner
def digest(state: np.uint64, value: Any) -> np.uint64:
    """Add an integer to a 64-bit FNV-1a digest, which begins with `FNV_BASIS`."""
    return (state ^ np.uint64(np.int64(value) & 0xFFFFFFFF)) * FNV_PRIME


@inner
def _draw(state: np.uint64, i: int) -> float:
    """Number i of the generator that `state` seeds, in [0, 1): splitmix64."""
    z = state + np.uint64(i + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@inner
def _group(i: int, n: int, groups: int) -> tuple[int, int]:
    """Start and length of group i of numpy.array_split(range(n), groups)."""
    longer = n % groups
    length = n // groups
    return i * length + min(i, longer), length + (1 if i < longer else 0)


@inner
def _thin(rule: int, n: int, out: NDArray[np.int32]) -> None:
    """Choose MAX_TOKENS of n."""
    out[:n] = 0
    for i in range(MAX_TOKENS):
        if rule == V1_1:
            start, length = _group(i, n, MAX_TOKENS)
            out[start + length // 2] = 1
        elif i == MAX_TOKENS - 1:
            out[n - 1] = 1
        else:
            # numpy's own arithmetic of linspace
            out[int(np.floor(i * ((n - 1) / (MAX_TOKENS - 1))))] = 1


@inner
def _fill(rule: int, n: int, out: NDArray[np.int32]) -> None:
    """Take each once, and some of them again up to the next multiple of `BIN`."""
    out[:n] = 1
    repeats = -n % BIN
    for i in range(repeats):
        if rule == V1_1:
            # numpy's own arithmetic of linspace
            out[int(np.rint((i + 1) * ((n - 1) / (repeats + 1))))] += 1
        elif repeats > n:
            out[i % n] += 1
        else:
            start, length = _group(i, n, repeats)
            out[start + length // 2] += 1


@inner
def _draw_some(n: int, seed: np.uint64, out: NDArray[np.int32]) -> None:
    """Draw DRAWN of n, each at most once if there are enough."""
    out[:n] = 0
    if n < DRAWN:
        for i in range(DRAWN):
            out[int(_draw(seed, i) * n)] += 1
        return
    left = DRAWN
    for i in range(n):
        # Each of the n - i that are left has the same chance
        if _draw(seed, i) * (n - i) < left:
            out[i] = 1
            left -= 1


@inner
def weigh(rule: int, n: int, seed: np.uint64, out: NDArray[np.int32]) -> int:
    """Write how often each of n >= 1 valid observations stands, 0 for not at all; return how many stand.

    `seed` is the digest of the pixel's observations; only v1.0 uses it (0 for the others).
    """
    if rule == V1_0:
        _draw_some(n, seed, out)
    elif n > MAX_TOKENS:
        _thin(rule, n, out)
    else:
        _fill(rule, n, out)
    standing = 0
    for i in range(n):
        if out[i] > 0:
            standing += 1
    return standing
