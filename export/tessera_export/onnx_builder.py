"""An ONNX graph under construction, from nodes, weights and constants. `onnx_graph` and `gpu_files` build with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

from tessera_engine.model.layout import VERSIONS, Versions
from tessera_engine.model.weights import CONSTANT_PREFIX

Weights = dict[str, NDArray[np.float32]]


class Graph:
    """A graph under construction. Each method adds something to it and returns the name of what it added.

    Attributes:
        weights: the model's weights, by the names of their initialisers; matrices are (in, out).
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output. An input '' is left out."""
        return self.nodes(operator, *inputs, outputs=[output or self._new_name(operator)], **attributes)[0]

    def nodes(self, operator: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """Add a node with several outputs."""
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def split(self, x: str, sizes: Sequence[int], axis: int) -> Sequence[str]:
        """Split x into parts along an axis."""
        name = self._new_name("Split")
        outputs = [f"{name}.{i}" for i in range(len(sizes))]
        return self.nodes("Split", x, self.constant(sizes, np.int64), outputs=outputs, axis=axis)

    def constant(self, value: ArrayLike, dtype: type[np.generic]) -> str:
        """Add a value that is not a weight of the model, like a shape or a factor."""
        return self.initializer(f"{CONSTANT_PREFIX}{len(self._initializers)}", np.asarray(value, dtype))

    def initializer(self, name: str, value: NDArray[Any]) -> str:
        """Add a tensor under a name."""
        self._initializers[name] = numpy_helper.from_array(value, name)
        return name

    def weight(self, name: str, dtype: type[np.generic] = np.float32) -> str:
        """Add the model's weight of that name, stored as `dtype`."""
        return self.initializer(name, self.weights[name].astype(dtype, copy=False))

    def model(
        self, inputs: list[onnx.ValueInfoProto], output: onnx.ValueInfoProto, versions: Versions = VERSIONS
    ) -> onnx.ModelProto:
        """The finished graph as a model, with versions of opset and IR."""
        graph = helper.make_graph(
            self._nodes, "tessera", inputs, [output], initializer=list(self._initializers.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", versions.opset)],
            ir_version=versions.ir,
            producer_name="tessera-engine",
        )

    def _new_name(self, operator: str) -> str:
        return f"{operator}.{len(self._nodes)}"


Linear = Callable[[Graph, str, str], str]
"""(graph, x, name) -> x @ `name.weight` + `name.bias` for x (N, in), in some precision."""


Matrix = Callable[[Graph, str], str]
"""(graph, name) -> the float32 matrix `name.weight`, for operators without an integer form."""


@dataclass(frozen=True)
class Precision:
    """How weights are stored and multiplied."""

    linear: Linear
    matrix: Matrix


def linear(graph: Graph, x: str, name: str) -> str:
    """Multiply in float32. Gemm, not MatMul: runtimes add its bias, and apply a ReLU after it, in the same pass."""
    return graph.node("Gemm", x, graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias"))


def matrix(graph: Graph, name: str) -> str:
    """Take the matrix as it is stored, in float32."""
    return graph.weight(f"{name}.weight")


FLOAT32 = Precision(linear, matrix)
