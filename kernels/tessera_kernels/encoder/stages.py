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
    weigh_keys,
)
from tessera_kernels.encoder.layout import (
    BLOCK_ROWS,
    CACHE_LINE,
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
from tessera_kernels.encoder.memory import copy, fill, load_int
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.rows import (
    layer_norm,
    measure_rows,
    rms_norm,
    round_key,
    round_query,
    round_signed,
    round_unsigned,
    scale_head,
    scale_rows,
    scale_unsigned,
)
from tessera_kernels.encoder.simd import I64, Emitter, Value, emitted
from tessera_kernels.encoder.tiles import tile_add, tile_bands, tile_relu, tile_store
from tessera_kernels.inner import inner


@inner
def moved(x: Floats, row: int) -> Floats:
    """The rows from a row on."""
    return Floats(x.at + row * x.row_bytes, x.row_bytes)


@inner
def moved_values(a: Values, row: int) -> Values:
    """The rows of values from a row on."""
    return Values(a.at + row * a.row_bytes, a.row_bytes, a.scales + 4 * row, a.factors + 4 * row)


@inner
def residual_from(z: Sizes, s: Scratch, row: int) -> Floats:
    """The residual stream from a row on."""
    return moved(Floats(s.x, z.row_bytes), row)


@inner
def values_from(z: Sizes, s: Scratch, row: int) -> Values:
    """The rows of values from a row on."""
    return moved_values(Values(s.values, z.value_row_bytes, s.scales, s.factors), row)


@inner
def quantize(plan: Plan, z: Sizes | FusionSizes, x: Floats, out: Values, rows: int) -> None:
    """Rows to values of -127..127."""
    for row in range(0, rows, z.rows_together):
        scale_rows(plan, moved(x, row), moved_values(out, row))
    for row in range(0, rows, z.rows_together):
        round_signed(plan, moved(x, row), moved_values(out, row))


@inner
def quantize_relu(plan: Plan, z: Sizes, x: Floats, maxima: int, out: Values, rows: int) -> None:
    """Rows without negative values to values of 0..255; `maxima` as `tile_relu` writes them."""
    for row in range(0, rows, z.rows_together):
        scale_unsigned(plan, maxima + row * z.vector_bytes, moved_values(out, row))
    for row in range(0, rows, z.rows_together):
        round_unsigned(plan, moved(x, row), moved_values(out, row))


@inner
def ahead(z: Sizes | FusionSizes, groups: int, row: int) -> int:
    """How far from a tile's weights the next column's are; each tile of rows fetches one cache line of every group."""
    lines = z.tile_bytes // CACHE_LINE
    return z.tile_bytes * (3 + groups) + row // z.tile_rows % lines * CACHE_LINE


@inner
def embed(plan: Plan, z: Sizes, w: Weights, s: Scratch, doy: int, rows: int) -> None:
    """Bands and day of year to the first layer's input. `doy`: address of the rows' days, int32."""
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        x, values = residual_from(z, s, first), values_from(z, s, first)
        wide = Floats(s.wide, z.row_bytes)
        fill(plan, s.maxima, (BLOCK_ROWS + SLACK_ROWS) * z.vector_bytes, np.float32(0))
        at = w.bands
        for column in range(0, z.row_bytes, z.tile_bytes):
            for row in range(0, count, z.tile_rows):
                tile_bands(
                    plan, s.bands + 4 * z.bands * (first + row), z.bands, at,
                    Floats(s.wide + row * z.row_bytes + column, z.row_bytes), s.maxima + row * z.vector_bytes,
                )  # fmt: skip
            at += z.tile_bytes * (1 + z.bands)
        for row in range(count):
            day = load_int(plan, doy + 4 * (first + row))
            copy(plan, w.day_of_year + day * z.row_bytes, x.at + row * z.row_bytes, z.row_bytes)
        quantize_relu(plan, z, wide, s.maxima, values, count)
        add_product(plan, z, values, z.width_groups, w.embedding, count, x.at)
        quantize(plan, z, x, values, count)


@inner
def add_product(plan: Plan, z: Sizes, a: Values, groups: int, w: int, rows: int, out: int) -> None:
    """Add a W + bias to out, which is as wide as the residual stream."""
    for column in range(0, z.row_bytes, z.tile_bytes):
        for row in range(0, rows, z.tile_rows):
            tile_add(
                plan, moved_values(a, row), groups, w, ahead(z, groups, row),
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
                plan, moved_values(a, row), groups, w, ahead(z, groups, row),
                Floats(out.at + row * out.row_bytes + column, out.row_bytes),
            )  # fmt: skip
        w += z.tile_bytes * (3 + groups)


@inner
def project(plan: Plan, z: Sizes, layer: Layer, s: Scratch, rows: int) -> None:
    """Rows of values to stored queries, keys and values, with a scale for each token and head."""
    part_bytes = z.row_bytes * (3 + z.width_groups)
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        # One of the three at a time: its rows are still in the nearest cache when they are quantised
        for kind in range(3):
            wide = Floats(s.wide, z.row_bytes)
            weights = layer.qkv + kind * part_bytes
            store_product(plan, z, values_from(z, s, first), z.width_groups, weights, count, wide)
            norm_weight = layer.q_norm if kind == 0 else layer.k_norm
            for head in range(z.heads):
                x = Floats(s.wide + 4 * head * z.head_dim, z.row_bytes)
                stored = (kind * z.heads + head) * s.max_rows + first
                out = Values(
                    s.qkv + stored * z.head_bytes, z.head_bytes, s.qkv_scales + 4 * stored, s.factors
                )
                quantize_head(plan, z, x, kind, norm_weight, out, count)


@inner
def quantize_head(
    plan: Plan, z: Sizes, x: Floats, kind: int, norm_weight: int, out: Values, rows: int
) -> None:
    """Rows of one head's queries (kind 0), keys (1) or values (2) to stored ones."""
    if plan_has_qk_norm(plan) and kind < 2:
        for row in range(0, rows, z.rows_together):
            rms_norm(plan, moved(x, row), norm_weight)
    for row in range(0, rows, z.rows_together):
        scale_head(plan, moved(x, row), moved_values(out, row))
    if kind == 1:
        for row in range(0, rows, z.rows_together):
            round_key(plan, moved(x, row), moved_values(out, row))
    else:
        for row in range(0, rows, z.rows_together):
            round_query(plan, moved(x, row), moved_values(out, row))


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
            weigh_keys(
                plan, q_scales + 4 * (2 * z.heads + head) * s.max_rows, tokens,
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
def feed_forward(plan: Plan, z: Sizes, layer: Layer, s: Scratch, first: int, count: int) -> None:
    """Add W2 relu(W1 x + b1) + b2 to a block of x; the hidden rows stay in the cache."""
    fill(plan, s.maxima, (BLOCK_ROWS + SLACK_ROWS) * z.vector_bytes, np.float32(0))
    at = layer.up
    for column in range(0, z.ffn_bytes, z.tile_bytes):
        for row in range(0, count, z.tile_rows):
            tile_relu(
                plan, values_from(z, s, first + row), z.width_groups, at,
                ahead(z, z.width_groups, row),
                Floats(s.wide + row * z.ffn_bytes + column, z.ffn_bytes),
                s.maxima + row * z.vector_bytes,
            )  # fmt: skip
        at += z.tile_bytes * (3 + z.width_groups)
    # The rows' own values have been read: their scales may be overwritten with those of the hidden rows
    hidden = Values(s.hidden, z.ffn_value_bytes, s.scales + 4 * first, s.factors + 4 * first)
    quantize_relu(plan, z, Floats(s.wide, z.ffn_bytes), s.maxima, hidden, count)
    add_product(plan, z, hidden, z.ffn_groups, layer.down, count, s.x + first * z.row_bytes)


@inner
def norm(plan: Plan, z: Sizes, weight: int, bias: int, s: Scratch, first: int, count: int) -> None:
    """LayerNorm of a block of the residual stream, and its values for the next product."""
    x, out = residual_from(z, s, first), values_from(z, s, first)
    for row in range(0, count, z.rows_together):
        measure_rows(plan, moved(x, row), np.float32(z.width), s.means + 4 * row, out.factors + 4 * row)
    for row in range(0, count, z.rows_together):
        layer_norm(plan, moved(x, row), s.means + 4 * row, weight, bias, moved_values(out, row))
    for row in range(0, count, z.rows_together):
        round_signed(plan, moved(x, row), moved_values(out, row))
