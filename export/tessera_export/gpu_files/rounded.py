"""Runs a GPU graph on the CPU, operator by operator, and rounds each float16 tensor to float16 as a GPU does.

On a CPU without float16 arithmetic, ONNX Runtime computes such graphs in float32 throughout, and float16 seems to drift
very little. Here each operator computes in float32 and rounds its result to the tensor's type. A GPU rounds less often
where it fuses several operators into one kernel, so its drift should be the same or smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from tessera_engine.model.file import OUTPUT_NAME

Operator = Callable[..., "Tensor | tuple[Tensor, ...]"]


class RoundedNetwork:
    """Runs a graph of `tessera_export.gpu_files.graph` on rectangles of tokens."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
        self._is_half = {name for name, kind in types.items() if kind == TensorProto.FLOAT16}
        self._constants = {
            tensor.name: _tensor(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer
        }
        self._nodes = list(model.graph.node)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Embed a rectangle of tokens: the graph's inputs by name -> (B, dims) float32."""
        values = self._constants | {name: _tensor(array) for name, array in inputs.items()}
        with torch.inference_mode():
            for node in self._nodes:
                attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
                result = OPERATORS[node.op_type](*(values[name] for name in node.input), **attributes)
                results = result if isinstance(result, tuple) else (result,)
                for name, value in zip(node.output, results, strict=True):
                    values[name] = value.half().float() if name in self._is_half else value
        embedding: NDArray[np.float32] = values[OUTPUT_NAME].numpy()
        return embedding


def _tensor(array: NDArray[Any]) -> Tensor:
    """Floats and codes become float32; other dtypes stay."""
    is_number = array.dtype in (np.float16, np.float32, np.int8)
    return torch.from_numpy(np.array(array, np.float32 if is_number else None))


def _reshape(x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())])


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, axis: int, epsilon: float) -> Tensor:
    return F.layer_norm(x, x.shape[axis:], weight, bias, epsilon)


def _quantize(x: Tensor, scale: Tensor, zero: Tensor, axis: int = 1) -> Tensor:
    return (x / scale).round().clamp(-128, 127)


def _dequantize(x: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int = 1) -> Tensor:
    """Several scales occur only along the last axis, so no axis is needed."""
    return x * scale


def _gru(
    x: Tensor, weight: Tensor, hidden: Tensor, bias: Tensor, hidden_size: int, linear_before_reset: int
) -> Tensor:
    """ONNX's operator, gates z, r, h, forward and with linear_before_reset 0: (T, B, in) -> (T, 1, B, hidden)."""
    from_x = x @ weight[0].T + bias[0, : 3 * hidden_size] + bias[0, 3 * hidden_size :]
    hidden_zr, hidden_h = hidden[0, : 2 * hidden_size].T, hidden[0, 2 * hidden_size :].T
    state = x.new_zeros(x.shape[1], hidden_size)
    states = []
    for step in from_x:
        gates = torch.sigmoid(step[:, : 2 * hidden_size] + state @ hidden_zr)
        z, r = gates[:, :hidden_size], gates[:, hidden_size:]
        new = torch.tanh(step[:, 2 * hidden_size :] + (r * state) @ hidden_h)
        state = (1 - z) * new + z * state
        states.append(state)
    return torch.stack(states)[:, None]


OPERATORS: dict[str, Operator] = {
    "Add": torch.add,
    "Cast": lambda x, to: x,  # the result is rounded like that of any operator
    "Concat": lambda *parts, axis: torch.cat(parts, dim=axis),
    "DequantizeLinear": _dequantize,
    "Div": torch.div,
    "GRU": _gru,
    "Gather": lambda table, rows, axis: table[rows.long()],
    "LayerNormalization": _layer_norm,
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Max": torch.maximum,
    "Mul": torch.mul,
    "QuantizeLinear": _quantize,
    "ReduceMean": lambda x, axes, keepdims: x.mean(axes.tolist(), keepdim=bool(keepdims)),
    "Relu": torch.relu,
    "Reshape": _reshape,
    "Softmax": lambda x, axis: torch.softmax(x, dim=axis),
    "Split": lambda x, sizes, axis: x.split(sizes.tolist(), dim=axis),
    "Sqrt": torch.sqrt,
    "Squeeze": lambda x, axes: x.squeeze(axes.tolist()),
    "Transpose": lambda x, perm: x.permute(perm),
    "Unsqueeze": _unsqueeze,
}
