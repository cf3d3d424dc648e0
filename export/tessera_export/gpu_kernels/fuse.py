"""The MLP that fuses both branches, the last norm, and int8 codes."""

# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl

from tessera_export.gpu_kernels.parts import block, dot, vector

ROUNDER = tl.constexpr(12582912.0)
"""1.5 * 2^23: added to a float32 below 2^22 and taken away again, it leaves the nearest whole number, ties to even."""

NODATA = tl.constexpr(-128.0)
"""The code of a value without an embedding."""


@triton.jit
def hidden(
    pooled,
    at,
    there,
    mat,
    vec,
    e,
    D2: tl.constexpr,
    KB: tl.constexpr,
    E: tl.constexpr,
    EB: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """EB hidden channels from channel `e` on, before the norm: (BM, EB) float32."""
    k = tl.arange(0, KB)
    y = tl.zeros((BM, EB), tl.float32) + vector(vec + e, EB)
    for j in range(0, D2, KB):
        a = tl.load(pooled + at * D2 + j + k[None, :], mask=there, other=0.0).to(DT)
        y += dot(a, block(mat + j * E + e, E, KB, EB))
    return y


@triton.jit
def quantized(z, prefix, DIMS: tl.constexpr):
    """Codes (BM, DIMS) int8 and scales (BM,) float32 of the first `prefix` columns of z (BM, DIMS) float32.

    The rule is that of `tessera_kernels.quantize`, with the same bits. A row with a value that isn't finite, in any
    column, has the scale NaN.
    """
    finite = tl.min((tl.abs(z) < float("inf")).to(tl.int32), 1) == 1
    z = tl.where(finite[:, None], z, 0.0)
    largest = tl.max(tl.where(tl.arange(0, DIMS)[None, :] < prefix, tl.abs(z), 0.0), 1)
    scale = tl.maximum(tl.div_rn(largest, 127.0), 1e-12)
    code = (tl.div_rn(z, scale[:, None] + tl.zeros_like(z)) + ROUNDER) - ROUNDER
    code = tl.minimum(tl.maximum(code, -127.0), 127.0)
    code = tl.where(finite[:, None], code, NODATA)
    return code.to(tl.int8), tl.where(finite, scale, float("nan"))


@triton.jit
def fuse(
    pooled,
    mat,
    vec,
    embedding,
    codes,
    scales,
    N,
    prefix,
    D2: tl.constexpr,
    KB: tl.constexpr,
    E: tl.constexpr,
    EB: tl.constexpr,
    DIMS: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """Embeddings, and their codes by the rule of `tessera_kernels.quantize`, with the same bits.

    The hidden channels are computed three times, for their mean, their variance and the result: all of them at once
    don't fit in the shared memory of every GPU, and they are a hundredth of the network.

    Args:
        pooled: (N, D2) float32.
        mat, vec: weights in float16, biases and norm in float32.
        embedding: (N, DIMS) float32.
        codes: (N, prefix) int8 of the first `prefix` dimensions.
        scales: (N,) float32; NaN where the embedding isn't finite.
    """
    r = tl.program_id(0) * BM + tl.arange(0, BM)
    there = (r < N)[:, None]
    at = r.to(tl.int64)[:, None]
    mean = tl.zeros((BM,), tl.float32)
    for e in range(0, E, EB):
        mean += tl.sum(hidden(pooled, at, there, mat, vec, e, D2, KB, E, EB, BM, DT), 1)
    mean = (mean / E)[:, None]
    variance = tl.zeros((BM,), tl.float32)
    for e in range(0, E, EB):
        y = hidden(pooled, at, there, mat, vec, e, D2, KB, E, EB, BM, DT) - mean
        variance += tl.sum(y * y, 1)
    factor = tl.rsqrt(variance / E + 1e-5)[:, None]
    z = tl.zeros((BM, DIMS), tl.float32) + vector(vec + 3 * E, DIMS)
    for e in range(0, E, EB):
        y = hidden(pooled, at, there, mat, vec, e, D2, KB, E, EB, BM, DT) - mean
        y = tl.maximum(y * factor * vector(vec + E + e, EB) + vector(vec + 2 * E + e, EB), 0.0).to(DT)
        z += dot(y, block(mat + D2 * E + e * DIMS, DIMS, EB, DIMS))
    z -= (tl.sum(z, 1) / DIMS)[:, None]
    z *= tl.rsqrt(tl.sum(z * z, 1) / DIMS + 1e-5)[:, None]
    n = tl.arange(0, DIMS)[None, :]
    tl.store(embedding + at * DIMS + n, z, mask=there)
    code, scale = quantized(z, prefix, DIMS)
    tl.store(codes + at * prefix + n, code, mask=there & (n < prefix))
    tl.store(scales + r, scale, mask=r < N)
