"""Batches at fixed shapes, which other pixels of about the same number have too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.tokens import PackedTokens
from tessera_export.packed.network import BranchTokens
from tessera_export.packed.varlen import Varlen

LONGEST_STEP = 64
"""The longest pixel of a fixed shape has a multiple of so many tokens."""


class Shape(NamedTuple):
    """Sizes of a batch: pixels, tokens of each modality, and the most tokens of a pixel."""

    pixels: int
    s2: int
    s1: int
    longest: int


def rounded_shape(tokens: PackedTokens, step: int) -> Shape:
    """The shape that holds a batch, rounded up so that batches of about its size have the same.

    Args:
        tokens: of the batch.
        step: tokens of a modality are a multiple of this, pixels one of its 64th part.
    """
    longest = max(int(each.lengths.max()) for each in (tokens.s2, tokens.s1))
    return Shape(
        _up(len(tokens), max(1, step // 64)),
        _up(len(tokens.s2.values), step),
        _up(len(tokens.s1.values), step),
        _up(longest, LONGEST_STEP),
    )


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def filled(tokens: PackedTokens, shape: Shape) -> list[NDArray[np.generic]]:
    """A batch's arrays at a fixed shape: values, doy, multiplicity and ends of Sentinel-2, then of Sentinel-1.

    What is filled up belongs to no pixel: the ends of the pixels behind the last one are equal.
    """
    arrays: list[NDArray[np.generic]] = []
    for each, count in ((tokens.s2, shape.s2), (tokens.s1, shape.s1)):
        free = count - len(each.values)
        ends = np.full(shape.pixels + 1, each.offsets[-1], np.int32)
        ends[: len(each.offsets)] = each.offsets
        arrays += [
            np.pad(each.values, ((0, free), (0, 0))),
            np.pad(each.doy, (0, free)),
            np.pad(each.multiplicity, (0, free), constant_values=1),
            ends,
        ]
    return arrays


def branches_of(tensors: Sequence[torch.Tensor], shape: Shape) -> tuple[BranchTokens, BranchTokens]:
    """What the network takes, from the arrays of `filled` on a device. Nothing here waits for the device."""
    branches = []
    for values, doy, multiplicity, ends in (tensors[:4], tensors[4:]):
        rows = torch.arange(len(values), dtype=torch.int32, device=values.device)
        owner = torch.searchsorted(ends[1:], rows, right=True).clamp(max=shape.pixels - 1)
        branches.append(BranchTokens(values, doy, multiplicity, Varlen(ends, owner, shape.longest)))
    return branches[0], branches[1]
