"""The steps of v1's recurrence, for all pixels at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Steps(NamedTuple):
    """The sequences of P pixels for a recurrence, the longest first: step t is that of the first `active[t]` pixels.

    Attributes:
        tokens: (S,) int64 number of the token of each step of each pixel, by step.
        active: how many pixels have a step t.
        back: (P,) int64 where each pixel is in this order.
    """

    tokens: Tensor
    active: Sequence[int]
    back: Tensor


def steps_of(
    tokens: NDArray[np.int64], offsets: NDArray[np.int64], device: torch.device | str = "cpu"
) -> Steps:
    """Sequences, see `tessera_kernels.sequence`, in the order of their steps.

    Args:
        tokens: (S,) which token each step takes, one pixel after the other.
        offsets: (P + 1,) pixel p has the steps offsets[p]:offsets[p + 1].
        device: for the tensors.
    """
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    starts, descending = offsets[:-1][order], lengths[order]
    active = [int(np.searchsorted(-descending, -step, "left")) for step in range(int(descending[0]))]
    by_step = np.concatenate([tokens[starts[:count] + step] for step, count in enumerate(active)])
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return Steps(torch.from_numpy(by_step).to(device), active, torch.from_numpy(back).to(device))
