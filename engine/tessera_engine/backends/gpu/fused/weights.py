"""A model file's weights in the order in which the GPU's kernels read them.

Matrices are float16, row-major, (inputs, outputs). Biases, norms and the table of days are float32. Of a branch, with D
channels, H heads of h channels filled up with zeros to HP, and F hidden channels:

    mat   embedding.0 (16, D), bands filled up with zeros; embedding.1 (D, D); and of each layer: queries, keys, values
          (3, H, D, HP); out (H, HP, D); up (D, F); down (F, D)
    vec   embedding.0 (D), embedding.1 (D); and of each layer: queries, keys, values (3, H, HP); out (D); norm1, its
          weight and bias (2, D); up (F); down (D); norm2 (2, D); last of all pool (D)

The attention's scale and log2(e) are in the queries, log2(e) in the pool's weights: the kernels compute powers of two.
The pool's bias is left out, because a softmax doesn't change when all its logits grow by the same number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.model.facts import GPU_PRECISIONS, ModelFacts

LOG2_E = np.float32(math.log2(math.e))

BANDS = 16
"""Rows of the first matrix: the least that a product on tensor cores takes."""

HEAD_MULTIPLE = 16
"""A head's channels in the kernels are a multiple of this."""

Arrays = Mapping[str, NDArray[Any]]


class Branch(NamedTuple):
    """Weights of one branch, see this module.

    Attributes:
        mat: (n,) float16.
        vec: (n,) float32.
        table: (367, D) float32.
    """

    mat: NDArray[np.float16]
    vec: NDArray[np.float32]
    table: NDArray[np.float32]


class Fusion(NamedTuple):
    """Weights of the MLP: fusion.0 (2D, E), fusion.1 (E, dims); biases fusion.0, the norm's two (E), fusion.1."""

    mat: NDArray[np.float16]
    vec: NDArray[np.float32]


def padded_head(head_dim: int) -> int:
    """Channels of a head in the kernels."""
    return -(-head_dim // HEAD_MULTIPLE) * HEAD_MULTIPLE


def branch_weights(arrays: Arrays, branch: str, facts: ModelFacts) -> Branch:
    """The weights of a v2 branch, `s2` or `s1`.

    Args:
        arrays: the model file's initialisers, of any precision but qdq.
        branch: its name in the file.
        facts: of the model.
    """
    first = _matrix(arrays, f"{branch}.embedding.0")
    matrices = [np.pad(first, ((0, BANDS - len(first)), (0, 0))), _matrix(arrays, f"{branch}.embedding.1")]
    vectors = [arrays[f"{branch}.embedding.0.bias"], arrays[f"{branch}.embedding.1.bias"]]
    for layer in (f"{branch}.layers.{index}" for index in range(facts.num_layers)):
        weights, biases = _heads(arrays, layer, facts)
        matrices += [*weights, _matrix(arrays, f"{layer}.up"), _matrix(arrays, f"{layer}.down")]
        vectors += [biases, arrays[f"{layer}.out.bias"], *_norm(arrays, f"{layer}.norm1")]
        vectors += [
            arrays[f"{layer}.up.bias"],
            arrays[f"{layer}.down.bias"],
            *_norm(arrays, f"{layer}.norm2"),
        ]
    vectors.append(arrays[f"{branch}.pool.weight"] * LOG2_E)
    return Branch(
        _joined(matrices, np.float16),
        _joined(vectors, np.float32),
        np.ascontiguousarray(arrays[f"{branch}.day_of_year"], np.float32),
    )


def fusion_weights(arrays: Arrays) -> Fusion:
    """The weights of the MLP that fuses the branches."""
    matrices = [_matrix(arrays, "fusion.0"), _matrix(arrays, "fusion.1")]
    vectors = [arrays["fusion.0.bias"], *_norm(arrays, "fusion.norm"), arrays["fusion.1.bias"]]
    return Fusion(_joined(matrices, np.float16), _joined(vectors, np.float32))


def _heads(
    arrays: Arrays, layer: str, facts: ModelFacts
) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """Queries, keys and values by head, with heads filled up; and the output projection likewise."""
    d, heads = facts.d_model, facts.num_heads
    weight = _matrix(arrays, f"{layer}.qkv").reshape(d, 3, heads, -1).transpose(1, 2, 0, 3)
    bias = arrays[f"{layer}.qkv.bias"].astype(np.float32).reshape(3, heads, -1)
    out = _matrix(arrays, f"{layer}.out").reshape(heads, -1, d)
    # Files for GPUs have the scale in the queries
    scale = np.float32(1.0) if facts.precision in GPU_PRECISIONS else np.float32((d // heads) ** -0.5)
    factor = np.array([scale * LOG2_E, 1, 1], np.float32)
    free = padded_head(d // heads) - weight.shape[-1]
    return (
        [
            np.pad(weight * factor[:, None, None, None], ((0, 0), (0, 0), (0, 0), (0, free))),
            np.pad(out, ((0, 0), (0, free), (0, 0))),
        ],
        np.pad(bias * factor[:, None, None], ((0, 0), (0, 0), (0, free))),
    )


def _matrix(arrays: Arrays, name: str) -> NDArray[np.float32]:
    """(inputs, outputs) float32, also of an int8 file, whose fusion is in int16."""
    codes = arrays.get(f"{name}.weight.int8", arrays.get(f"{name}.weight.int16"))
    if codes is None:
        return arrays[f"{name}.weight"].astype(np.float32)
    weight: NDArray[np.float32] = codes * arrays[f"{name}.weight.scale"].astype(np.float32)
    return weight


def _norm(arrays: Arrays, name: str) -> list[NDArray[Any]]:
    return [arrays[f"{name}.weight"], arrays[f"{name}.bias"]]


def _joined(parts: list[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
    return np.concatenate([part.reshape(-1) for part in parts]).astype(dtype)
