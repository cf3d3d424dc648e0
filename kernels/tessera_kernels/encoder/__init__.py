"""The whole network as numba kernels over packed tokens, in int8 or float32, for the CPU that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from tessera_kernels.encoder.branch import run_branch
from tessera_kernels.encoder.fusion import PackedFusion, run_fusion
from tessera_kernels.encoder.layout import LOG2_E, SLACK_ROWS
from tessera_kernels.encoder.pack import PackedBranch, aligned, up
from tessera_kernels.encoder.plan import Arithmetic, make_plan
from tessera_kernels.encoder.recurrent import CHUNK_PIXELS
from tessera_kernels.sequence import sequence_steps

CHUNK_TOKENS = {False: 256, True: 1024}
"""Tokens that a thread takes at once, without a recurrence and with one: enough rows for the tiles, few enough for the
second-level cache; a recurrence has to have many pixels, since each step reads all of its weights."""

BRANCHES = ("s2", "s1")

Tokens = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]
"""Values (M, bands), day of year (M,), multiplicity (M,), offsets (N + 1,) of one modality."""


class Network:
    """A model's weights, packed for one instruction set."""

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], heads: int, layers: int, arithmetic: Arithmetic
    ) -> None:
        """Pack a model.

        Args:
            arrays: the model file's initialisers.
            heads: attention heads.
            layers: encoder layers of a branch.
            arithmetic: from `plan.INT8` for an int8 file, from `plan.FLOAT32` for a float32 one.
        """
        width = arrays["s2.embedding.0.bias"].shape[0]
        qk_norm = "s2.layers.0.q_norm.weight" in arrays
        recurrent = "s2.gru.input.bias" in arrays
        ffn = arrays["s2.layers.0.up.bias"].shape[0]
        self.plan = make_plan(arithmetic, width, ffn, heads, qk_norm, recurrent)
        self._fusion_plan = make_plan(arithmetic.in_float, width, ffn, heads, qk_norm, recurrent)
        self._repeats_at_end = "fusion.1.bias" in arrays  # v1.1, and not v1.0
        self._branches = [PackedBranch(self.plan, arrays, name, heads, layers) for name in BRANCHES]
        self._fusion = PackedFusion(self._fusion_plan, arrays, self._branches[0].padded)
        self.dims = self._fusion.sizes.dims
        self._scratch = aligned(0)

    def _scratch_for(self, each: int) -> int:
        """Address of scratch for all threads."""
        size = each * get_num_threads()
        if self._scratch.size < size:
            self._scratch = aligned(size)
        return int(self._scratch.ctypes.data)

    def run(self, s2: Tokens, s1: Tokens) -> NDArray[np.float32]:
        """Embed packed pixels.

        Args:
            s2: Sentinel-2 tokens; every pixel has at least one. Distinct ones with their multiplicities, for v1 too.
            s1: Sentinel-1 tokens of the same pixels.

        Returns:
            (N, dims) float32.
        """
        pixels = len(s2[3]) - 1
        width = self._branches[0].padded
        # Rows behind the last one are read by the last block of the fusion
        pooled = np.zeros((pixels + SLACK_ROWS, 2 * width), np.float32)
        for i, (branch, (values, doy, multiplicity, offsets)) in enumerate(
            zip(self._branches, (s2, s1), strict=True)
        ):
            steps, step_offsets = np.empty(0, np.int64), np.zeros(1, np.int64)
            recurrent = self.plan.recurrent
            if recurrent:
                steps, step_offsets = sequence_steps(multiplicity, offsets, self._repeats_at_end)
            chunks = _chunks(offsets, CHUNK_TOKENS[recurrent], CHUNK_PIXELS if recurrent else max(1, pixels))
            max_steps = int(np.diff(step_offsets[chunks]).max(initial=0)) if recurrent else 0
            max_rows = int(np.diff(offsets[chunks]).max(initial=0)) + SLACK_ROWS
            scratch, each = branch.scratch(max_rows, int(np.diff(offsets).max(initial=1)), max_steps)
            values = np.ascontiguousarray(values, np.float32)
            doy = np.ascontiguousarray(doy, np.int32)
            bias = np.log(multiplicity) * LOG2_E
            run_branch(
                self.plan, branch.sizes, branch.weights, scratch, self._scratch_for(each), each, max_rows,
                values.ctypes.data, doy.ctypes.data, bias.ctypes.data, offsets, steps, step_offsets, chunks,
                pooled.ctypes.data + i * 4 * width, pooled.shape[1] * 4, get_num_threads(), np.zeros(1, np.int64),
            )  # fmt: skip
        # Whole registers are written: a narrower row would spill into the next one, or out of the array
        embedding = np.empty((pixels, up(self.dims, self.plan.arithmetic.lanes)), np.float32)
        each = self._fusion.scratch_bytes
        run_fusion(
            self._fusion_plan, self._fusion.sizes, self._fusion.weights, self._scratch_for(each), each,
            pooled.ctypes.data, pixels, embedding,
        )  # fmt: skip
        return np.ascontiguousarray(embedding[:, : self.dims])


@njit(cache=True)
def _chunks(offsets: NDArray[np.int64], most: int, most_pixels: int) -> NDArray[np.int64]:
    """Consecutive pixels in chunks of at most `most` tokens, or of one pixel: chunk c begins with pixel chunks[c]."""
    pixels = len(offsets) - 1
    chunks = np.empty(pixels + 1, np.int64)
    chunks[0] = 0
    count = 0
    for pixel in range(1, pixels + 1):
        first = chunks[count]
        if pixel == pixels or offsets[pixel + 1] - offsets[first] > most or pixel - first == most_pixels:
            count += 1
            chunks[count] = pixel
    return chunks[: count + 1]
