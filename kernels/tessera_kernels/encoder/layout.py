"""How a branch lies in memory: sizes of rows, addresses of weights and of scratch buffers.

All are named tuples, of Python integers where numba is given them and of LLVM values inside emitted code. Addresses are
int64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 48
"""Rows whose wide float32 results (Q, K, V; the FFN's hidden layer) exist at once. A multiple of every tile height."""

SLACK_ROWS = 32
"""Rows of scratch after the last one: tiles and blocks of queries may run past it."""

KEY_ROWS_BEHIND = 8
"""Rows after the last key that a tile of scores may read: at most its height."""

CACHE_LINE = 64
"""Bytes of a cache line, and of the widest register."""

LOG2_E = np.float32(1.4426950408889634)


class Floats(NamedTuple):
    """Rows of float32."""

    at: Any
    """address of the first row"""
    row_bytes: Any
    """from one row to the next"""


class Values(NamedTuple):
    """Rows of stored values (int8, int16 or float32, see `plan.Arithmetic`): the first factor of a product."""

    at: Any
    """address of the first row"""
    row_bytes: Any
    """from one row to the next"""
    scales: Any
    """address of the rows' float32 scales; not used in float32"""
    factors: Any
    """address of what float32 rows are multiplied by to be normalised, then stored, a float32 a row"""


class Batch(NamedTuple):
    """N pixels with M tokens in total, in one modality."""

    values: int
    """address of (M, bands) float32"""
    doy: int
    """address of (M,) int32"""
    log2_multiplicity: int
    """address of (M,) float32"""
    offsets: NDArray[np.int64]
    """(N + 1,): pixel p has the tokens offsets[p] to offsets[p + 1] - 1"""
    steps: NDArray[np.int64]
    """(S,): the token of each step of a recurrence, see `sequence_steps`; empty without one"""
    step_offsets: NDArray[np.int64]
    """(N + 1,): pixel p has the steps step_offsets[p] to step_offsets[p + 1] - 1; (1,) without a recurrence"""


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


class Layer(NamedTuple):
    """Addresses of one encoder layer's packed weights."""

    qkv: int
    out: int
    up: int
    down: int
    norm1_weight: int
    norm1_bias: int
    norm2_weight: int
    norm2_bias: int
    q_norm: int
    k_norm: int


LAYER = np.dtype([(name, np.int64) for name in Layer._fields])
"""A `Layer` as a record, so that kernels can read one of several by its number."""


class Weights(NamedTuple):
    """Addresses of a branch's packed weights."""

    bands: int
    day_of_year: int
    embedding: int
    pool: int
    """of the vector that gives a token's logit; with a recurrence a state's, see `recurrent.score_weights`"""
    input_gates: NDArray[np.int64]
    """(3,): the weights of the gates r, z, n for the tokens; (0,) without a recurrence"""
    hidden_gates: NDArray[np.int64]
    """(3,): the same for the state"""
    layers: NDArray[Any]
    """(layers,) of `LAYER`"""


class Scratch(NamedTuple):
    """Addresses of one thread's buffers, see `pack.PackedBranch.scratch`."""

    max_rows: int
    """rows that there is room for; not an address"""
    x: int
    values: int
    wide: int
    hidden: int
    scales: int
    factors: int
    means: int
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
    """three rows a token: its product with the recurrence's input gates"""
    states: int
    """h, r, z and n of the pixels that are stepped together"""
    state_values: int
    state_scales: int
    state_factors: int
    logits: int
    """one float32 a step"""

    def moved(self, base: int) -> Scratch:
        """The same buffers, `base` bytes further on."""
        return Scratch(self.max_rows, *(base + address for address in self[1:]))


class FusionSizes(NamedTuple):
    """Sizes of the fusion; `_bytes` are of a row. No hidden layer: v1.0's single product."""

    input_bytes: int
    input_groups: int
    hidden: int
    hidden_bytes: int
    hidden_groups: int
    dims: int
    normalized: bool
    """whether the embedding is layer-normalised"""
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


class FusionScratch(NamedTuple):
    """One thread's buffers, `BLOCK_ROWS` rows and eight more each."""

    values: Values
    hidden: Floats
    result: Floats
    means: int

    def moved(self, base: int) -> FusionScratch:
        """The same buffers, `base` bytes further on."""
        values, hidden, result, means = self
        return FusionScratch(
            Values(values.at + base, values.row_bytes, values.scales + base, values.factors + base),
            hidden._replace(at=hidden.at + base),
            result._replace(at=result.at + base),
            means + base,
        )
