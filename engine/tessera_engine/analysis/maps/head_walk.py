"""The operators that a small network from elsewhere may have, and the shape of every tensor that they give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from tessera_engine.errors import ModelError
from tessera_engine.model.weights import check_storage, initializer_values, short

MOST_CHANNELS = 4096
MOST_VALUES = 20_000
"""Values of all tensors together for each pixel."""

ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Max", "Min")
ACTIVATIONS = {
    **dict.fromkeys(("Relu", "Sigmoid", "Tanh", "Identity", "Erf", "Softplus", "HardSwish"), ()),
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Gelu": ("approximate",),
    "Clip": (),
    "Dropout": ("seed",),
}
COORDINATES = (b"half_pixel", b"pytorch_half_pixel", b"asymmetric")
WINDOWED = ("kernel_shape", "strides", "pads", "dilations", "auto_pad")
OPERATORS: Mapping[str, tuple[str, ...]] = {
    **ACTIVATIONS,
    **dict.fromkeys(ELEMENTWISE, ()),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "MatMul": (),
    "Softmax": ("axis",),
    "LogSoftmax": ("axis",),
    "Conv": (*WINDOWED, "group"),
    "ConvTranspose": (*WINDOWED, "group", "output_padding"),
    "MaxPool": (*WINDOWED, "ceil_mode", "storage_order"),
    "AveragePool": (*WINDOWED, "ceil_mode", "count_include_pad"),
    "BatchNormalization": ("epsilon", "momentum", "training_mode", "spatial"),
    "LayerNormalization": ("axis", "epsilon", "stash_type"),
    "Concat": ("axis",),
    "Resize": ("mode", "coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a"),
}
"""Operators that may occur, and the attributes that each may have. None contains a graph or a function."""


class Shape(NamedTuple):
    """What is known of a tensor in the graph.

    Attributes:
        channels: its second axis.
        step: pixels of the input from one of its pixels to the next; 1 for single pixels.
        reach: pixels of the input that one of its pixels sees, in each direction.
    """

    channels: int
    step: int
    reach: int


class Walk:
    """Follows the shape of each tensor through a graph, and refuses what isn't in the lists.

    Attributes:
        shapes: of the tensors that depend on the input.
        reach: the largest of them.
        step: the largest of them; all of them divide it.
        values: of all of them together, for each pixel.
    """

    def __init__(
        self, source: str, patches: bool, weights: dict[str, NDArray[Any]], shapes: dict[str, Shape]
    ) -> None:
        self.source, self.patches, self.weights, self.shapes = source, patches, weights, shapes
        self.reach, self.step, self.values = 0, 1, 0.0

    def note(self, node: Any) -> None:
        """Take a constant in the graph as one more initialiser.

        Raises:
            ModelError: it is of another form.
        """
        from onnx import AttributeProto

        plain = len(node.attribute) == 1 and node.attribute[0].type == AttributeProto.TENSOR
        if node.domain or not plain or node.input or len(node.output) != 1 or node.output[0] in self.weights:
            raise self._wrong("Constant", "something else than one tensor of a new name")
        check_storage(node.attribute[0].t, self.source)
        self.weights[node.output[0]] = initializer_values(node.attribute[0].t)

    def take(self, node: Any) -> None:
        """Check a node, and note the shape of what it gives.

        Raises:
            ModelError: see `check_head`.
        """
        kind = node.op_type
        if node.domain not in ("", "ai.onnx") or kind not in OPERATORS:
            named = f"{node.domain}.{kind}" if node.domain else kind
            raise ModelError(
                f"{self.source} uses the operator {short(str(named))}, not one of {', '.join(sorted(OPERATORS))}; "
                "it was not loaded"
            )
        attributes = self._attributes(node)
        for name in node.input:
            if name and name not in self.shapes and name not in self.weights:
                raise ModelError(
                    f"{self.source}: {kind} takes {short(name)}, which no earlier operator gives"
                )
        for name in node.output:
            if not isinstance(name, str) or name in self.shapes or name in self.weights:
                raise ModelError(f"{self.source}: {kind} gives {short(name)}, which exists already")
        if len([name for name in node.output if name]) != 1 or not node.output[0]:
            raise self._wrong(kind, "several outputs")
        given = [self.shapes[name] for name in node.input if name in self.shapes]
        if not given or (node.input and node.input[0] not in self.shapes and kind not in ELEMENTWISE):
            raise self._wrong(kind, "no input that depends on the embeddings")
        shape = self._shape(node, attributes, given)
        if not 1 <= shape.channels <= MOST_CHANNELS or shape.step < 1:
            raise self._wrong(kind, f"{shape.channels} channels at {shape.step} pixels")
        self.reach, self.step = max(self.reach, shape.reach), max(self.step, shape.step)
        if self.step % shape.step:
            raise self._wrong(kind, f"steps of {shape.step} and {self.step} pixels")
        self.values += shape.channels / shape.step**2
        if self.values > MOST_VALUES:
            raise self._wrong(
                kind, f"more than {MOST_VALUES} values for each pixel together with what precedes it"
            )
        self.shapes[node.output[0]] = shape

    def _shape(self, node: Any, attributes: dict[str, Any], given: list[Shape]) -> Shape:
        kind, first = node.op_type, given[0]
        if kind in ACTIVATIONS:
            if len(node.input) > {"Clip": 3, "Dropout": 2}.get(kind, 1):  # a third would make Dropout random
                raise self._wrong(kind, f"{len(node.input)} inputs")
            return first
        if kind in ELEMENTWISE:
            return self._together(node, given)
        if kind in ("Softmax", "LogSoftmax", "LayerNormalization"):
            axis = attributes.get("axis", -1)
            if axis not in ((1, -3) if self.patches else (1, -1)) or (
                self.patches and kind.startswith("Layer")
            ):
                raise self._wrong(kind, f"axis {axis}, which isn't that of the channels alone")
            return first
        if kind in ("Gemm", "MatMul"):
            return self._product(node, attributes, first)
        if kind == "Concat":
            if attributes.get("axis") not in ((1, -3) if self.patches else (1, -1)) or len(given) != len(
                node.input
            ):
                raise self._wrong(kind, "another axis than that of the channels, or constants")
            return self._together(node, given)._replace(channels=sum(each.channels for each in given))
        if not self.patches:
            raise self._wrong(kind, "single pixels instead of patches")
        if kind == "BatchNormalization":
            if attributes.get("training_mode", 0) != 0:
                raise self._wrong(kind, "training_mode")
            return first
        if kind == "Resize":
            return self._resized(node, attributes, first)
        return self._windowed(node, attributes, first)

    def _together(self, node: Any, given: list[Shape]) -> Shape:
        steps = {each.step for each in given}
        if len(steps) != 1:
            raise self._wrong(node.op_type, "tensors of different sizes")
        channels = max(each.channels for each in given)
        if node.op_type != "Concat":
            for name in node.input:
                constant = self.weights.get(name)
                if constant is None or (constant.size == 1 and constant.ndim <= (4 if self.patches else 2)):
                    continue
                alone = (channels, 1, 1) if self.patches else (channels,)
                if constant.shape not in (alone, (1, *alone)):
                    raise self._wrong(node.op_type, f"a constant of shape {constant.shape}")
            if any(each.channels not in (1, channels) for each in given):
                raise self._wrong(node.op_type, "tensors of different channels")
        return Shape(channels, steps.pop(), max(each.reach for each in given))

    def _product(self, node: Any, attributes: dict[str, Any], first: Shape) -> Shape:
        weight = self.weights.get(node.input[1]) if len(node.input) > 1 else None
        if self.patches or weight is None or weight.ndim != 2 or attributes.get("transA", 0):
            raise self._wrong(node.op_type, "something else than pixels times a matrix of weights")
        taken, given = weight.shape[::-1] if attributes.get("transB", 0) else weight.shape
        if taken != first.channels:
            raise self._wrong(node.op_type, f"weights of shape {weight.shape} for {first.channels} channels")
        return first._replace(channels=int(given))

    def _resized(self, node: Any, attributes: dict[str, Any], first: Shape) -> Shape:
        constants = [self.weights.get(name) for name in node.input[1:] if name]
        numbers = [each for each in constants if each is not None and each.dtype.kind == "f" and each.size]
        if not numbers or numbers[-1].shape != (4,) or len(node.input) > 3:
            raise self._wrong("Resize", "something else than constant scales")
        if attributes.get("mode", b"nearest") == b"cubic":
            raise self._wrong("Resize", "the mode cubic")
        if attributes.get("coordinate_transformation_mode", b"half_pixel") not in COORDINATES:
            raise self._wrong("Resize", "coordinates that depend on the size of the patch")
        scales = numbers[-1].tolist()
        factor = int(scales[2])
        if scales != [1, 1, factor, factor] or not 1 <= factor <= 8:
            raise self._wrong("Resize", f"scales {scales}, expected 1, 1 and twice one whole number up to 8")
        return Shape(first.channels, self._finer(first.step, factor, "Resize"), first.reach + first.step)

    def _windowed(self, node: Any, attributes: dict[str, Any], first: Shape) -> Shape:
        kind = node.op_type
        weight = self.weights.get(node.input[1]) if kind.startswith("Conv") and len(node.input) > 1 else None
        if kind.startswith("Conv") and (weight is None or weight.ndim != 4):
            raise self._wrong(kind, "no constant weights of four axes")
        kernel = list(weight.shape[2:]) if weight is not None else attributes.get("kernel_shape", [])
        strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
        pads = attributes.get("pads", [0, 0, 0, 0])
        lengths = (len(kernel), len(strides), len(dilations), len(pads))
        if (
            lengths != (2, 2, 2, 4)
            or attributes.get("kernel_shape", kernel) != kernel
            or attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
            or attributes.get("ceil_mode", 0)
            or attributes.get("output_padding", [0, 0]) != [0, 0]
            or not all(1 <= size <= 31 for size in kernel)
            or not all(1 <= size <= 32 for size in dilations)
            or not all(1 <= size <= 8 for size in strides)
            or strides[0] != strides[1]
        ):
            raise self._wrong(kind, "a kernel, strides, pads or dilations that a small network doesn't have")
        wide = [dilation * (size - 1) + 1 for size, dilation in zip(kernel, dilations, strict=True)]
        stride = strides[0]
        # What keeps patches aligned with the scene: the result has exactly 1 / stride or stride times the pixels
        total = [before + after for before, after in zip(pads[:2], pads[2:], strict=True)]
        if kind == "ConvTranspose":
            fits = all(size - pad == stride for size, pad in zip(wide, total, strict=True))
        else:
            fits = all(
                0 <= size - pad <= stride and size >= pad + 1 for size, pad in zip(wide, total, strict=True)
            )
        if not fits or min(pads) < 0:
            raise self._wrong(
                kind, f"pads {pads}, with which patches are not {stride} times smaller or larger"
            )
        group = attributes.get("group", 1)
        channels = first.channels
        if weight is not None:
            taken = weight.shape[0] if kind == "ConvTranspose" else weight.shape[1] * group
            if taken != channels or group < 1 or weight.shape[0] % group:
                raise self._wrong(kind, f"weights of shape {weight.shape} for {channels} channels")
            channels = int(weight.shape[1] * group if kind == "ConvTranspose" else weight.shape[0])
        reach = first.reach + max(wide) * first.step
        if kind == "ConvTranspose":
            return Shape(channels, self._finer(first.step, stride, kind), reach)
        return Shape(channels, first.step * stride, reach)

    def _finer(self, step: int, factor: int, kind: str) -> int:
        if step % factor:
            raise self._wrong(kind, "more pixels than the embeddings have")
        return step // factor

    def _attributes(self, node: Any) -> dict[str, Any]:
        """The attributes as plain numbers, or bytes.

        Raises:
            ModelError: one isn't in the list.
        """
        from onnx import AttributeProto

        plain = {
            AttributeProto.INT: "i",
            AttributeProto.INTS: "ints",
            AttributeProto.FLOAT: "f",
            AttributeProto.STRING: "s",
        }
        found: dict[str, Any] = {}
        for attribute in node.attribute:
            known = attribute.name in OPERATORS[node.op_type] and attribute.type in plain
            if not known or attribute.ref_attr_name or attribute.name in found or len(attribute.ints) > 4:
                raise ModelError(
                    f"{self.source}: {node.op_type} has the attribute {short(str(attribute.name))}, expected "
                    f"{' or '.join(OPERATORS[node.op_type]) or 'none'}; it was not loaded"
                )
            value = getattr(attribute, plain[attribute.type])
            found[attribute.name] = list(value) if attribute.type == AttributeProto.INTS else value
            if isinstance(value, float) and not math.isfinite(value):
                raise self._wrong(node.op_type, f"the attribute {attribute.name} {value}")
        return found

    def _wrong(self, kind: str, what: str) -> ModelError:
        return ModelError(
            f"{self.source}: {short(str(kind))} has {what}; it was not loaded, export the network again"
        )
