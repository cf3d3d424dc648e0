"""What a model file's ONNX graph consists of: versions, and the name, dtype and shape of every weight.

`tessera_engine.model.file` documents the names; this module derives them from a model's facts.
"""

from __future__ import annotations

from typing import NamedTuple

from tessera_engine.model.facts import GPU_PRECISIONS, ModelFacts

DAYS = 367
"""Rows of the day-of-year table: 0 (no observation) and 1..366."""


class Versions(NamedTuple):
    """Versions of ONNX's operator set and of its file format (IR)."""

    opset: int
    ir: int


VERSIONS = Versions(opset=17, ir=8)
"""IR 8 goes with opset 17; the onnx package's own default is too new for older runtimes."""

GPU_VERSIONS = Versions(opset=19, ir=9)
"""The first opset whose QuantizeLinear takes float16. TensorRT 10.3 reads up to 20, ONNX Runtime 1.18 up to 21."""

HEAD_MULTIPLE = 8
"""GPU files pad the channels of a head to a multiple of this, because float16 matrix kernels need it."""

Initializer = tuple[str, tuple[int, ...]]
"""dtype and shape."""


def gpu_head_dim(head_dim: int, qk_norm: bool) -> int:
    """Channels of a head in GPU files. With qk_norm none are added, because the norm's mean would include them."""
    return head_dim if qk_norm else -(-head_dim // HEAD_MULTIPLE) * HEAD_MULTIPLE


def expected_initializers(facts: ModelFacts) -> dict[str, Initializer]:
    """Name -> dtype and shape of every weight that a model file with these facts has."""
    matrices, others = _shapes(facts)
    expected: dict[str, Initializer] = {}
    for name, shape in (matrices | others).items():
        dtype = "float16" if facts.precision in GPU_PRECISIONS and _of_tokens(name) else "float32"
        layer, is_weight = name.removesuffix(".weight"), name in matrices
        if facts.precision == "int8" and is_weight:
            wide = facts.format_version > 1 and layer.startswith("fusion.")
            codes = "int16" if wide else "int8"
            expected[f"{name}.{codes}"] = (codes, shape)
            expected[f"{name}.scale"] = ("float32", shape[1:])
        elif facts.precision == "qdq" and is_weight and _of_tokens(name):
            expected[f"{name}.int8"] = ("int8", shape)
            expected[f"{name}.scale"] = (dtype, shape[1:])
            expected[f"{layer}.input.scale"] = (dtype, ())
        else:
            expected[name] = (dtype, shape)
    return expected


def _of_tokens(name: str) -> bool:
    """Whether GPU files use this weight in float16 or int8. Pooling, recurrence, fusion and RMS norms are float32."""
    branch, _, part = name.partition(".")
    float32 = part.startswith(("pool.", "gru.")) or ".q_norm." in name or ".k_norm." in name
    return branch != "fusion" and not float32


def _shapes(facts: ModelFacts) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Name -> shape of the matrices that an int8 file quantises, and of all other weights."""
    d = facts.d_model
    layers = {"fusion.0": (2 * d, facts.dims)}
    vectors: dict[str, int] = {}
    if facts.generation != "v1.0":
        layers |= {"fusion.0": (2 * d, 4 * d), "fusion.1": (4 * d, facts.dims)}
        vectors |= {"fusion.norm.weight": 4 * d, "fusion.norm.bias": 4 * d}
    head_dim = d // facts.num_heads
    if facts.precision in GPU_PRECISIONS:
        head_dim = gpu_head_dim(head_dim, facts.qk_norm)
    width = facts.num_heads * head_dim
    others: dict[str, tuple[int, ...]] = {}
    for branch, bands in (("s2", facts.s2_bands), ("s1", facts.s1_bands)):
        others |= {f"{branch}.embedding.0.weight": (len(bands), d), f"{branch}.pool.weight": (d, 1)}
        others[f"{branch}.day_of_year"] = (DAYS, d)
        vectors |= {f"{branch}.embedding.0.bias": d, f"{branch}.pool.bias": 1}
        layers[f"{branch}.embedding.1"] = (d, d)
        if facts.generation != "v2":
            layers |= {f"{branch}.gru.input": (d, 3 * d), f"{branch}.gru.hidden": (d, 3 * d)}
            vectors |= {f"{branch}.pool.norm.weight": d, f"{branch}.pool.norm.bias": d}
        for layer in (f"{branch}.layers.{index}" for index in range(facts.num_layers)):
            layers[f"{layer}.qkv"] = (d, 3 * width)
            layers[f"{layer}.out"] = (width, d)
            layers[f"{layer}.up"] = (d, facts.ffn_dim)
            layers[f"{layer}.down"] = (facts.ffn_dim, d)
            for norm in ("norm1", "norm2"):
                vectors |= {f"{layer}.{norm}.weight": d, f"{layer}.{norm}.bias": d}
            if facts.qk_norm:
                vectors |= {f"{layer}.q_norm.weight": head_dim, f"{layer}.k_norm.weight": head_dim}
    for name, (_, outputs) in layers.items():
        if not name.endswith(".gru.hidden"):  # the recurrence has one bias
            vectors[f"{name}.bias"] = outputs
    others |= {name: (length,) for name, length in vectors.items()}
    return {f"{name}.weight": shape for name, shape in layers.items()}, others
