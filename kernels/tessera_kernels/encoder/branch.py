"""A whole encoder branch as one kernel: a thread takes a few pixels and runs all layers in its own scratch.

About a hundred tokens at a time stay in the cache from the first layer to the pooling; there is no barrier between
layers, and no activation of the whole batch ever exists. Everything here works on addresses, see `simd`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numba.np.ufunc.parallel import get_thread_id
from numpy.typing import NDArray

from tessera_kernels.encoder.layout import Scratch, Sizes, Weights
from tessera_kernels.encoder.memory import fill, load_float, store_float, take_next
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.recurrent import pool_chunk
from tessera_kernels.encoder.stages import (
    add_product,
    attend,
    clear_behind,
    embed,
    feed_forward,
    jit,
    norm,
    project,
)


@jit
def _run_chunk(
    plan: Plan,
    z: Sizes,
    w: Weights,
    s: Scratch,
    base: int,
    max_rows: int,
    tokens: int,
    doy: int,
    log2_multiplicity: int,
    offsets: NDArray[np.int64],
    steps: NDArray[np.int64],
    step_offsets: NDArray[np.int64],
    first: int,
    last: int,
    out: int,
    out_row: int,
) -> None:
    """Pixels first..last-1 through the whole branch."""
    start = offsets[first]
    rows = offsets[last] - start
    # A copy, so that the last tile may read past the last row
    for i in range(rows * z.bands):
        value = load_float(plan, tokens + 4 * (start * z.bands + i))
        store_float(plan, base + s.bands + 4 * i, value)
    embed(plan, z, w, s, base, doy + 4 * start, rows)
    for n in range(z.layers):
        layer = w.layers[n]
        project(plan, z, layer, s, base, rows, max_rows)
        clear_behind(plan, z, s, base, rows, max_rows)
        for pixel in range(first, last):
            count = offsets[pixel + 1] - offsets[pixel]
            _bias_keys(plan, z, log2_multiplicity + 4 * offsets[pixel], count, base + s.bias)
            attend(plan, z, s, base, offsets[pixel] - start, count, max_rows)
        add_product(
            plan, z, base + s.values, z.value_row_bytes, z.context_groups, layer[1], base + s.scales, rows,
            base + s.x,
        )  # fmt: skip
        norm(plan, z, layer[4], layer[5], s, base, rows)
        feed_forward(plan, z, layer, s, base, rows)
        norm(plan, z, layer[6], layer[7], s, base, rows)
    pool_chunk(
        plan, z, w, s, base, max_rows, log2_multiplicity, offsets, steps, step_offsets, first, last, out,
        out_row,
    )  # fmt: skip


@jit
def _bias_keys(plan: Plan, z: Sizes, log2_multiplicity: int, count: int, out: int) -> None:
    """Keys' biases, and rows past the last one out of reach."""
    whole = (count + 63) // 32 * 32
    fill(plan, out, 4 * whole, np.float32(-1e30))
    for i in range(count):
        store_float(plan, out + 4 * i, load_float(plan, log2_multiplicity + 4 * i))


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def run_branch(
    plan: Plan,
    z: Sizes,
    w: Weights,
    s: Scratch,
    scratch: int,
    scratch_bytes: int,
    max_rows: int,
    tokens: int,
    doy: int,
    log2_multiplicity: int,
    offsets: NDArray[np.int64],
    steps: NDArray[np.int64],
    step_offsets: NDArray[np.int64],
    chunks: NDArray[np.int64],
    out: int,
    out_row: int,
    threads: int,
    taken: NDArray[np.int64],
) -> None:
    """All pixels through the branch, chunk by chunk: chunk c has the pixels chunks[c]..chunks[c + 1] - 1.

    `steps` and `step_offsets` are `sequence_steps`'s, empty without a recurrence.

    Whichever thread is free takes the next chunk, so that none waits for one whose core has other work too. `taken`
    (1,) counts them from 0.
    """
    for _ in prange(threads):
        base = scratch + get_thread_id() * scratch_bytes
        c = take_next(plan, taken.ctypes.data)
        while c < len(chunks) - 1:
            _run_chunk(
                plan, z, w, s, base, max_rows, tokens, doy, log2_multiplicity, offsets, steps,
                step_offsets, chunks[c], chunks[c + 1], out, out_row,
            )  # fmt: skip
            c = take_next(plan, taken.ctypes.data)
