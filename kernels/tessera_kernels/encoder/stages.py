"""The stages of an encoder layer, on the rows of one chunk in one thread's scratch.

`base` is the address of the scratch; a row is a token. Everything works on addresses, see `simd`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tessera_kernels.encoder.attention import context, finish, interleave, pack_queries, scores, softmax
from tessera_kernels.encoder.layout import (
    BLOCK_ROWS,
    KEY_ROWS_BEHIND,
    SLACK_ROWS,
    FusionSizes,
    Scratch,
    Sizes,
    Weights,
)
from tessera_kernels.encoder.memory import copy, fill, load_float, load_int, store_float
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.rows import (
    layer_norm,
    quantize_key,
    quantize_query,
    quantize_signed,
    quantize_unsigned,
    rms_norm,
)
from tessera_kernels.encoder.simd import I64, Emitter, Value, emitted
from tessera_kernels.encoder.tiles import tile_add, tile_bands, tile_relu, tile_store

jit = njit(error_model="numpy", nogil=True)  # numpy's error model: no branches for division by zero


@jit
def embed(plan: Plan, z: Sizes, w: Weights, s: Scratch, base: int, doy: int, rows: int) -> None:
    """Bands and day of year to the first layer's input."""
    hidden, maxima = base + s.wide, base + s.maxima
    fill(plan, maxima, (rows + SLACK_ROWS) * z.vector_bytes, np.float32(0))
    at = w.bands
    for column in range(0, z.row_bytes, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            tile_bands(
                plan, base + s.bands + 4 * z.bands * row, z.bands, at,
                hidden + row * z.row_bytes + column, z.row_bytes, maxima + row * z.vector_bytes,
            )  # fmt: skip
        at += z.tile_bytes * (1 + z.bands)
    for row in range(rows):
        day = load_int(plan, doy + 4 * row)
        copy(plan, w.day_of_year + day * z.row_bytes, base + s.x + row * z.row_bytes, z.row_bytes)
    for row in range(0, rows, z.rows_together):
        quantize_unsigned(
            plan, hidden + row * z.row_bytes, z.row_bytes, z.row_bytes, maxima + row * z.vector_bytes,
            base + s.values + row * z.value_row_bytes, z.value_row_bytes, base + s.scales + 4 * row,
        )  # fmt: skip
    add_product(
        plan, z, base + s.values, z.value_row_bytes, z.width_groups, w.embedding, base + s.scales, rows,
        base + s.x,
    )  # fmt: skip
    for row in range(0, rows, z.rows_together):
        quantize_signed(
            plan, base + s.x + row * z.row_bytes, z.row_bytes, z.row_bytes,
            base + s.values + row * z.value_row_bytes, z.value_row_bytes, base + s.scales + 4 * row,
        )  # fmt: skip


@jit
def add_product(
    plan: Plan, z: Sizes, a: int, lda: int, groups: int, w: int, scales: int, rows: int, out: int
) -> None:
    """Out += a W + bias, for out as wide as the residual stream."""
    for column in range(0, z.row_bytes, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            tile_add(
                plan, a + row * lda, lda, groups, w, scales + 4 * row,
                out + row * z.row_bytes + column, z.row_bytes,
            )  # fmt: skip
        w += z.tile_bytes * (3 + groups)


@jit
def store_product(
    plan: Plan,
    z: Sizes | FusionSizes,
    a: int,
    lda: int,
    groups: int,
    w: int,
    scales: int,
    rows: int,
    out: int,
    ldo: int,
) -> None:
    """Out = a W + bias, for out of `ldo` bytes a row: whole tiles."""
    for column in range(0, ldo, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            tile_store(
                plan, a + row * lda, lda, groups, w, scales + 4 * row, out + row * ldo + column, ldo
            )  # fmt: skip
        w += z.tile_bytes * (3 + groups)


@jit
def project(
    plan: Plan, z: Sizes, layer: NDArray[np.int64], s: Scratch, base: int, rows: int, max_rows: int
) -> None:
    """Rows of values to stored queries, keys and values, with a scale for each token and head."""
    wide = base + s.wide
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        store_product(
            plan, z, base + s.values + first * z.value_row_bytes, z.value_row_bytes, z.width_groups, layer[0],
            base + s.scales + 4 * first, count, wide, z.qkv_bytes,
        )  # fmt: skip
        for part in range(3 * z.heads):
            kind = part // z.heads
            x = wide + 4 * part * z.head_dim
            out = base + s.qkv + (part * max_rows + first) * z.head_bytes
            scales = base + s.qkv_scales + 4 * (part * max_rows + first)
            for row in range(0, count, z.rows_together):
                at = x + row * z.qkv_bytes
                if plan_has_qk_norm(plan) and kind < 2:
                    rms_norm(plan, at, z.qkv_bytes, layer[8 + kind])
                if kind == 1:
                    quantize_key(
                        plan, at, z.qkv_bytes, out + row * z.head_bytes, z.head_bytes, scales + 4 * row
                    )
                else:
                    quantize_query(
                        plan, at, z.qkv_bytes, out + row * z.head_bytes, z.head_bytes, scales + 4 * row
                    )


@jit
def clear_behind(plan: Plan, z: Sizes, s: Scratch, base: int, rows: int, max_rows: int) -> None:
    """Zero the keys behind the last row: tiles of scores read them, and no bias outweighs an infinity."""
    for part in range(z.heads, 2 * z.heads):
        row = part * max_rows + rows
        fill(plan, base + s.qkv + row * z.head_bytes, KEY_ROWS_BEHIND * z.head_bytes, np.float32(0))
        fill(plan, base + s.qkv_scales + 4 * row, 4 * KEY_ROWS_BEHIND, np.float32(0))


@emitted("", result="i")
def _qk_norm(e: Emitter) -> Value:
    return I64(int(e.plan.qk_norm))


@jit
def plan_has_qk_norm(plan: Plan) -> bool:
    """A constant, once compiled."""
    return _qk_norm(plan) != 0


@jit
def attend(plan: Plan, z: Sizes, s: Scratch, base: int, first: int, tokens: int, max_rows: int) -> None:
    """Attention of one pixel, whose tokens are the rows from `first`, into rows of values."""
    groups = (tokens + z.group - 1) // z.group
    head_rows = max_rows * z.head_bytes
    q = base + s.qkv + first * z.head_bytes
    q_scales = base + s.qkv_scales + 4 * first
    interleaved_bytes = (groups + 1) * z.head_bytes * z.group
    key_weight_bytes = 4 * (tokens + z.group + 1)
    for head in range(z.heads):
        v = q + (2 * z.heads + head) * head_rows
        interleave(plan, v, z.head_bytes, groups, base + s.interleaved + head * interleaved_bytes)
        if z.group > 1:
            _weigh_keys(
                plan, q_scales + 4 * (2 * z.heads + head) * max_rows, tokens, groups * z.group,
                base + s.key_weights + head * key_weight_bytes,
            )  # fmt: skip
    for query in range(0, tokens, z.queries):
        fill(plan, base + s.query_maxima, z.query_vectors * z.vector_bytes, np.float32(0))
        for head in range(z.heads):
            pack_queries(
                plan, q + head * head_rows + query * z.head_bytes, z.head_bytes, z.head_groups,
                base + s.queries,
            )  # fmt: skip
            scores(
                plan, q + (z.heads + head) * head_rows, base + s.queries,
                q_scales + 4 * (head * max_rows + query), q_scales + 4 * (z.heads + head) * max_rows,
                base + s.bias, tokens, base + s.scores, base + s.factor,
            )  # fmt: skip
            softmax(
                plan, base + s.scores, tokens, base + s.factor,
                base + s.key_weights + head * key_weight_bytes, base + s.p, base + s.factor,
            )  # fmt: skip
            context(
                plan, base + s.interleaved + head * interleaved_bytes, z.head_bytes * z.group, groups,
                base + s.p, base + s.factor, z.head_dim,
                base + s.context + head * z.head_groups * z.group * z.query_vectors * z.vector_bytes,
                base + s.query_maxima,
            )  # fmt: skip
        finish(
            plan, base + s.context, z.context_groups, base + s.query_maxima,
            base + s.values + (first + query) * z.value_row_bytes, z.value_row_bytes,
            base + s.scales + 4 * (first + query),
        )  # fmt: skip


@jit
def _weigh_keys(plan: Plan, scales: int, tokens: int, whole: int, out: int) -> None:
    """The weights that `softmax` takes: how large each value's scale is beside the largest one's."""
    largest = np.float32(1e-30)
    for token in range(tokens):
        largest = max(largest, load_float(plan, scales + 4 * token))
    store_float(plan, out, largest / np.float32(255))
    for token in range(tokens):
        store_float(
            plan, out + 4 * (token + 1), load_float(plan, scales + 4 * token) * (np.float32(255) / largest)
        )
    for token in range(tokens, whole):
        store_float(plan, out + 4 * (token + 1), np.float32(0))


@jit
def feed_forward(plan: Plan, z: Sizes, layer: NDArray[np.int64], s: Scratch, base: int, rows: int) -> None:
    """Add W2 relu(W1 x + b1) + b2 to x, a block of rows at a time: the hidden rows stay in the cache."""
    wide, maxima = base + s.wide, base + s.maxima
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        a = base + s.values + first * z.value_row_bytes
        scales = base + s.scales + 4 * first
        fill(plan, maxima, (BLOCK_ROWS + SLACK_ROWS) * z.vector_bytes, np.float32(0))
        at = layer[2]
        for column in range(0, z.ffn_bytes, z.tile_bytes):
            for row in range(0, count, z.tile_rows):
                tile_relu(
                    plan, a + row * z.value_row_bytes, z.value_row_bytes, z.width_groups, at,
                    scales + 4 * row, wide + row * z.ffn_bytes + column, z.ffn_bytes,
                    maxima + row * z.vector_bytes,
                )  # fmt: skip
            at += z.tile_bytes * (3 + z.width_groups)
        for row in range(0, count, z.rows_together):
            quantize_unsigned(
                plan, wide + row * z.ffn_bytes, z.ffn_bytes, z.ffn_bytes, maxima + row * z.vector_bytes,
                base + s.hidden + row * z.ffn_value_bytes, z.ffn_value_bytes, scales + 4 * row,
            )  # fmt: skip
        add_product(
            plan, z, base + s.hidden, z.ffn_value_bytes, z.ffn_groups, layer[3], scales, count,
            base + s.x + first * z.row_bytes,
        )  # fmt: skip


@jit
def norm(plan: Plan, z: Sizes, weight: int, bias: int, s: Scratch, base: int, rows: int) -> None:
    """LayerNorm of the residual stream, and its values for the next product."""
    for row in range(0, rows, z.rows_together):
        layer_norm(
            plan, base + s.x + row * z.row_bytes, z.row_bytes, z.row_bytes, np.float32(z.width), weight, bias,
            base + s.values + row * z.value_row_bytes, z.value_row_bytes, base + s.scales + 4 * row,
        )  # fmt: skip
