"""The whole network as numba kernels over packed tokens, in int8 or float32, for this machine's CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.encoder.branch import run_branch
from tessera_kernels.encoder.fusion import PackedFusion, run_fusion
from tessera_kernels.encoder.layout import LOG2_E, SLACK_ROWS, Batch, Floats
from tessera_kernels.encoder.pack import PackedBranch, aligned, up
from tessera_kernels.encoder.plan import Arithmetic, make_fusion_plan, make_plan
from tessera_kernels.encoder.recurrent import CHUNK_PIXELS
from tessera_kernels.sequence import sequence_steps
from tessera_kernels.threads import get_threads, in_threads

CHUNK_TOKENS = {False: 256, True: 1024}
"""Tokens that a thread takes at once, without a recurrence and with one: enough rows for the tiles, few enough for the
second-level cache. A recurrence needs many pixels at once, since each step reads all of its weights."""

BRANCHES = ("s2", "s1")

Tokens = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]
"""One modality of N pixels: values (M, bands) float32, day of year (M,) int32, multiplicity (M,) float32 and offsets
(N + 1,) int64. Pixel p has the tokens offsets[p] to offsets[p + 1] - 1."""


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
        self._fusion_plan = make_fusion_plan(self.plan)
        self._repeats_at_end = "fusion.1.bias" in arrays  # v1.1, and not v1.0
        self._branches = [PackedBranch(self.plan, arrays, name, heads, layers) for name in BRANCHES]
        self._fusion = PackedFusion(self._fusion_plan, arrays, self._branches[0].padded, not recurrent)
        self.dims = self._fusion.sizes.dims
        self._scratch = aligned(0)

    def _scratch_for(self, each: int, threads: int) -> int:
        """The address of scratch for all threads, `each` bytes a thread."""
        if self._scratch.size < each * threads:
            self._scratch = aligned(each * threads)
        return int(self._scratch.ctypes.data)

    def run(self, s2: Tokens, s1: Tokens) -> NDArray[np.float32]:
        """Embed packed pixels.

        Args:
            s2: Sentinel-2 tokens; every pixel has at least one. Distinct ones with their multiplicities, for v1 too.
            s1: Sentinel-1 tokens of the same pixels.

        Returns:
            (N, dims) float32.
        """
        pixels, width = len(s2[3]) - 1, self._branches[0].padded
        # Rows after the last one are read by the last block of the fusion
        pooled = np.zeros((pixels + SLACK_ROWS, 2 * width), np.float32)
        works = []
        for i, (branch, tokens) in enumerate(zip(self._branches, (s2, s1), strict=True)):
            out = Floats(pooled.ctypes.data + i * 4 * width, pooled.strides[0])
            works.append(_BranchWork(branch, tokens, self._repeats_at_end, out))
        threads, each = get_threads(), max(work.scratch_bytes for work in works)
        base = self._scratch_for(each, threads)

        def run_branches(thread: int) -> None:
            for work in works:  # whoever finds no more work in one goes on with the next
                work.take_part(base + thread * each)

        in_threads(run_branches, threads)
        return self._fuse(pooled.ctypes.data, pixels)

    def _fuse(self, pooled: int, pixels: int) -> NDArray[np.float32]:
        """Embed rows of both branches' vectors, which begin at an address."""
        fusion = self._fusion
        # Whole registers are written: a narrower row would spill into the next one, or out of the array
        embedding = np.empty((pixels, up(self.dims, self.plan.arithmetic.lanes)), np.float32)
        layout, each = fusion.scratch()
        threads, taken = get_threads(), np.zeros(1, np.int64)
        base = self._scratch_for(each, threads)

        def work(thread: int) -> None:
            own = layout.moved(base + thread * each)
            run_fusion(self._fusion_plan, fusion.sizes, fusion.weights, own, pooled, taken, embedding)

        in_threads(work, threads)
        return np.ascontiguousarray(embedding[:, : self.dims])


class _BranchWork:
    """One branch's work on all pixels, of which threads take chunks.

    Attributes:
        scratch_bytes: what each thread needs.
    """

    def __init__(self, branch: PackedBranch, tokens: Tokens, repeats_at_end: bool, out: Floats) -> None:
        """Divide the pixels into chunks.

        Args:
            branch: its weights.
            tokens: as for `Network.run`.
            repeats_at_end: see `sequence_steps`; of no account without a recurrence.
            out: rows for each pixel's vector.
        """
        values, doy, multiplicity, offsets = tokens
        self._branch, self._out = branch, out
        recurrent = branch.plan.recurrent
        steps, step_offsets = np.empty(0, np.int64), np.zeros(1, np.int64)
        if recurrent:
            steps, step_offsets = sequence_steps(multiplicity, offsets, repeats_at_end)
        self._chunks = _chunks(offsets, CHUNK_TOKENS[recurrent], CHUNK_PIXELS if recurrent else len(offsets))
        self._taken = np.zeros(1, np.int64)
        max_steps = int(np.diff(step_offsets[self._chunks]).max(initial=0)) if recurrent else 0
        max_rows = int(np.diff(offsets[self._chunks]).max(initial=0)) + SLACK_ROWS
        longest = int(np.diff(offsets).max(initial=1))
        self._layout, self.scratch_bytes = branch.scratch(max_rows, longest, max_steps)
        # Kept, since the batch has their addresses only
        self._arrays = (
            np.ascontiguousarray(values, np.float32),
            np.ascontiguousarray(doy, np.int32),
            np.log(multiplicity) * LOG2_E,
        )
        at_values, at_doy, at_bias = (array.ctypes.data for array in self._arrays)
        self._batch = Batch(at_values, at_doy, at_bias, offsets, steps, step_offsets)

    def take_part(self, scratch: int) -> None:
        """Work on chunks that nobody has taken, until none is left.

        Args:
            scratch: address of the thread's own `scratch_bytes`.
        """
        branch, own = self._branch, self._layout.moved(scratch)
        run_branch(
            branch.plan, branch.sizes, branch.weights, own, self._batch, self._chunks, self._taken, self._out
        )


@kernel()
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
