"""The network's weights in the form of GPU graphs: with the attention's scale included, and with padded heads."""

from __future__ import annotations

import numpy as np

from tessera_engine.model.layout import gpu_head_dim
from tessera_export.onnx_builder import Weights
from tessera_export.onnx_graph import named_weights
from tessera_export.reference import Reference


def gpu_weights(model: Reference) -> Weights:
    """The weights by the names of the model file, float32.

    The queries' weights and biases (with qk_norm: the norm's weights) are multiplied by head_dim ** -0.5. Each head of
    q, k and v is padded with zeros up to `gpu_head_dim` channels, and `out` has zero rows for them, so the sums stay
    the same.
    """
    config = model.config
    weights = named_weights(model)
    heads, head_dim = config.num_heads, config.head_dim
    added = gpu_head_dim(head_dim, config.qk_norm) - head_dim
    scale = np.float32(head_dim**-0.5)
    for layer in (
        f"{branch}.layers.{index}" for branch in ("s2", "s1") for index in range(config.num_layers)
    ):
        for name in (f"{layer}.qkv.weight", f"{layer}.qkv.bias"):
            parts = weights[name].reshape(-1, 3, heads, head_dim).copy()
            if not config.qk_norm:
                parts[:, 0] *= scale
            parts = np.pad(parts, ((0, 0), (0, 0), (0, 0), (0, added)))
            weights[name] = parts.reshape(*weights[name].shape[:-1], -1)
        if config.qk_norm:
            weights[f"{layer}.q_norm.weight"] = weights[f"{layer}.q_norm.weight"] * scale
        rows = weights[f"{layer}.out.weight"].reshape(heads, head_dim, -1)
        weights[f"{layer}.out.weight"] = np.pad(rows, ((0, 0), (0, added), (0, 0))).reshape(-1, rows.shape[2])
    return weights
