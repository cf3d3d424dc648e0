"""What the kernels of the fused network share: products, norms and the layers' two halves.

A width D is held as two blocks of D0 and D1 columns, both powers of two, because Triton's blocks are powers of two:
144 = 128 + 16, a head's 36 channels filled up to 48 = 32 + 16. Products take float16 and accumulate in float32.

Sums over the tokens of a pixel are products too, with a matrix of ones. So they are added up in groups of 16 rows,
in which pixels begin, and the bits don't depend on where in a tile a pixel lies.
"""

# Triton reads these functions by their source: types of arguments other than constants are not Python types
# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def dot(a, b):
    """A (M, K) @ b (K, N), accumulated in float32."""
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def block(p, ld: tl.constexpr, K: tl.constexpr, N: tl.constexpr):
    """A (K, N) block of a row-major matrix with rows of `ld` values."""
    return tl.load(p + tl.arange(0, K)[:, None] * ld + tl.arange(0, N)[None, :])


@triton.jit
def vector(p, N: tl.constexpr):
    """(1, N) values."""
    return tl.load(p + tl.arange(0, N))[None, :]


@triton.jit
def linear(a0, a1, w, b, ld: tl.constexpr, K0: tl.constexpr, K1: tl.constexpr, N: tl.constexpr):
    """(a0 | a1) (M, K0 + K1) @ w (K0 + K1, N) + b (N,), in float32; rows of w have `ld` values."""
    return dot(a0, block(w, ld, K0, N)) + dot(a1, block(w + K0 * ld, ld, K1, N)) + vector(b, N)


@triton.jit
def norm(x0, x1, w, b, D0: tl.constexpr, D1: tl.constexpr):
    """LayerNorm over D0 + D1 columns."""
    D: tl.constexpr = D0 + D1
    mean = (tl.sum(x0, 1) + tl.sum(x1, 1)) / D
    x0 -= mean[:, None]
    x1 -= mean[:, None]
    r = tl.rsqrt((tl.sum(x0 * x0, 1) + tl.sum(x1 * x1, 1)) / D + 1e-5)[:, None]
    return x0 * r * vector(w, D0) + vector(b, D0), x1 * r * vector(w + D0, D1) + vector(b + D0, D1)


@triton.jit
def embed_tokens(
    values, doy, row, real, mat, vec, table, C, D0: tl.constexpr, D1: tl.constexpr, DT: tl.constexpr
):
    """Tokens to vectors: two linear layers and the day of year.

    Args:
        values: (M, C) float32, standardised bands.
        doy: (M,) int32.
        row: (BM,) the tokens' rows.
        real: (BM,) whether there is such a token.
        C: bands.
    """
    D: tl.constexpr = D0 + D1
    c = tl.arange(0, 16)
    x = tl.load(values + row[:, None] * C + c[None, :], mask=(c < C)[None, :] & real[:, None], other=0.0).to(
        DT
    )
    x0 = tl.maximum(dot(x, block(mat, D, 16, D0)) + vector(vec, D0), 0.0).to(DT)
    x1 = tl.maximum(dot(x, block(mat + D0, D, 16, D1)) + vector(vec + D0, D1), 0.0).to(DT)
    m = mat + 16 * D
    t = table + tl.load(doy + row)[:, None] * D
    y0 = linear(x0, x1, m, vec + D, D, D0, D1, D0) + tl.load(t + tl.arange(0, D0)[None, :])
    y1 = linear(x0, x1, m + D0, vec + D + D0, D, D0, D1, D1) + tl.load(t + D0 + tl.arange(0, D1)[None, :])
    return y0, y1


@triton.jit
def project(
    a0,
    a1,
    w,
    b,
    HP: tl.constexpr,
    H0: tl.constexpr,
    H1: tl.constexpr,
    D0: tl.constexpr,
    D1: tl.constexpr,
    DT: tl.constexpr,
):
    """Queries, keys or values of one head, (BM, H0) and (BM, H1)."""
    y0 = linear(a0, a1, w, b, HP, D0, D1, H0)
    y1 = linear(a0, a1, w + H0, b + H0, HP, D0, D1, H1)
    return y0.to(DT), y1.to(DT)


@triton.jit
def add_head(y0, y1, o0, o1, w, H0: tl.constexpr, H1: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr):
    """Add one head's part of the output projection."""
    D: tl.constexpr = D0 + D1
    y0 += dot(o0, block(w, D, H0, D0)) + dot(o1, block(w + H0 * D, D, H1, D0))
    y1 += dot(o0, block(w + D0, D, H0, D1)) + dot(o1, block(w + H0 * D + D0, D, H1, D1))
    return y0, y1


@triton.jit
def feed_forward(
    x0, x1, m, v, F: tl.constexpr, FB: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, DT: tl.constexpr
):
    """X + down(relu(up(x))), FB hidden channels at a time.

    Args:
        m: up (D, F), then down (F, D).
        v: the biases of both.
    """
    D: tl.constexpr = D0 + D1
    a0, a1 = x0.to(DT), x1.to(DT)
    y0 = x0 + vector(v + F, D0)
    y1 = x1 + vector(v + F + D0, D1)
    for f in range(0, F, FB):
        u = tl.maximum(linear(a0, a1, m + f, v + f, F, D0, D1, FB), 0.0).to(DT)
        w = m + D * F + f * D
        y0 += dot(u, block(w, D, FB, D0))
        y1 += dot(u, block(w + D0, D, FB, D1))
    return y0, y1
