"""The last part of the kernel `fuse` as a kernel of its own: codes of embeddings that are given."""

# Triton reads these functions by their source
# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl

from tessera_export.gpu_kernels.fuse import quantized


@triton.jit
def make_codes(embedding, codes, scales, prefix, DIMS: tl.constexpr):
    """One row a program."""
    row = tl.program_id(0)
    n = tl.arange(0, DIMS)[None, :]
    code, scale = quantized(tl.load(embedding + row * DIMS + n), prefix, DIMS)
    tl.store(codes + row * prefix + n, code, mask=n < prefix)
    tl.store(scales + row + tl.arange(0, 1), scale)
