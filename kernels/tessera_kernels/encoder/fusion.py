"""Fusion: the pooled vectors of both branches to the embedding, some pixels at a time.

Always in float32: it is a hundredth of the work, and pooled vectors of different pixels are so much alike that their
rounding was half of an int8 network's error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit, prange
from numba.np.ufunc.parallel import get_thread_id
from numpy.typing import NDArray

from tessera_kernels.encoder.layout import BLOCK_ROWS, FusionSizes, FusionWeights
from tessera_kernels.encoder.memory import copy
from tessera_kernels.encoder.pack import ALIGNMENT, Arena, Linear, pack_tiles, pad, up
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.rows import layer_norm_relu, plain_norm, quantize_signed
from tessera_kernels.encoder.stages import store_product


class PackedFusion:
    """The fusion's weights, packed for a plan."""

    def __init__(self, plan: Plan, arrays: Mapping[str, NDArray[Any]], branch_width: int) -> None:
        """Pack.

        Args:
            plan: the kernel's, in float32.
            arrays: the model file's initialisers.
            branch_width: floats of one branch's pooled vector, padding included.
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
            normalized=not plan.recurrent,
            output_bytes=4 * up(dims, tile),
            value_row_bytes=max(inputs, padded) * a.value_bytes + ALIGNMENT,
            tile_bytes=4 * tile,
            tile_rows=plan.tile_rows,
            rows_together=plan.rows_together,
        )

    @property
    def scratch_bytes(self) -> int:
        """Bytes that one thread needs."""
        z = self.sizes
        each = z.value_row_bytes + z.hidden_bytes + z.output_bytes + 4
        return up((BLOCK_ROWS + 8) * each, 4096) + 5 * ALIGNMENT


@njit(parallel=True, cache=True, error_model="numpy", nogil=True)
def run_fusion(
    plan: Plan,
    z: FusionSizes,
    w: FusionWeights,
    scratch: int,
    scratch_bytes: int,
    pooled: int,
    pixels: int,
    out: NDArray[np.float32],
) -> None:
    """Embed `pixels` pooled rows into out (pixels, dims and padding: whole registers are copied).

    Rows behind the last pooled one must be readable.
    """
    for block in prange((pixels + BLOCK_ROWS - 1) // BLOCK_ROWS):
        first = block * BLOCK_ROWS
        rows = min(BLOCK_ROWS, pixels - first)
        values = scratch + get_thread_id() * scratch_bytes
        hidden = values + (BLOCK_ROWS + 8) * z.value_row_bytes
        result = hidden + (BLOCK_ROWS + 8) * z.hidden_bytes
        scales = result + (BLOCK_ROWS + 8) * z.output_bytes
        for row in range(0, rows, z.rows_together):
            x = pooled + (first + row) * z.input_bytes
            quantize_signed(
                plan, x, z.input_bytes, z.input_bytes, values + row * z.value_row_bytes,
                z.value_row_bytes, scales + 4 * row,
            )  # fmt: skip
        if z.hidden == 0:
            store_product(
                plan, z, values, z.value_row_bytes, z.input_groups, w.first, scales, rows, result, z.output_bytes
            )  # fmt: skip
        else:
            store_product(
                plan, z, values, z.value_row_bytes, z.input_groups, w.first, scales, rows, hidden, z.hidden_bytes
            )  # fmt: skip
            for row in range(0, rows, z.rows_together):
                layer_norm_relu(
                    plan, hidden + row * z.hidden_bytes, z.hidden_bytes, z.hidden_bytes, np.float32(z.hidden),
                    w.norm_weight, w.norm_bias, values + row * z.value_row_bytes, z.value_row_bytes,
                    scales + 4 * row,
                )  # fmt: skip
            store_product(
                plan, z, values, z.value_row_bytes, z.hidden_groups, w.second, scales, rows, result, z.output_bytes
            )  # fmt: skip
        if z.normalized:
            for row in range(0, rows, z.rows_together):
                plain_norm(
                    plan, result + row * z.output_bytes, z.output_bytes, z.output_bytes, np.float32(z.dims)
                )
        for row in range(rows):
            to = out.ctypes.data + (first + row) * 4 * out.shape[1]
            copy(plan, result + row * z.output_bytes, to, 4 * out.shape[1])
