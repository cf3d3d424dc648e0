"""All layers of one branch for a tile of whole pixels, in one launch.

A tile is BM rows in groups of 16. A pixel takes as many groups as its tokens need, and begins with a group, so that
no pixel is padded for the sake of another. Attention is computed over the whole tile; keys of other pixels count
nothing. Activations stay in registers and shared memory, weights come from the L2 cache.
"""

# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl

from tessera_export.gpu_kernels.parts import add_head, dot, embed_tokens, feed_forward, norm, project, vector


@triton.jit
def encode(
    values,
    doy,
    multiplicity,
    groups,
    place,
    mat,
    vec,
    table,
    pooled,
    C,
    stride,
    column,
    L: tl.constexpr,
    H: tl.constexpr,
    D0: tl.constexpr,
    D1: tl.constexpr,
    H0: tl.constexpr,
    H1: tl.constexpr,
    HD: tl.constexpr,
    F: tl.constexpr,
    FB: tl.constexpr,
    BM: tl.constexpr,
    DT: tl.constexpr,
):
    """Encode and pool the pixels of a tile.

    Args:
        values: (M, C) float32, standardised bands of all tokens.
        doy: (M,) int32, days of year.
        multiplicity: (M,) float32.
        groups: (tiles, 3, BM / 16) int32: of each group the first token, how many, and the group with which its
            pixel begins; a group that is free has 0 tokens.
        place: (tiles, 16) int32: of each group the pixel that begins with it, or -1.
        mat: weights in float16, see `tessera_engine.backends.gpu.weights`.
        vec: biases and norms in float32.
        table: (367, D) float32, days of year.
        pooled: (N, stride) float32; columns `column` to `column + D` are written.
        C: bands of a token.
    """
    D: tl.constexpr = D0 + D1
    HP: tl.constexpr = H0 + H1
    G: tl.constexpr = BM // 16
    tile = tl.program_id(0)
    i = tl.arange(0, BM)
    group = groups + tile * 3 * G + i // 16
    real = i % 16 < tl.load(group + G)
    row = tl.where(real, tl.load(group) + i % 16, 0)
    owner = tl.load(group + 2 * G)
    bias = tl.where(real, tl.log2(tl.load(multiplicity + row)), 0.0)
    # Free channels of a head: one for each group in which a pixel can begin, so that keys of other pixels are 2^-256
    # times as heavy and vanish; and two for the logarithm of the multiplicity, as the sum of two float16
    free = tl.arange(0, H1)[None, :] - (HD - H0)
    mine = (owner[:, None] == free) & real[:, None]
    high = bias.to(DT)
    low = (bias - high.to(tl.float32)).to(DT)
    q_free = tl.where(mine, 16.0, tl.where((free == G) | (free == G + 1), 1.0, 0.0)).to(DT)
    k_free = tl.where(mine, 16.0, 0.0).to(DT)
    k_free = tl.where(free == G, high[:, None], tl.where(free == G + 1, low[:, None], k_free))
    ones = tl.full((BM, 16), 1.0, DT)
    x0, x1 = embed_tokens(values, doy, row, real, mat, vec, table, C, D0, D1, DT)
    m = mat + 16 * D + D * D
    v = vec + 2 * D
    for _ in range(L):
        a0, a1 = x0.to(DT), x1.to(DT)
        x0 += vector(v + 3 * H * HP, D0)
        x1 += vector(v + 3 * H * HP + D0, D1)
        for h in range(H):
            w = m + h * D * HP
            b = v + h * HP
            q0, q1 = project(a0, a1, w, b, HP, H0, H1, D0, D1, DT)
            k0, k1 = project(a0, a1, w + H * D * HP, b + H * HP, HP, H0, H1, D0, D1, DT)
            s = dot(q0, tl.trans(k0)) + dot(q1 + q_free, tl.trans(k1 + k_free))
            p = tl.exp2(s - tl.max(s, 1)[:, None]).to(DT)
            total = tl.max(dot(p, ones), 1)[:, None]
            v0, v1 = project(a0, a1, w + 2 * H * D * HP, b + 2 * H * HP, HP, H0, H1, D0, D1, DT)
            o0, o1 = (dot(p, v0) / total).to(DT), (dot(p, v1) / total).to(DT)
            x0, x1 = add_head(x0, x1, o0, o1, m + 3 * H * D * HP + h * HP * D, H0, H1, D0, D1)
        m += 4 * H * D * HP
        v += 3 * H * HP + D
        x0, x1 = norm(x0, x1, v, v + D, D0, D1)
        v += 2 * D
        x0, x1 = feed_forward(x0, x1, m, v, F, FB, D0, D1, DT)
        m += 2 * D * F
        v += F + D
        x0, x1 = norm(x0, x1, v, v + D, D0, D1)
        v += 2 * D
    # Pooling: a softmax over the pixel's rows, in powers of two
    logit = tl.sum(x0 * vector(v, D0), 1) + tl.sum(x1 * vector(v + D0, D1), 1) + bias
    s = tl.where((owner[:, None] == tl.arange(0, 16)[None, :]) & real[:, None], logit[:, None], float("-inf"))
    top = tl.max(s, 0)
    s = tl.trans(tl.exp2(s - tl.where(top == float("-inf"), 0.0, top)[None, :])).to(DT)
    total = tl.maximum(tl.max(dot(s, ones), 1), 1e-30)[:, None]
    where = tl.load(place + tile * 16 + tl.arange(0, 16))
    out = pooled + tl.maximum(where, 0)[:, None].to(tl.int64) * stride + column
    tl.store(out + tl.arange(0, D0)[None, :], dot(s, x0.to(DT)) / total, mask=(where >= 0)[:, None])
    tl.store(out + D0 + tl.arange(0, D1)[None, :], dot(s, x1.to(DT)) / total, mask=(where >= 0)[:, None])
