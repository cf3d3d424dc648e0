"""The same branch for pixels with more tokens than a tile has rows: a launch for each step, over blocks of rows.

A block is up to BM rows of one pixel. Rows, keys and values lie in memory of the device between the launches.
"""

# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl

from tessera_export.gpu_kernels.parts import add_head, dot, embed_tokens, feed_forward, norm, project, vector


@triton.jit
def locate(blocks, BM: tl.constexpr):
    """Of this program's block: the rows, which of them are real, and the first row and the end of its pixel.

    Args:
        blocks: (programs, 4) int32: the block's first row, how many rows it has, and its pixel's first row and end.
    """
    block = blocks + tl.program_id(0) * 4
    i = tl.arange(0, BM)
    return tl.load(block) + i, i < tl.load(block + 1), tl.load(block + 2), tl.load(block + 3)


@triton.jit
def load_rows(x, at, real, D0: tl.constexpr, D1: tl.constexpr):
    """Rows of a (R, D0 + D1) matrix; 0 where there is none."""
    p = x + at.to(tl.int64)[:, None] * (D0 + D1)
    return (
        tl.load(p + tl.arange(0, D0)[None, :], mask=real[:, None], other=0.0),
        tl.load(p + D0 + tl.arange(0, D1)[None, :], mask=real[:, None], other=0.0),
    )


@triton.jit
def store_rows(x, at, real, y0, y1, D0: tl.constexpr, D1: tl.constexpr):
    """Write rows of a (R, D0 + D1) matrix."""
    p = x + at.to(tl.int64)[:, None] * (D0 + D1)
    tl.store(p + tl.arange(0, D0)[None, :], y0, mask=real[:, None])
    tl.store(p + D0 + tl.arange(0, D1)[None, :], y1, mask=real[:, None])


@triton.jit
def embed_rows(
    values,
    doy,
    token,
    blocks,
    mat,
    vec,
    table,
    rows,
    C,
    D0: tl.constexpr,
    D1: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """Tokens to rows.

    Args:
        token: (R,) int32, the token of each row.
        rows: (R, D) float32, written.
        values, doy, mat, vec, table, C: as in `encode`.
        blocks: see `locate`.
    """
    at, real, _, _ = locate(blocks, BM)
    row = tl.load(token + at, mask=real, other=0)
    y0, y1 = embed_tokens(values, doy, row, real, mat, vec, table, C, D0, D1, DT)
    store_rows(rows, at, real, y0, y1, D0, D1)


@triton.jit
def project_rows(
    rows,
    blocks,
    mat,
    vec,
    keys,
    R,
    H: tl.constexpr,
    D0: tl.constexpr,
    D1: tl.constexpr,
    H0: tl.constexpr,
    H1: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """Keys and values of a layer.

    Args:
        mat, vec: the layer's weights.
        keys: (2, H, R, H0 + H1) float16, written.
        R: rows in all.
    """
    D: tl.constexpr = D0 + D1
    HP: tl.constexpr = H0 + H1
    at, real, _, _ = locate(blocks, BM)
    x0, x1 = load_rows(rows, at, real, D0, D1)
    x0, x1 = x0.to(DT), x1.to(DT)
    for h in range(2 * H):
        y0, y1 = project(x0, x1, mat + (H + h) * D * HP, vec + (H + h) * HP, HP, H0, H1, D0, D1, DT)
        store_rows(keys + tl.cast(h * R, tl.int64) * HP, at, real, y0, y1, H0, H1)


@triton.jit
def layer_rows(
    rows,
    multiplicity,
    token,
    blocks,
    mat,
    vec,
    keys,
    R,
    H: tl.constexpr,
    D0: tl.constexpr,
    D1: tl.constexpr,
    H0: tl.constexpr,
    H1: tl.constexpr,
    F: tl.constexpr,
    FB: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """A layer, with the keys and values of all rows of the block's pixel.

    Args:
        rows: (R, D) float32, read and written.
        mat, vec: the layer's weights.
        keys: what `project_rows` wrote.
    """
    D: tl.constexpr = D0 + D1
    HP: tl.constexpr = H0 + H1
    at, real, first, end = locate(blocks, BM)
    i = tl.arange(0, BM)
    ones = tl.full((BM, 16), 1.0, DT)
    x0, x1 = load_rows(rows, at, real, D0, D1)
    a0, a1 = x0.to(DT), x1.to(DT)
    x0 += vector(vec + 3 * H * HP, D0)
    x1 += vector(vec + 3 * H * HP + D0, D1)
    for h in range(H):
        q0, q1 = project(a0, a1, mat + h * D * HP, vec + h * HP, HP, H0, H1, D0, D1, DT)
        k = keys + tl.cast(h * R, tl.int64) * HP
        v = keys + tl.cast((H + h) * R, tl.int64) * HP
        top = tl.full((BM,), float("-inf"), tl.float32)
        total = tl.zeros((BM, 16), tl.float32)
        o0 = tl.zeros((BM, H0), tl.float32)
        o1 = tl.zeros((BM, H1), tl.float32)
        begin = first
        while begin < end:
            j = begin + i
            there = j < end
            k0, k1 = load_rows(k, j, there, H0, H1)
            m = tl.load(multiplicity + tl.load(token + j, mask=there, other=0), mask=there, other=0.0)
            s = dot(q0, tl.trans(k0)) + dot(q1, tl.trans(k1)) + tl.log2(m)[None, :]
            new = tl.maximum(top, tl.max(s, 1))
            p = tl.exp2(s - new[:, None]).to(DT)
            keep = tl.exp2(top - new)[:, None]
            v0, v1 = load_rows(v, j, there, H0, H1)
            total = total * keep + dot(p, ones)
            o0 = o0 * keep + dot(p, v0)
            o1 = o1 * keep + dot(p, v1)
            top = new
            begin += BM
        weight = tl.max(total, 1)[:, None]
        w = mat + 3 * H * D * HP + h * HP * D
        x0, x1 = add_head(x0, x1, (o0 / weight).to(DT), (o1 / weight).to(DT), w, H0, H1, D0, D1)
    n = vec + 3 * H * HP + D
    x0, x1 = norm(x0, x1, n, n + D, D0, D1)
    x0, x1 = feed_forward(x0, x1, mat + 4 * H * D * HP, n + 2 * D, F, FB, D0, D1, DT)
    n += 2 * D + F + D
    x0, x1 = norm(x0, x1, n, n + D, D0, D1)
    store_rows(rows, at, real, x0, x1, D0, D1)


@triton.jit
def pool_rows(
    rows,
    multiplicity,
    token,
    pixels,
    vec,
    pooled,
    stride,
    column,
    D0: tl.constexpr,
    D1: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """Pool all rows of a pixel: a softmax in powers of two.

    Args:
        pixels: (programs, 3) int32: a pixel's first row, its end, and its number.
        vec: the pool's weights.
        pooled, stride, column: as in `encode`.
    """
    pixel = pixels + tl.program_id(0) * 3
    begin = tl.load(pixel)
    end = tl.load(pixel + 1)
    i = tl.arange(0, BM)
    ones = tl.full((BM, 16), 1.0, DT)
    # 16 equal rows, because a product on tensor cores has no fewer
    top = tl.full((16,), float("-inf"), tl.float32)
    total = tl.zeros((16, 16), tl.float32)
    y0 = tl.zeros((16, D0), tl.float32)
    y1 = tl.zeros((16, D1), tl.float32)
    while begin < end:
        at = begin + i
        real = at < end
        x0, x1 = load_rows(rows, at, real, D0, D1)
        m = tl.load(multiplicity + tl.load(token + at, mask=real, other=0), mask=real, other=0.0)
        logit = tl.sum(x0 * vector(vec, D0), 1) + tl.sum(x1 * vector(vec + D0, D1), 1) + tl.log2(m)
        new = tl.maximum(top, tl.max(logit, 0))
        s = tl.exp2(logit[None, :] - new[:, None]).to(DT)
        keep = tl.exp2(top - new)[:, None]
        total = total * keep + dot(s, ones)
        y0 = y0 * keep + dot(s, x0.to(DT))
        y1 = y1 * keep + dot(s, x1.to(DT))
        top = new
        begin += BM
    weight = tl.max(total, 1)[:, None]
    out = pooled + tl.load(pixel + 2).to(tl.int64) * stride + column + tl.zeros((16, 1), tl.int32)
    one = (tl.arange(0, 16) == 0)[:, None]
    tl.store(out + tl.arange(0, D0)[None, :], y0 / weight, mask=one)
    tl.store(out + D0 + tl.arange(0, D1)[None, :], y1 / weight, mask=one)
