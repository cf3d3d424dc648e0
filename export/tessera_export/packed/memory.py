"""How much memory a device has, and how many tokens of a batch fit into it."""

from __future__ import annotations

import torch

from tessera_export.reference import ReferenceConfig

MOST_TOKENS, LEAST_TOKENS = 1 << 18, 1 << 9
"""Of a batch on GPUs. Larger ones are no faster once a GPU is busy; not measured. One pixel has 512 at most."""

SHARE = 0.25
"""Share of the device's free memory that a batch may take at first."""

UNKNOWN_MEMORY = 2 << 30
"""Bytes that are assumed where PyTorch can't say what is free."""


def tokens_that_fit(config: ReferenceConfig, memory: int) -> int:
    """A first guess of a GPU batch's tokens: a power of two."""
    # Activations of a token that exist at the same time, in float32 or twice in float16
    each = 4 * (8 * config.d_model + config.ffn_dim)
    fitting = int(SHARE * memory / each)
    return max(LEAST_TOKENS, min(MOST_TOKENS, 1 << max(0, fitting.bit_length() - 1)))


def free_memory(device: str) -> int:
    """Free bytes of a device."""
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    found = getattr(getattr(torch, device), "mem_get_info", None)  # missing on XPU before 2.6
    return int(found()[0]) if found else UNKNOWN_MEMORY


def total_memory(device: str) -> int:
    """All bytes of a device."""
    if device == "mps":
        return int(torch.mps.recommended_max_memory())
    return int(getattr(torch, device).mem_get_info()[1])
