"""The stages of an encoder layer, on the rows of one chunk in one thread's scratch.

A row is a token. Everything works on addresses, see `simd`.
"""

from __future__ import annotations

import numpy as np

from tessera_kernels.encoder.attention import (
    HeadValues,
    Keys,
    context,
    finish,
    interleave,
    pack_queries,
    scores,
    softmax,
)
from tessera_kernels.encoder.layout import (
    BLOCK_ROWS,
    KEY_ROWS_BEHIND,
    SLACK_ROWS,
    Floats,
    FusionSizes,
    Layer,
    Scratch,
    Sizes,
    Values,
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
from tessera_kernels.inner import inner


@inner
def residual_from(z: Sizes, s: Scratch, row: int) -> Floats:
    """The residual stream from a row on."""
    return Floats(s.x + row * z.row_bytes, z.row_bytes)


@inner
def values_from(z: Sizes, s: Scratch, row: int) -> Values:
    """The rows of values from a row on."""
    return Values(s.values + row * z.value_row_bytes, z.value_row_bytes, s.scales + 4 * row)


@inner
def embed(plan: Plan, z: Sizes, w: Weights, s: Scratch, doy: int, rows: int) -> None:
    """Bands and day of year to the first layer's input. `doy`: address of the rows' days, int32."""
    fill(plan, s.maxima, (rows + SLACK_ROWS) * z.vector_bytes, np.float32(0))
    at = w.bands
    for column in range(0, z.row_bytes, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            out = Floats(s.wide + row * z.row_bytes + column, z.row_bytes)
            tile_bands(
                plan, s.bands + 4 * z.bands * row, z.bands, at, out, s.maxima + row * z.vector_bytes
            )  # fmt: skip
        at += z.tile_bytes * (1 + z.bands)
    for row in range(rows):
        day = load_int(plan, doy + 4 * row)
        copy(plan, w.day_of_year + day * z.row_bytes, s.x + row * z.row_bytes, z.row_bytes)
    for row in range(0, rows, z.rows_together):
        hidden = Floats(s.wide + row * z.row_bytes, z.row_bytes)
        quantize_unsigned(plan, hidden, s.maxima + row * z.vector_bytes, values_from(z, s, row))
    add_product(plan, z, values_from(z, s, 0), z.width_groups, w.embedding, rows, s.x)
    for row in range(0, rows, z.rows_together):
        quantize_signed(plan, residual_from(z, s, row), values_from(z, s, row))


@inner
def add_product(plan: Plan, z: Sizes, a: Values, groups: int, w: int, rows: int, out: int) -> None:
    """Add a W + bias to out, which is as wide as the residual stream."""
    for column in range(0, z.row_bytes, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            tile_add(
                plan, Values(a.at + row * a.row_bytes, a.row_bytes, a.scales + 4 * row), groups, w,
                Floats(out + row * z.row_bytes + column, z.row_bytes),
            )  # fmt: skip
        w += z.tile_bytes * (3 + groups)


@inner
def store_product(
    plan: Plan, z: Sizes | FusionSizes, a: Values, groups: int, w: int, rows: int, out: Floats
) -> None:
    """Store a W + bias in out, whose rows are whole tiles."""
    for column in range(0, out.row_bytes, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            tile_store(
                plan, Values(a.at + row * a.row_bytes, a.row_bytes, a.scales + 4 * row), groups, w,
                Floats(out.at + row * out.row_bytes + column, out.row_bytes),
            )  # fmt: skip
        w += z.tile_bytes * (3 + groups)


@inner
def project(plan: Plan, z: Sizes, layer: Layer, s: Scratch, rows: int) -> None:
    """Rows of values to stored queries, keys and values, with a scale for each token and head."""
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        store_product(
            plan, z, values_from(z, s, first), z.width_groups, layer.qkv, count, Floats(s.wide, z.qkv_bytes)
        )  # fmt: skip
        for part in range(3 * z.heads):
            kind = part // z.heads
            norm_weight = layer.q_norm if kind == 0 else layer.k_norm
            for row in range(0, count, z.rows_together):
                x = Floats(s.wide + 4 * part * z.head_dim + row * z.qkv_bytes, z.qkv_bytes)
                stored = part * s.max_rows + first + row
                out = Values(s.qkv + stored * z.head_bytes, z.head_bytes, s.qkv_scales + 4 * stored)
                if plan_has_qk_norm(plan) and kind < 2:
                    rms_norm(plan, x, norm_weight)
                if kind == 1:
                    quantize_key(plan, x, out)
                else:
                    quantize_query(plan, x, out)


@inner
def clear_behind(plan: Plan, z: Sizes, s: Scratch, rows: int) -> None:
    """Zero the keys after the last row: tiles of scores read them, and no bias outweighs an infinity."""
    for part in range(z.heads, 2 * z.heads):
        row = part * s.max_rows + rows
        fill(plan, s.qkv + row * z.head_bytes, KEY_ROWS_BEHIND * z.head_bytes, np.float32(0))
        fill(plan, s.qkv_scales + 4 * row, 4 * KEY_ROWS_BEHIND, np.float32(0))


@emitted(result=int)
def _qk_norm(e: Emitter) -> Value:
    return I64(int(e.plan.qk_norm))


@inner
def plan_has_qk_norm(plan: Plan) -> bool:
    """`Plan.qk_norm`, which LLVM sees as a constant."""
    return _qk_norm(plan) != 0


@inner
def attend(plan: Plan, z: Sizes, s: Scratch, first: int, tokens: int) -> None:
    """Attention of one pixel, whose tokens are the rows from `first` on, into rows of values."""
    groups = (tokens + z.group - 1) // z.group
    head_rows = s.max_rows * z.head_bytes
    q = s.qkv + first * z.head_bytes
    q_scales = s.qkv_scales + 4 * first
    interleaved_bytes = (groups + 1) * z.head_bytes * z.group
    key_weight_bytes = 4 * (tokens + z.group + 1)
    for head in range(z.heads):
        v = q + (2 * z.heads + head) * head_rows
        interleave(plan, v, z.head_bytes, groups, s.interleaved + head * interleaved_bytes)
        if z.group > 1:
            _weigh_keys(
                plan, q_scales + 4 * (2 * z.heads + head) * s.max_rows, tokens, groups * z.group,
                s.key_weights + head * key_weight_bytes,
            )  # fmt: skip
    for query in range(0, tokens, z.queries):
        fill(plan, s.query_maxima, z.query_vectors * z.vector_bytes, np.float32(0))
        for head in range(z.heads):
            pack_queries(
                plan, q + head * head_rows + query * z.head_bytes, z.head_bytes, z.head_groups, s.queries
            )  # fmt: skip
            keys = Keys(
                q + (z.heads + head) * head_rows, q_scales + 4 * (z.heads + head) * s.max_rows, s.bias, tokens
            )  # fmt: skip
            scores(
                plan, keys, s.queries, q_scales + 4 * (head * s.max_rows + query), s.scores, s.factor
            )  # fmt: skip
            softmax(
                plan, s.scores, tokens, s.factor, s.key_weights + head * key_weight_bytes, s.p, s.factor
            )  # fmt: skip
            head_values = HeadValues(
                s.interleaved + head * interleaved_bytes, z.head_bytes * z.group, groups, z.head_dim
            )  # fmt: skip
            context(
                plan, head_values, s.p, s.factor,
                s.context + head * z.head_groups * z.group * z.query_vectors * z.vector_bytes, s.query_maxima,
            )  # fmt: skip
        finish(plan, s.context, z.context_groups, s.query_maxima, values_from(z, s, first + query))


@inner
def _weigh_keys(plan: Plan, scales: int, tokens: int, whole: int, out: int) -> None:
    """The weights that `softmax` reads: each value's scale relative to the largest one."""
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


@inner
def feed_forward(plan: Plan, z: Sizes, layer: Layer, s: Scratch, rows: int) -> None:
    """Add W2 relu(W1 x + b1) + b2 to x, a block of rows at a time so that the hidden rows stay in the cache."""
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        fill(plan, s.maxima, (BLOCK_ROWS + SLACK_ROWS) * z.vector_bytes, np.float32(0))
        at = layer.up
        for column in range(0, z.ffn_bytes, z.tile_bytes):
            for row in range(0, count, z.tile_rows):
                tile_relu(
                    plan, values_from(z, s, first + row), z.width_groups, at,
                    Floats(s.wide + row * z.ffn_bytes + column, z.ffn_bytes),
                    s.maxima + row * z.vector_bytes,
                )  # fmt: skip
            at += z.tile_bytes * (3 + z.width_groups)
        # The rows' own values have been read: their scales may be overwritten with those of the hidden rows
        scales = s.scales + 4 * first
        for row in range(0, count, z.rows_together):
            quantize_unsigned(
                plan, Floats(s.wide + row * z.ffn_bytes, z.ffn_bytes), s.maxima + row * z.vector_bytes,
                Values(s.hidden + row * z.ffn_value_bytes, z.ffn_value_bytes, scales + 4 * row),
            )  # fmt: skip
        add_product(
            plan, z, Values(s.hidden, z.ffn_value_bytes, scales), z.ffn_groups, layer.down, count,
            s.x + first * z.row_bytes,
        )  # fmt: skip


@inner
def norm(plan: Plan, z: Sizes, weight: int, bias: int, s: Scratch, rows: int) -> None:
    """LayerNorm of the residual stream, and its values for the next product."""
    for row in range(0, rows, z.rows_together):
        layer_norm(
            plan, residual_from(z, s, row), np.float32(z.width), weight, bias, values_from(z, s, row)
        )  # fmt: skip
