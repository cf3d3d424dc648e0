"""Codes and scales of embeddings, made on the device that has the embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from tessera_kernels.quantize import MIN_SCALES, NODATA_CODE


def codes_of(embedding: Tensor, prefix: int, generation: str) -> tuple[Tensor, Tensor]:
    """Codes and scales by the rule of `tessera_kernels.quantize`, with the same bits. Nothing waits for the device.

    Args:
        embedding: (P, dims) float32.
        prefix: how many dimensions are kept.
        generation: of the model.

    Returns:
        codes (P, prefix) int8, scales (P,) float32; a row with a value that isn't finite, in any dimension, has
        `NODATA_CODE` and NaN.
    """
    finite = embedding.isfinite().all(1)
    kept = torch.where(finite[:, None], embedding[:, :prefix], 0.0)
    largest = kept.abs().amax(1)
    # By a tensor: on CUDA, PyTorch replaces a division by a number by a product with its reciprocal, which rounds
    # another way
    scales = (largest / torch.full_like(largest, 127.0)).clamp_(min=float(MIN_SCALES[generation]))
    codes = torch.round(kept / scales[:, None]).clamp_(-127, 127).masked_fill_(~finite[:, None], NODATA_CODE)
    return codes.to(torch.int8), scales.masked_fill_(~finite, torch.nan)
