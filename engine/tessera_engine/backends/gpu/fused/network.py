"""The fused network on a GPU: weights on the device, and the launches that embed a batch."""

from __future__ import annotations

from ctypes import c_int, c_uint64
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Codes, Result
from tessera_engine.backends.gpu.cuda import Argument, LaunchSize
from tessera_engine.backends.gpu.fused.launcher import Launcher
from tessera_engine.backends.gpu.fused.programs import Programs
from tessera_engine.backends.gpu.fused.weights import (
    BANDS,
    Arrays,
    branch_weights,
    fusion_weights,
    padded_head,
)
from tessera_engine.backends.gpu.held import Held
from tessera_engine.model.facts import ModelFacts
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_kernels.tiles import fill_tiles

HALF, FLOAT = 2, 4
"""Bytes."""


class Branch(NamedTuple):
    """Addresses of a branch's weights on the device."""

    name: str
    bands: int
    mat: int
    vec: int
    table: int


class GpuNetwork:
    """A model on a GPU. Its results have the same bits for any batch."""

    def __init__(self, device: Launcher, arrays: Arrays, facts: ModelFacts, programs: Programs) -> None:
        """Compile the kernels, and copy the weights to the device.

        Args:
            device: the GPU.
            arrays: the model file's initialisers.
            facts: of the model.
            programs: `find_programs(facts)`.

        Raises:
            OutOfDeviceMemory: too little memory for the weights.
            DeviceError: the driver can't compile the kernels.
        """
        self._device, self._facts, self._kernels = device, facts, programs.kernels
        self._functions = {
            name: device.load_program(kernel.ptx, name, kernel.shared)
            for name, kernel in self._kernels.items()
        }
        self._weights = Held(device)
        stream = device.make_stream()
        self._branches = []
        for name, bands in (("s2", facts.s2_bands), ("s1", facts.s1_bands)):
            weights = branch_weights(arrays, name, facts)
            places = (self._copy(f"{name} {part}", each, stream) for part, each in weights._asdict().items())
            self._branches.append(Branch(name, len(bands), *places))
        fusion = fusion_weights(arrays)
        self._mat, self._vec = (
            self._copy(f"fusion {part}", each, stream) for part, each in fusion._asdict().items()
        )
        device.synchronise(stream)

    def _copy(self, name: str, array: NDArray[Any], stream: int) -> int:
        address = self._weights.memory(name, array.nbytes)
        pinned = self._weights.array(name, array.nbytes)
        pinned[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._device.copy_in(address, pinned, stream)
        return address

    def close(self) -> None:
        """Release the weights."""
        self._weights.drop()

    def bytes_of(self, tokens: PackedTokens) -> NDArray[np.int64]:
        """(N,) about how much memory of the device each pixel takes in a batch."""
        facts = self._facts
        head = padded_head(facts.d_model // facts.num_heads)
        of_row = FLOAT * facts.d_model + HALF * 2 * facts.num_heads * head
        total = np.full(len(tokens), FLOAT * (2 * facts.d_model + 2 * facts.dims), np.int64)
        for branch, each in zip(self._branches, (tokens.s2, tokens.s1), strict=True):
            total += each.lengths * (FLOAT * (branch.bands + 4))
            total += np.where(each.lengths > self._longest, each.lengths * of_row, 0)
        return total

    @property
    def _longest(self) -> int:
        """Tokens of the longest pixel that `encode` takes."""
        encode = self._kernels.get("encode")
        return 0 if encode is None else encode.rows

    def begin(self, tokens: PackedTokens, prefix: int | None, held: Held, stream: int) -> Result:
        """Queue all work for a batch. What `held` has must not be used again until the stream is synchronised.

        Args:
            tokens: of the batch's pixels, at least one.
            prefix: dimensions to make codes of; None: embeddings are wanted.
            held: memory for this stream.
            stream: from `make_stream`.

        Returns:
            Pinned memory that has the result once the stream is synchronised.

        Raises:
            OutOfDeviceMemory: the batch is too large.
        """
        pixels, dims = len(tokens), self._facts.dims
        # The kernel writes all three; only what is asked for is copied back
        sizes = {
            "embedding": FLOAT * pixels * dims,
            "codes": pixels * (prefix or dims),
            "scales": FLOAT * pixels,
        }
        wanted = ("embedding",) if prefix is None else ("codes", "scales")
        arrays = {name: held.array(name, sizes[name]) for name in wanted}
        batch = _Batch(self._device, held, stream)
        # Before anything is queued: memory that grows later would be taken from under the first branch's work
        self._reserve(tokens, held)
        pooled = held.memory("pooled", FLOAT * pixels * 2 * self._facts.d_model)
        for column, branch, each in zip(
            (0, self._facts.d_model), self._branches, (tokens.s2, tokens.s1), strict=True
        ):
            self._encode(batch, branch, each, pooled, column)
        places = {name: held.memory(name, size) for name, size in sizes.items()}
        fuse = self._kernels["fuse"]
        self._launch(
            batch, "fuse", -(-pixels // fuse.rows),
            _addresses(pooled, self._mat, self._vec, *places.values()) + _numbers(pixels, prefix or dims),
        )  # fmt: skip
        for name, array in arrays.items():
            self._device.copy_out(array, places[name], stream)
        if prefix is None:
            return Result(arrays["embedding"].view(np.float32).reshape(pixels, dims))
        codes = arrays["codes"].view(np.int8).reshape(pixels, prefix)
        return Result(None, Codes(codes, arrays["scales"].view(np.float32)))

    def _reserve(self, tokens: PackedTokens, held: Held) -> None:
        """Memory for the rows of long pixels, which both branches use."""
        count = max(int(each.lengths[each.lengths > self._longest].sum()) for each in (tokens.s2, tokens.s1))
        if count:
            heads = self._facts.num_heads
            head = padded_head(self._facts.d_model // heads)
            held.memory("rows", FLOAT * count * self._facts.d_model)
            held.memory("keys", HALF * 2 * heads * count * head)

    def _encode(self, batch: _Batch, branch: Branch, tokens: Tokens, pooled: int, column: int) -> None:
        """Encode and pool one modality."""
        name = branch.name
        values, doy = batch.give(f"{name} values", tokens.values), batch.give(f"{name} doy", tokens.doy)
        multiplicity = batch.give(f"{name} multiplicity", tokens.multiplicity)
        goal = _numbers(2 * self._facts.d_model, column)
        is_long = tokens.lengths > self._longest
        short = np.flatnonzero(~is_long)
        if len(short):
            tiles = fill_tiles(tokens.offsets, short, self._kernels["encode"].rows)
            plan = [batch.give(f"{name} {part}", each) for part, each in tiles._asdict().items()]
            self._launch(
                batch, "encode", len(tiles.place),
                _addresses(values, doy, multiplicity, *plan, *branch[2:], pooled) + _numbers(branch.bands) + goal,
            )  # fmt: skip
        if is_long.any():
            rows = _long_rows(tokens, np.flatnonzero(is_long), self._kernels["layer_rows"].rows)
            places = [batch.give(f"{name} {part}", each) for part, each in rows._asdict().items()]
            self._encode_long(batch, branch, rows, places, (values, doy, multiplicity), (pooled, goal))

    def _encode_long(
        self,
        batch: _Batch,
        branch: Branch,
        rows: LongRows,
        places: list[int],
        tokens: tuple[int, int, int],
        goal: tuple[int, list[Argument]],
    ) -> None:
        facts = self._facts
        d, heads, ffn = facts.d_model, facts.num_heads, facts.ffn_dim
        head = padded_head(d // heads)
        token, blocks, pixels = places
        values, doy, multiplicity = tokens
        count, programs = len(rows.token), len(rows.blocks)
        x = batch.held.memory("rows", FLOAT * count * d)
        keys = batch.held.memory("keys", HALF * 2 * heads * count * head)
        self._launch(
            batch, "embed_rows", programs,
            _addresses(values, doy, token, blocks, *branch[2:], x) + _numbers(branch.bands),
        )  # fmt: skip
        mat, vec = branch.mat + HALF * (BANDS * d + d * d), branch.vec + FLOAT * 2 * d
        for _ in range(facts.num_layers):
            self._launch(
                batch, "project_rows", programs, _addresses(x, blocks, mat, vec, keys) + _numbers(count)
            )
            arguments = _addresses(x, multiplicity, token, blocks, mat, vec, keys) + _numbers(count)
            self._launch(batch, "layer_rows", programs, arguments)
            mat += HALF * (4 * heads * d * head + 2 * d * ffn)
            vec += FLOAT * (3 * heads * head + ffn + 6 * d)
        pooled, numbers = goal
        arguments = _addresses(x, multiplicity, token, pixels, vec, pooled) + numbers
        self._launch(batch, "pool_rows", len(rows.pixels), arguments)

    def _launch(self, batch: _Batch, name: str, programs: int, arguments: list[Argument]) -> None:
        kernel = self._kernels[name]
        size = LaunchSize(programs, kernel.warps, kernel.shared)
        # What Triton's own kernels have besides: two addresses of memory to work in, of which these use none
        self._device.launch(self._functions[name], size, [*arguments, *_addresses(0, 0)], batch.stream)


class LongRows(NamedTuple):
    """Pixels that don't fit into a tile, as rows one after the other.

    Attributes:
        token: (R,) int32 number of each row's token.
        blocks: (B, 4) int32: of each block its first row, how many, and its pixel's first row and end.
        pixels: (P, 3) int32: of each pixel its first row, its end, and its number.
    """

    token: NDArray[np.int32]
    blocks: NDArray[np.int32]
    pixels: NDArray[np.int32]


def _long_rows(tokens: Tokens, pixels: NDArray[np.int64], size: int) -> LongRows:
    """Args: the modality's tokens; numbers of its long pixels; rows of a block."""
    lengths = tokens.lengths[pixels]
    ends = np.cumsum(lengths)
    begins = ends - lengths
    own = np.arange(ends[-1]) - np.repeat(begins, lengths)
    token = np.repeat(tokens.offsets[pixels], lengths) + own
    # Every `size`th row of a pixel begins a block
    first = np.flatnonzero(own % size == 0)
    pixel_of = np.repeat(np.arange(len(pixels)), lengths)[first]
    end = ends[pixel_of]
    blocks = np.stack([first, np.minimum(size, end - first), begins[pixel_of], end], axis=1)
    return LongRows(
        token.astype(np.int32),
        blocks.astype(np.int32),
        np.stack([begins, ends, pixels], axis=1).astype(np.int32),
    )


class _Batch(NamedTuple):
    """Where a batch's arrays go."""

    device: Launcher
    held: Held
    stream: int

    def give(self, name: str, array: NDArray[Any]) -> int:
        """Copy an array to the device; gives its address there."""
        address, pinned = self.held.memory(name, array.nbytes), self.held.array(name, array.nbytes)
        pinned[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.device.copy_in(address, pinned, self.stream)
        return address


def _addresses(*addresses: int) -> list[Argument]:
    return [c_uint64(address) for address in addresses]


def _numbers(*numbers: int) -> list[Argument]:
    return [c_int(number) for number in numbers]
