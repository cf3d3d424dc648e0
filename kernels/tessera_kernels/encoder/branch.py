"""A whole encoder branch as one kernel: a thread takes a few pixels and runs all layers in its own scratch.

About a hundred tokens at a time stay in the cache from the first layer to the pooling. There is no barrier between
layers, and the activations of the whole batch never exist at once. Everything here works on addresses, see `simd`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.encoder.layout import BLOCK_ROWS, Batch, Floats, Scratch, Sizes, Weights
from tessera_kernels.encoder.memory import fill, load_float, store_float, take_next
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.recurrent import pool_chunk
from tessera_kernels.encoder.stages import (
    add_product,
    attend,
    clear_behind,
    embed,
    feed_forward,
    norm,
    project,
    values_from,
)
from tessera_kernels.inner import inner


@inner
def _run_chunk(
    plan: Plan, z: Sizes, w: Weights, s: Scratch, tokens: Batch, first: int, last: int, out: Floats
) -> None:
    """Pixels first..last-1 through the whole branch."""
    offsets = tokens.offsets
    start = offsets[first]
    rows = offsets[last] - start
    # A copy, so that the last tile may read past the last row
    for i in range(rows * z.bands):
        store_float(plan, s.bands + 4 * i, load_float(plan, tokens.values + 4 * (start * z.bands + i)))
    embed(plan, z, w, s, tokens.doy + 4 * start, rows)
    for n in range(z.layers):
        layer = w.layers[n]
        project(plan, z, layer, s, rows)
        clear_behind(plan, z, s, rows)
        for pixel in range(first, last):
            count = offsets[pixel + 1] - offsets[pixel]
            _bias_keys(plan, tokens.log2_multiplicity + 4 * offsets[pixel], count, s.bias)
            attend(plan, z, s, offsets[pixel] - start, count)
        for block in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - block)
            context = values_from(z, s, block)
            add_product(plan, z, context, z.context_groups, layer.out, count, s.x + block * z.row_bytes)
            norm(plan, z, layer.norm1_weight, layer.norm1_bias, s, block, count)
            feed_forward(plan, z, layer, s, block, count)
            norm(plan, z, layer.norm2_weight, layer.norm2_bias, s, block, count)
    pool_chunk(plan, z, w, s, tokens, first, last, out)


@inner
def _bias_keys(plan: Plan, log2_multiplicity: int, count: int, out: int) -> None:
    """Store the keys' biases, and a bias for the rows after them that no score outweighs."""
    whole = (count + 63) // 32 * 32
    fill(plan, out, 4 * whole, np.float32(-1e30))
    for i in range(count):
        store_float(plan, out + 4 * i, load_float(plan, log2_multiplicity + 4 * i))


@kernel(error_model="numpy", nogil=True)
def run_branch(
    plan: Plan,
    z: Sizes,
    w: Weights,
    s: Scratch,
    tokens: Batch,
    chunks: NDArray[np.int64],
    taken: NDArray[np.int64],
    out: Floats,
) -> None:
    """One thread's share of all pixels through the branch: chunk by chunk, as long as there are any.

    Whichever thread is free takes the next chunk. No thread then waits for one whose core has other work too.

    Args:
        plan: what the kernel is compiled for.
        z: sizes of the branch.
        w: its weights.
        s: the thread's own scratch.
        tokens: of all pixels.
        chunks: (C + 1,) int64: chunk c has the pixels chunks[c] to chunks[c + 1] - 1.
        taken: (1,) int64, shared by the threads, 0 at first: the number of chunks taken.
        out: the pooled rows, one a pixel.
    """
    c = take_next(plan, taken.ctypes.data)
    while c < len(chunks) - 1:
        _run_chunk(plan, z, w, s, tokens, chunks[c], chunks[c + 1], out)
        c = take_next(plan, taken.ctypes.data)
