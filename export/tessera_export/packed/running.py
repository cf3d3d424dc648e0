"""Batches in progress: begun on the device, finished when their embeddings are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tessera_engine.tokens import PackedTokens
from tessera_export.packed.batches import by_length
from tessera_export.packed.network import BranchTokens

Network = Callable[[BranchTokens, BranchTokens], Tensor]
"""See `PackedNetwork.forward`."""

Finish = Callable[[], NDArray[np.float32]]
"""Waits for a batch and returns its embeddings, (P, dims) float32."""

_cuda: Any = torch.cuda  # not all of it has types


class Plain:
    """Runs batches of pixels sorted by length, on any device."""

    def __init__(self, network: Network, generation: str, device: str) -> None:
        self._network, self._generation, self._device = network, generation, device

    def begin(self, tokens: PackedTokens, pixels: NDArray[np.int64]) -> Finish:
        """Start a batch of some of the pixels."""
        s2, s1 = (by_length(each, pixels, self._generation, self._device) for each in (tokens.s2, tokens.s1))
        return download(self._network(s2, s1))


def download(embedding: Tensor, pixels: int | None = None) -> Finish:
    """Start to copy the first pixels' embeddings to the host. From CUDA it doesn't wait."""
    embedding = embedding[:pixels]
    if not embedding.is_cuda:
        found: NDArray[np.float32] = embedding.float().cpu().numpy()
        return lambda: found
    host = torch.empty(embedding.shape, dtype=torch.float32, pin_memory=True)
    host.copy_(embedding, non_blocking=True)
    done = _cuda.Event()
    done.record()

    def finish() -> NDArray[np.float32]:
        done.synchronize()
        result: NDArray[np.float32] = host.numpy()
        return result

    return finish
