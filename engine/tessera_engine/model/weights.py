"""The weights in a model file: checked before anything uses them, then read without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import ModelError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.layout import expected_initializers

CONSTANT_PREFIX = "constant."
"""Names of initialisers that are not weights begin with this."""


def check_weights(graph: Any, facts: ModelFacts, source: str) -> None:
    """Check that the initialisers are exactly those that the facts imply, and that their values can be used.

    Args:
        graph: the `onnx.GraphProto`.
        facts: the model's facts, checked.
        source: the file's name, for messages.

    Raises:
        ModelError: what was found and what was expected.
    """
    expected = expected_initializers(facts)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    expect(source, "number of duplicate initialisers", len(graph.initializer) - len(weights), 0)
    constants = [name for name in weights if name.startswith(CONSTANT_PREFIX)]
    for name in expected.keys() - weights.keys():
        raise ModelError(f"{source} lacks the initialiser '{name}' that its facts imply; export it again")
    unknown = weights.keys() - expected.keys() - set(constants)
    for name in unknown:
        raise ModelError(f"{source} has the unknown initialiser {short(name)}; export the model again")
    for name, tensor in weights.items():
        check_storage(tensor, source)
        dtype, shape = _dtypes()[tensor.data_type], tuple(tensor.dims)
        if name in expected:
            expect(source, f"initialiser '{name}'", (dtype, shape), expected[name])
        elif len(shape) > 1 or math.prod(shape) > max(8, facts.dims):
            raise ModelError(f"{source}: constant {short(name)} has shape {shape}, too large for a constant")
    for name, tensor in weights.items():
        _check_values(name, initializer_values(tensor), source)


def initializer_values(tensor: Any) -> NDArray[Any]:
    """The values of a checked initialiser in its dtype and shape: read-only, not a copy."""
    dtype = np.dtype(_dtypes()[tensor.data_type]).newbyteorder("<")
    return np.frombuffer(tensor.raw_data, dtype).reshape(tuple(tensor.dims))


def check_storage(tensor: Any, source: str) -> None:
    """Check that the values are in the file itself, as raw data, and as many as the shape implies.

    Args:
        tensor: the `onnx.TensorProto`.
        source: the file's name, for messages.

    Raises:
        ModelError: they are not.
    """
    name = short(tensor.name)
    if tensor.external_data or tensor.data_location:
        raise ModelError(f"{source}: {name} is in another file, which is never opened; export it again")
    if tensor.data_type not in _dtypes():
        raise ModelError(
            f"{source}: {name} has ONNX type {tensor.data_type}, expected {', '.join(_dtypes().values())}"
        )
    if any(size < 1 for size in tensor.dims):
        raise ModelError(f"{source}: {name} has shape {tuple(tensor.dims)}, expected sizes of at least 1")
    expected = math.prod(tensor.dims) * np.dtype(_dtypes()[tensor.data_type]).itemsize
    found = len(tensor.raw_data)
    others = [field.name for field, _ in tensor.ListFields() if field.name.endswith("_data")]
    if found != expected or others not in ([], ["raw_data"]) or tensor.HasField("segment"):
        raise ModelError(
            f"{source}: {name} of shape {tuple(tensor.dims)} has {found} bytes, expected {expected} as raw data; "
            "the file is damaged, get it again"
        )


def _check_values(name: str, values: NDArray[Any], source: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelError(f"{source}: '{name}' has values that aren't finite; get the model again")
    if name.endswith((".weight.int8", ".weight.int16")):
        lowest = np.iinfo(values.dtype).min
        if values.min() == lowest:
            raise ModelError(
                f"{source}: '{name}' has the code {lowest}, expected {lowest + 1}..{-lowest - 1}; get the model again"
            )
    if name.endswith((".weight.scale", ".input.scale")) and not (values > 0).all():
        raise ModelError(f"{source}: '{name}' has scales that aren't above 0; get the model again")


def _dtypes() -> dict[int, str]:
    """ONNX's types that initialisers may have -> numpy's."""
    from onnx import TensorProto

    return {
        TensorProto.FLOAT: "float32",
        TensorProto.FLOAT16: "float16",
        TensorProto.INT8: "int8",
        TensorProto.INT16: "int16",
        TensorProto.UINT8: "uint8",
        TensorProto.INT32: "int32",
        TensorProto.INT64: "int64",
    }


def expect(source: str, what: str, found: object, expected: object) -> None:
    """Raise ModelError if a part of a model file is not what it must be."""
    if found != expected:
        raise ModelError(
            f"{source}: {what} is {str(found)[:200]}, expected {str(expected)[:200]}; export the model again"
        )


def short(text: str) -> str:
    """Text from an untrusted file, quoted and cut to fit one line."""
    return repr(text)[:80]
