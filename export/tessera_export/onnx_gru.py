"""The recurrence of v1 as ONNX's operator GRU, which can compute exactly the same.

TESSERA: h' = (1 - z) * h + z * n, n = tanh(W_ih x + W_hh (r * h) + b_h). ONNX with linear_before_reset=0 has the same
n, but h' = (1 - z) * n + z * h: its z is one minus ours. Since 1 - sigmoid(a) = sigmoid(-a), the weights and the bias
of z are negated. (torch.nn.GRU is another recurrence: exporting it gives linear_before_reset=1.)
"""

from __future__ import annotations

import numpy as np

from tessera_export.onnx_builder import Graph, Matrix


def recurrence(graph: Graph, x: str, name: str, matrix: Matrix) -> str:
    """All states of the recurrence `name` over tokens x (B, T, d), from zero: (B, T, d).

    The filling after a pixel's tokens has states too. They don't change earlier ones.
    """
    d = len(graph.weights[f"{name}.hidden.weight"])
    weight, recurrent = (
        graph.node("Transpose", _onnx_gates(graph, matrix(graph, f"{name}.{part}"), d, axis=1), perm=[1, 0])
        for part in ("input", "hidden")
    )  # (3d, d)
    bias = _onnx_gates(graph, graph.weight(f"{name}.input.bias"), d, axis=0)  # (3d,)
    none = graph.node("Mul", bias, graph.constant(0, np.float32))
    bias = graph.node("Concat", bias, none, axis=0)
    direction = graph.constant([0], np.int64)  # one direction
    weight, recurrent, bias = (graph.node("Unsqueeze", part, direction) for part in (weight, recurrent, bias))
    x = graph.node("Transpose", x, perm=[1, 0, 2])  # (T, B, d)
    states = graph.node("GRU", x, weight, recurrent, bias, hidden_size=d, linear_before_reset=0)
    states = graph.node("Squeeze", states, graph.constant([1], np.int64))  # (T, B, d)
    return graph.node("Transpose", states, perm=[1, 0, 2])


def _onnx_gates(graph: Graph, side_by_side: str, d: int, axis: int) -> str:
    """Gates r, z, n in the order of ONNX: 1 - z, r, n."""
    r, z, n = graph.split(side_by_side, [d, d, d], axis)
    return graph.node("Concat", graph.node("Mul", z, graph.constant(-1, np.float32)), r, n, axis=axis)
