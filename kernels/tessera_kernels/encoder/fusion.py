"""Fusion: the pooled vectors of both branches to the embedding, some pixels at a time.

Always in float32. It is a hundredth of the work, and the pooled vectors of different pixels are so similar that
rounding them caused half of an int8 network's error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.encoder.layout import (
    BLOCK_ROWS,
    CACHE_LINE,
    Floats,
    FusionScratch,
    FusionSizes,
    FusionWeights,
    Values,
)
from tessera_kernels.encoder.memory import copy, take_next
from tessera_kernels.encoder.pack import Arena, Linear, pack_tiles, pad, up
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.rows import layer_norm_relu, measure_rows, plain_norm, round_unsigned
from tessera_kernels.encoder.stages import moved, moved_values, quantize, store_product


class PackedFusion:
    """The fusion's weights, packed for its plan."""

    def __init__(
        self, plan: Plan, arrays: Mapping[str, NDArray[Any]], branch_width: int, is_normalized: bool
    ) -> None:
        """Pack.

        Args:
            plan: from `plan.make_fusion_plan`.
            arrays: the model file's initialisers.
            branch_width: floats of one branch's pooled vector, padding included.
            is_normalized: whether the embedding is layer-normalised.
        """
        self.arena = Arena()
        a = plan.arithmetic
        tile = plan.gemm_vectors * a.lanes
        first = Linear.of(arrays, "fusion.0").in_float().spread_rows(2, branch_width)
        put = self.arena.put
        places = [put(pack_tiles(plan, first, plan.gemm_vectors, True))]
        if "fusion.1.bias" in arrays:
            second = Linear.of(arrays, "fusion.1").in_float()
            hidden, dims = second.weight.shape
            padded = up(hidden, tile)
            places += [
                put(pad(arrays["fusion.norm.weight"].astype(np.float32), padded)),
                put(pad(arrays["fusion.norm.bias"].astype(np.float32), padded)),
                put(pack_tiles(plan, second, plan.gemm_vectors, False)),
            ]
        else:
            hidden, padded, dims = 0, 0, len(first.bias)
            places += [0, 0, 0]
        address = self.arena.close()
        self.weights = FusionWeights(*(address + place for place in places))
        inputs = 2 * branch_width
        self.sizes = FusionSizes(
            input_bytes=4 * inputs,
            input_groups=inputs // a.group,
            hidden=hidden,
            hidden_bytes=4 * padded,
            hidden_groups=up(hidden, a.group) // a.group,
            dims=dims,
            normalized=is_normalized,
            output_bytes=4 * up(dims, tile),
            value_row_bytes=max(inputs, padded) * a.value_bytes + CACHE_LINE,
            tile_bytes=4 * tile,
            tile_rows=plan.tile_rows,
            rows_together=plan.rows_together,
        )

    def scratch(self) -> tuple[FusionScratch, int]:
        """Lay out one thread's buffers, from address 0 on; returns them and how many bytes they take."""
        z, rows = self.sizes, BLOCK_ROWS + 8
        hidden = rows * z.value_row_bytes
        result = hidden + rows * z.hidden_bytes
        scales = result + rows * z.output_bytes
        factors, means = scales + 4 * rows, scales + 8 * rows
        scratch = FusionScratch(
            Values(0, z.value_row_bytes, scales, factors),
            Floats(hidden, z.hidden_bytes),
            Floats(result, z.output_bytes),
            means,
        )
        return scratch, up(means + 4 * rows, 4096) + 5 * CACHE_LINE


@kernel(error_model="numpy", nogil=True)
def run_fusion(
    plan: Plan,
    z: FusionSizes,
    w: FusionWeights,
    s: FusionScratch,
    pooled: int,
    taken: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """One thread's share of all pixels to embeddings: block by block, as long as there are any.

    Args:
        plan: what the kernel is compiled for, in float32.
        z: sizes of the fusion.
        w: its weights.
        s: the thread's own scratch.
        pooled: address of a row of pooled vectors a pixel, float32; rows after the last one must be readable.
        taken: (1,) int64, shared by the threads, 0 at first: the number of blocks taken.
        out: (pixels, dims and padding) float32; whole registers are written.
    """
    pixels = len(out)
    block = take_next(plan, taken.ctypes.data)
    while block * BLOCK_ROWS < pixels:
        first = block * BLOCK_ROWS
        rows = min(BLOCK_ROWS, pixels - first)
        quantize(plan, z, Floats(pooled + first * z.input_bytes, z.input_bytes), s.values, rows)
        if z.hidden == 0:
            store_product(plan, z, s.values, z.input_groups, w.first, rows, s.result)
        else:
            store_product(plan, z, s.values, z.input_groups, w.first, rows, s.hidden)
            for row in range(0, rows, z.rows_together):
                x, out_row = moved(s.hidden, row), moved_values(s.values, row)
                means, factors = s.means + 4 * row, out_row.factors
                measure_rows(plan, x, np.float32(z.hidden), means, factors)
                layer_norm_relu(plan, x, means, w.norm_weight, w.norm_bias, out_row)
                round_unsigned(plan, x, out_row)
            store_product(plan, z, s.values, z.hidden_groups, w.second, rows, s.result)
        if z.normalized:
            for row in range(0, rows, z.rows_together):
                x, means, factors = moved(s.result, row), s.means + 4 * row, s.values.factors + 4 * row
                measure_rows(plan, x, np.float32(z.dims), means, factors)
                plain_norm(plan, x, means, factors)
        for row in range(rows):
            to = out.ctypes.data + (first + row) * 4 * out.shape[1]
            copy(plan, s.result.at + row * z.output_bytes, to, 4 * out.shape[1])
        block = take_next(plan, taken.ctypes.data)
