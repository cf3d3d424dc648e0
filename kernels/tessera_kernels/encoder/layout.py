"""How a branch lies in memory: sizes of rows, addresses of weights, offsets of scratch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 48
"""Rows whose wide float32 results (Q, K, V; the FFN's hidden layer) exist at once. A multiple of every tile height."""

SLACK_ROWS = 32
"""Rows of scratch behind the last one: tiles and blocks of queries run past it."""

KEY_ROWS_BEHIND = 8
"""Rows behind the last key that a tile of scores may read: at most its height."""

LOG2_E = np.float32(1.4426950408889634)


class Sizes(NamedTuple):
    """Sizes of a branch; `_bytes` are of a row. Padded widths are whole tiles."""

    bands: int
    width: int
    heads: int
    layers: int
    tile_bytes: int
    """of a row of a `gemm_vectors` tile"""
    row_bytes: int
    """of the residual stream, float32, padded"""
    value_row_bytes: int
    """of a row of values: the first factor of a product"""
    width_groups: int
    qkv_bytes: int
    """queries, keys and values of all heads, float32, padded"""
    ffn_bytes: int
    """float32"""
    ffn_value_bytes: int
    ffn_groups: int
    head_bytes: int
    """of a stored head"""
    head_dim: int
    head_groups: int
    context_groups: int
    """of all heads' results in a row of values"""
    group: int
    queries: int
    rows_together: int
    tile_rows: int
    vector_bytes: int
    query_vectors: int


class Weights(NamedTuple):
    """Addresses of a branch's packed weights."""

    bands: int
    day_of_year: int
    embedding: int
    pool: int
    """of a token's logit; for a recurrent pooling of a state's, see `recurrent.score_weights`"""
    recurrent: NDArray[np.int64]
    """(6,): what the gates r, z, n take from x, and from h; (0,) without a recurrence"""
    layers: NDArray[np.int64]
    """(layers, 10): qkv, out, up, down, norm1 weight, norm1 bias, norm2 weight, norm2 bias, q_norm, k_norm"""


class Scratch(NamedTuple):
    """Offsets of one thread's buffers, see `pack.PackedBranch.scratch`."""

    x: int
    values: int
    wide: int
    hidden: int
    scales: int
    maxima: int
    qkv: int
    qkv_scales: int
    bias: int
    interleaved: int
    key_weights: int
    scores: int
    p: int
    queries: int
    context: int
    query_maxima: int
    factor: int
    bands: int
    gates: int
    """three times a row a token: what the recurrence's gates take from it"""
    states: int
    """h, r, z and n of the pixels that step together"""
    state_values: int
    state_scales: int
    logits: int
    """a float a step"""


class FusionSizes(NamedTuple):
    """Sizes of the fusion; `_bytes` are of a row. No hidden layer: v1.0's single product."""

    input_bytes: int
    input_groups: int
    hidden: int
    hidden_bytes: int
    hidden_groups: int
    dims: int
    normalized: bool
    """whether the embedding is"""
    output_bytes: int
    value_row_bytes: int
    tile_bytes: int
    tile_rows: int
    rows_together: int


class FusionWeights(NamedTuple):
    """Addresses of the fusion's packed weights."""

    first: int
    norm_weight: int
    norm_bias: int
    second: int
