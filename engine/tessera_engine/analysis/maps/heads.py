"""Small ONNX networks from elsewhere that map embeddings: checked before anything runs them.

    input     one, float32: (pixels, K) for single pixels, or (1, K, height, width), axes named or fixed, for patches
    output    one, float32: (pixels, C) or (1, C, height, width): scores or probabilities of C classes, or with C = 1 a
              number
    metadata  classes: JSON list of names; model_sha256: of the embeddings' model; title: what is mapped. All optional

An ONNX file is a program with data, and anybody may have made it. A runtime would run any operator that it names and
open other files that it points to. So operators, attributes, sizes and values are compared with lists here and in
`head_walk`, and the shape of every tensor is followed, so that none grows beyond its input. The reach of a patch
network, how far a pixel sees, is computed: with so many pixels around each patch, the map is the one that the whole
scene at once would give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera_engine.analysis.maps.head_walk import MOST_CHANNELS, Shape, Walk
from tessera_engine.errors import ModelError
from tessera_engine.model.weights import check_storage, initializer_values, short

OPSETS = range(13, 24)
"""Before 13, Softmax of a patch was over all its pixels."""
IR_VERSIONS = range(4, 13)

MOST_NODES = 500
MOST_REACH = 256
"""Pixels that a network may see in each direction."""


@dataclass(frozen=True)
class Graph:
    """A checked network.

    Attributes:
        input: name of its input.
        output: name of its output.
        dim: values of an embedding.
        outputs: C.
        patches: whether it sees patches; if not, single pixels.
        reach: pixels around a pixel that it sees.
        step: a patch must begin at a multiple of so many pixels, and have a multiple of them.
        values: of all tensors together, for each pixel.
        probabilities: whether its output are probabilities already.
        metadata: texts by name.
    """

    input: str
    output: str
    dim: int
    outputs: int
    patches: bool
    reach: int
    step: int
    values: int
    probabilities: bool
    metadata: Mapping[str, str]


def check_head(model: Any, source: str) -> Graph:
    """Check a parsed file.

    Args:
        model: the `onnx.ModelProto`; no part of it has been run or unpacked.
        source: the file's name, for messages.

    Raises:
        ModelError: it may do what a small network doesn't; the message says what.
    """
    graph = model.graph
    opsets = [(entry.domain, entry.version) for entry in model.opset_import]
    known = [each for each in opsets if each[0] in ("", "ai.onnx") and each[1] in OPSETS]
    if len(opsets) != 1 or not known or model.ir_version not in IR_VERSIONS:
        raise ModelError(
            f"{source} has opset {str(opsets)[:80]} and IR version {model.ir_version}; expected one opset of ONNX from "
            f"{OPSETS[0]} to {OPSETS[-1]} and IR version {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}; export it again"
        )
    for what, parts in (
        ("functions", model.functions),
        ("training graphs", model.training_info),
        ("sparse initialisers", graph.sparse_initializer),
    ):
        if len(parts):
            raise ModelError(f"{source} has {what}, which no small network needs; it was not loaded")
    if not 1 <= len(graph.node) <= MOST_NODES:
        raise ModelError(f"{source} has {len(graph.node)} operators, expected 1 to {MOST_NODES}")
    weights = {tensor.name: tensor for tensor in graph.initializer}
    if len(weights) != len(graph.initializer):
        raise ModelError(f"{source} has two initialisers of one name; export it again")
    values = {}
    for name, tensor in weights.items():
        if not isinstance(name, str) or not name:
            raise ModelError(f"{source} has an initialiser without a name; export it again")
        check_storage(tensor, source)
        values[name] = initializer_values(tensor)
        if values[name].dtype.kind == "f" and not np.isfinite(values[name]).all():
            raise ModelError(f"{source}: {short(name)} has values that aren't finite; export it again")
    taken, given = _one(graph.input, weights, source), _one(graph.output, {}, source)
    patches, dim = _input(taken, source)
    walk = Walk(source, patches, values, {taken.name: Shape(dim, 1, 0)})
    for node in graph.node:
        if node.op_type == "Constant":
            walk.note(node)
        else:
            walk.take(node)
    found = walk.shapes.get(given.name)
    if found is None:
        raise ModelError(f"{source}: no operator gives the output {short(given.name)}; export it again")
    if found.step != 1 or not 1 <= found.channels <= 254:
        raise ModelError(
            f"{source} gives {found.channels} values for {found.step} x {found.step} pixels; expected 1 to 254 classes "
            "or a number for each pixel"
        )
    last = next(node for node in graph.node if given.name in node.output)
    if walk.reach > MOST_REACH:
        raise ModelError(f"{source} sees {walk.reach} pixels around each; expected at most {MOST_REACH}")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise ModelError(f"{source} has metadata that are not text; export it again")
    sure = last.op_type == "Softmax"
    return Graph(
        taken.name,
        given.name,
        dim,
        found.channels,
        patches,
        walk.reach,
        walk.step,
        math.ceil(walk.values),
        sure,
        metadata,
    )


def _one(values: Any, weights: Mapping[str, Any], source: str) -> Any:
    """The only input or output that isn't an initialiser; float32 and named.

    Raises:
        ModelError: there are more, or it is of another type.
    """
    from onnx import TensorProto

    found = [value for value in values if value.name not in weights]
    if len(found) != 1 or not isinstance(found[0].name, str) or not found[0].name:
        raise ModelError(
            f"{source} has {len(found)} inputs or outputs, expected one of each; export it again"
        )
    if found[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ModelError(f"{source}: {short(found[0].name)} is not float32; export it again")
    return found[0]


def _input(value: Any, source: str) -> tuple[bool, int]:
    """Whether the network sees patches, and the values of an embedding.

    Raises:
        ModelError: the input has other axes.
    """
    axes = value.type.tensor_type.shape.dim
    sizes = [axis.dim_value for axis in axes]  # 0 where the axis has a name only
    if len(sizes) not in (2, 4) or not 1 <= sizes[1] <= MOST_CHANNELS or sizes[0] not in (0, 1):
        raise ModelError(
            f"{source} takes {tuple(sizes)}; expected (pixels, K) or (1, K, height, width) with K dimensions of an "
            "embedding, and free axes for the pixels"
        )
    if any(sizes[2:]):
        raise ModelError(
            f"{source} takes patches of {sizes[2:]} pixels only; export it with dynamic height and width"
        )
    return len(sizes) == 4, int(sizes[1])
