"""Batches in progress: begun on the device, finished when their results are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tessera_engine.backends.base import Codes, Finish, Result
from tessera_engine.tokens import PackedTokens
from tessera_export.packed.batches import by_length
from tessera_export.packed.codes import codes_of
from tessera_export.packed.network import BranchTokens

Network = Callable[[BranchTokens, BranchTokens], Tensor]
"""See `PackedNetwork.forward`."""

_cuda: Any = torch.cuda  # not all of it has types


class Plain:
    """Runs batches of pixels sorted by length, on any device."""

    def __init__(self, network: Network, generation: str, device: str) -> None:
        self._network, self._generation, self._device = network, generation, device

    def begin(self, tokens: PackedTokens, pixels: NDArray[np.int64], prefix: int | None = None) -> Finish:
        """Start a batch of some of the pixels, whose codes are wanted where a prefix is given."""
        s2, s1 = (by_length(each, pixels, self._generation, self._device) for each in (tokens.s2, tokens.s1))
        return download(self._network(s2, s1), prefix, self._generation)


def download(embedding: Tensor, prefix: int | None, generation: str) -> Finish:
    """Start to copy embeddings to the host, or their codes where a prefix is given. From CUDA it doesn't wait."""
    embedding = embedding.float()
    wanted = (embedding,) if prefix is None else codes_of(embedding, prefix, generation)
    hosts = [_on_host(each) for each in wanted]
    done = _cuda.Event() if embedding.is_cuda else None
    if done is not None:
        done.record()

    def finish() -> Result:
        if done is not None:
            done.synchronize()
        found = [host.numpy() for host in hosts]
        return Result(found[0]) if prefix is None else Result(None, Codes(*found))

    return finish


def _on_host(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
