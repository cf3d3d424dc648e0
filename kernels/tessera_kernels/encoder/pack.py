"""Packs a model's weights into the layout that the tiles read, once, when the model is loaded."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.encoder.layout import (
    BLOCK_ROWS,
    CACHE_LINE,
    LAYER,
    LOG2_E,
    SLACK_ROWS,
    Layer,
    Scratch,
    Sizes,
    Weights,
)
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.recurrent import CHUNK_PIXELS, score_weights


def up(n: int, multiple: int) -> int:
    """Round n up to a multiple."""
    return -(-n // multiple) * multiple


def aligned(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes that begin at a cache line."""
    buffer = np.zeros(size + CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE
    return buffer[start : start + size]


class Arena:
    """Collects arrays, then lays them out as one block of memory."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.memory = aligned(0)

    def put(self, values: NDArray[Any] | bytes) -> int:
        """Append; returns the offset."""
        data = values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
        offset = self._size
        self._parts += [data, bytes(-len(data) % CACHE_LINE)]
        self._size = up(offset + len(data), CACHE_LINE)
        return offset

    def close(self) -> int:
        """Lay everything out; returns the address that offsets count from."""
        # Reads of the weights end at most one register past the last tile
        self.memory = aligned(self._size + CACHE_LINE)
        self.memory[: self._size] = np.frombuffer(b"".join(self._parts), np.uint8)
        self._parts = []
        return int(self.memory.ctypes.data)


@dataclass(frozen=True)
class Linear:
    """y = x W + bias.

    Attributes:
        weight: (in, out) float32, or int8 or int16 with a scale.
        scale: (out,) float32: the real weight is weight * scale; None for float32.
        bias: (out,) float32.
    """

    weight: NDArray[Any]
    scale: NDArray[np.float32] | None
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], name: str) -> Linear:
        """The layer `name` of a model file's initialisers, in integers if it is in the file."""
        bias = arrays[f"{name}.bias"]
        for codes in (f"{name}.weight.int8", f"{name}.weight.int16"):
            if codes in arrays:
                return cls(arrays[codes], arrays[f"{name}.weight.scale"], bias)
        return cls(arrays[f"{name}.weight"], None, bias)

    def in_float(self) -> Linear:
        """The layer with float32 weights."""
        if self.scale is None:
            return self
        return Linear(self.weight * self.scale, None, self.bias)

    def columns(self, factor: NDArray[np.float32]) -> Linear:
        """The layer with its outputs multiplied by `factor` (out,)."""
        if self.scale is None:
            return Linear(self.weight * factor, None, self.bias * factor)
        return Linear(self.weight, self.scale * factor, self.bias * factor)

    def split(self, parts: int) -> list[Linear]:
        """Split the outputs into equal parts, a layer each."""
        scales = [None] * parts if self.scale is None else np.split(self.scale, parts)
        weights, biases = np.split(self.weight, parts, axis=1), np.split(self.bias, parts)
        return [Linear(*layer) for layer in zip(weights, scales, biases, strict=True)]

    def spread_rows(self, parts: int, width: int) -> Linear:
        """The inputs in `parts` equal parts, each padded with zeros to `width`."""
        split = self.weight.reshape(parts, -1, self.weight.shape[1])
        return Linear(
            pad(split, parts, width, split.shape[2]).reshape(parts * width, -1), self.scale, self.bias
        )


def pad(values: NDArray[Any], *shape: int) -> NDArray[Any]:
    """Add zeros at the end of each axis, up to a shape."""
    return np.pad(values, [(0, n - k) for n, k in zip(shape, values.shape, strict=True)])


def pack_tiles(plan: Plan, layer: Linear, vectors: int, signed: bool) -> bytes:
    """A layer's weights as tiles, see `tiles`.

    Args:
        plan: the kernel's.
        layer: in int8 or float32, as the plan.
        vectors: width of a tile.
        signed: whether the activations are -127..127 or 0..255.
    """
    a = plan.arithmetic
    width = vectors * a.lanes
    inputs, outputs = up(layer.weight.shape[0], a.group), up(layer.weight.shape[1], width)
    weight = pad(layer.weight, inputs, outputs)
    bias = pad(layer.bias, outputs).astype(np.float32)
    scale = np.zeros(outputs, np.float32) if layer.scale is None else pad(layer.scale, outputs)
    if a.is_float:
        correction = np.zeros(outputs, np.int32)
    else:
        correction = (-a.offset(signed) * weight.astype(np.int32).sum(axis=0)).astype(np.int32)
    stored = weight.astype({1: np.float32, 2: np.int16, 4: np.int8}[a.group])
    groups = stored.reshape(inputs // a.group, a.group, outputs).transpose(0, 2, 1)
    parts = []
    for start in range(0, outputs, width):
        tile = slice(start, start + width)
        parts += [scale[tile], bias[tile], correction[tile], groups[:, tile]]
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


class PackedBranch:
    """One branch's weights, packed for a plan."""

    def __init__(
        self, plan: Plan, arrays: Mapping[str, NDArray[Any]], prefix: str, heads: int, layers: int
    ) -> None:
        self.plan = plan
        self.arena = Arena()
        a = plan.arithmetic
        tile = plan.gemm_vectors * a.lanes
        bands, width = arrays[f"{prefix}.embedding.0.weight"].shape
        head_dim = width // heads
        padded = up(width, tile)
        head_group_width = up(head_dim, a.group)
        ffn = up(arrays[f"{prefix}.layers.0.up.bias"].shape[0], tile)
        context_groups = heads * head_group_width // a.group
        value_row = max(padded * a.value_bytes, up(context_groups, a.lanes) * 4)
        self.padded = padded
        self.sizes = Sizes(
            bands=bands,
            width=width,
            heads=heads,
            layers=layers,
            tile_bytes=4 * tile,
            row_bytes=4 * padded,
            # One cache line more than the row, so that rows don't compete for the same sets of the cache
            value_row_bytes=up(value_row, CACHE_LINE) + CACHE_LINE,
            width_groups=up(width, a.group) // a.group,
            ffn_bytes=4 * ffn,
            ffn_value_bytes=ffn * a.value_bytes,
            ffn_groups=up(arrays[f"{prefix}.layers.0.up.bias"].shape[0], a.group) // a.group,
            head_bytes=plan.head_width * a.value_bytes,
            head_dim=head_dim,
            head_groups=head_group_width // a.group,
            context_groups=context_groups,
            group=a.group,
            queries=plan.queries,
            rows_together=plan.rows_together,
            tile_rows=plan.tile_rows,
            vector_bytes=4 * a.lanes,
            query_vectors=plan.query_vectors,
        )
        first = arrays[f"{prefix}.embedding.0.weight"], arrays[f"{prefix}.embedding.0.bias"]
        stacked = pad(np.vstack([first[1][None], first[0]]).astype(np.float32), bands + 1, padded)
        put = self.arena.put
        places = [
            put(stacked.reshape(bands + 1, -1, tile).transpose(1, 0, 2)),
            put(pad(arrays[f"{prefix}.day_of_year"].astype(np.float32), 367, padded)),
            put(pack_tiles(plan, Linear.of(arrays, f"{prefix}.embedding.1"), plan.gemm_vectors, False)),
            # The pooling's bias is left out: it is the same for all tokens, so softmax doesn't depend on it
            put(
                pad(
                    score_weights(arrays, prefix)
                    if plan.recurrent
                    else arrays[f"{prefix}.pool.weight"][:, 0] * LOG2_E,
                    padded,
                ).astype(np.float32)
            ),
        ]
        gates = [
            [
                put(pack_tiles(plan, gate, plan.gemm_vectors, True))
                for gate in self._gates(arrays, name, width)
            ]
            for name in (f"{prefix}.gru.input", f"{prefix}.gru.hidden")
            if plan.recurrent
        ] or [[], []]
        table = [self._put_layer(arrays, f"{prefix}.layers.{n}", heads, head_dim) for n in range(layers)]
        address = self.arena.close()
        bands_at, day_of_year, embedding, pool = (address + place for place in places)
        input_gates, hidden_gates = (np.array(each, np.int64) + address for each in gates)
        table_at = np.array([tuple(address + place for place in layer) for layer in table], LAYER)
        self.weights = Weights(
            bands_at, day_of_year, embedding, pool, input_gates, hidden_gates, table_at
        )  # fmt: skip

    @staticmethod
    def _gates(arrays: Mapping[str, NDArray[Any]], name: str, width: int) -> list[Linear]:
        """The gates r, z and n, which a model file stores side by side; those of the state have no bias."""
        none = {f"{name}.bias": np.zeros(3 * width, np.float32)}
        return Linear.of(none | dict(arrays), name).split(3)

    def _put_layer(self, arrays: Mapping[str, NDArray[Any]], name: str, heads: int, head_dim: int) -> Layer:
        """Pack one layer; its addresses are offsets for now."""
        plan, put = self.plan, self.arena.put
        qkv = Linear.of(arrays, f"{name}.qkv")
        to_scores = np.float32(LOG2_E / np.sqrt(np.float32(head_dim)))
        factor = np.ones(3 * heads * head_dim, np.float32)
        norms = [np.ones(head_dim, np.float32)] * 2
        if plan.qk_norm:
            norms = [arrays[f"{name}.q_norm.weight"] * to_scores, arrays[f"{name}.k_norm.weight"]]
        else:
            factor[: heads * head_dim] = to_scores
        qkv = qkv.columns(factor)
        out = Linear.of(arrays, f"{name}.out").spread_rows(heads, up(head_dim, plan.arithmetic.group))

        def whole(values: NDArray[Any], width: int) -> int:
            return put(pad(values.astype(np.float32), width))

        return Layer(
            qkv=put(b"".join(pack_tiles(plan, part, plan.gemm_vectors, True) for part in qkv.split(3))),
            out=put(pack_tiles(plan, out, plan.gemm_vectors, True)),
            up=put(pack_tiles(plan, Linear.of(arrays, f"{name}.up"), plan.gemm_vectors, True)),
            down=put(pack_tiles(plan, Linear.of(arrays, f"{name}.down"), plan.gemm_vectors, False)),
            norm1_weight=whole(arrays[f"{name}.norm1.weight"], self.padded),
            norm1_bias=whole(arrays[f"{name}.norm1.bias"], self.padded),
            norm2_weight=whole(arrays[f"{name}.norm2.weight"], self.padded),
            norm2_bias=whole(arrays[f"{name}.norm2.bias"], self.padded),
            q_norm=whole(norms[0], plan.head_width),
            k_norm=whole(norms[1], plan.head_width),
        )

    def scratch(self, max_rows: int, longest: int, max_steps: int) -> tuple[Scratch, int]:
        """Lay out one thread's buffers, from address 0 on; returns them and how many bytes they take.

        Args:
            max_rows: tokens of the largest chunk, `SLACK_ROWS` included.
            longest: tokens of the longest pixel.
            max_steps: steps of the recurrence over the largest chunk; 0 without one.
        """
        z, plan = self.sizes, self.plan
        parts = 3 * z.heads
        tokens = up(longest, 32) + SLACK_ROWS
        together = CHUNK_PIXELS + SLACK_ROWS if plan.recurrent else 0
        query_bytes = z.query_vectors * z.vector_bytes
        lanes = plan.arithmetic.lanes
        sizes = Scratch(
            max_rows=0,
            x=max_rows * z.row_bytes,
            values=max_rows * z.value_row_bytes,
            wide=BLOCK_ROWS * max(z.row_bytes, z.ffn_bytes),
            hidden=(BLOCK_ROWS + SLACK_ROWS) * z.ffn_value_bytes,
            scales=max_rows * 4,
            factors=(max_rows + BLOCK_ROWS) * 4,
            means=(BLOCK_ROWS + SLACK_ROWS) * 4,
            maxima=(BLOCK_ROWS + SLACK_ROWS) * z.vector_bytes,
            qkv=parts * max_rows * z.head_bytes + SLACK_ROWS * z.head_bytes,
            qkv_scales=parts * max_rows * 4 + SLACK_ROWS * 4,
            bias=4 * (tokens + SLACK_ROWS),
            interleaved=z.heads * (tokens + 2 * z.group) * z.head_bytes + SLACK_ROWS * z.head_bytes,
            key_weights=z.heads * 4 * (tokens + z.group + 1) + z.vector_bytes,
            scores=max(tokens * query_bytes, 4 * tokens),
            p=tokens * query_bytes,
            queries=up(z.head_groups, lanes) * query_bytes,
            context=(z.heads * z.head_groups * z.group + lanes * z.group + SLACK_ROWS) * query_bytes,
            query_maxima=query_bytes,
            factor=query_bytes,
            bands=max_rows * z.bands * 4,
            gates=3 * max_rows * z.row_bytes if plan.recurrent else 0,
            states=4 * together * z.row_bytes,
            state_values=together * z.value_row_bytes,
            state_scales=together * 4,
            state_factors=together * 4,
            logits=max_steps * 4,
        )
        # A cache line between buffers, and threads not at the same offset of a page
        rounded = [up(size, CACHE_LINE) + CACHE_LINE for size in sizes[1:]]
        offsets = [0, *itertools.accumulate(rounded)]
        return Scratch(max_rows, *offsets[:-1]), up(offsets[-1], 4096) + 5 * CACHE_LINE
