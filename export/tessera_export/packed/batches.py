"""Batches of packed tokens for PyTorch, made on the host."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.tokens import Tokens
from tessera_export.packed.by_length import ByLength
from tessera_export.packed.network import BranchTokens
from tessera_export.packed.steps import steps_of
from tessera_kernels.sequence import sequence_steps


def by_length(tokens: Tokens, pixels: NDArray[np.int64], generation: str, device: str) -> BranchTokens:
    """One modality of some pixels on a device, sorted by their numbers of tokens."""
    order = np.argsort(tokens.lengths[pixels], kind="stable")
    own = tokens.chosen(pixels[order])
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    steps = None
    if generation != "v2":
        sequence = sequence_steps(own.multiplicity, own.offsets, generation == "v1.1")
        steps = steps_of(*sequence, device)
        # The recurrence has an order of its own
        steps = steps._replace(back=steps.back[torch.from_numpy(back).to(device)])
    values, doy, multiplicity, places = (
        to_device(each, device) for each in (own.values, own.doy, own.multiplicity, back)
    )
    return BranchTokens(values, doy, multiplicity, ByLength(own.lengths), places, steps)


def to_device(array: NDArray[np.generic], device: str) -> torch.Tensor:
    """A copy on a device. To CUDA it doesn't wait: PyTorch keeps the pinned memory until the copy is done."""
    tensor = torch.from_numpy(array)
    if device != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
