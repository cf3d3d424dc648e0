"""Compile the kernels to PTX, without a GPU, into the file that the engine carries.

    python -m tessera_export.gpu_kernels.build

PTX for compute capability 8.0 and version 8.4 runs on every later GPU with a driver of CUDA 12.4 or newer, and on
Jetsons from JetPack 6.1. The drivers compile it for the GPU.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tessera_engine.backends.gpu.fused import programs
from tessera_engine.backends.gpu.fused.answer import question
from tessera_engine.backends.gpu.fused.weights import padded_head
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.files.publish import rewritten
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import INPUT_NAMES
from tessera_export.reference import SIZES, ReferenceConfig

FOLDER = Path(__file__).parent
TARGET = Path(programs.__file__).with_name(programs.FILE)

CAPABILITY, PTX_VERSION = 80, 84

POINTERS = {
    "fp32": ("values", "multiplicity", "vec", "table", "pooled", "rows", "embedding", "scales"),
    "fp16": ("mat", "keys"),
    "i32": ("doy", "groups", "place", "token", "blocks", "pixels"),
    "i8": ("codes",),
}
"""dtype -> the kernels' arguments that are addresses of such values, on a multiple of 16 bytes."""

NUMBERS = ("C", "R", "stride", "column", "N", "prefix")
"""Arguments that are int32 numbers."""


class Form(NamedTuple):
    """How a kernel is compiled: rows of a program, warps, and stages of its pipelined loops.

    Chosen so that nothing of note leaves the registers on any GPU from 8.0 to 12.0, see tests/export/gpu_kernels.
    """

    rows: int
    warps: int
    stages: int


FORMS = {
    "nano": {
        "encode": Form(128, 8, 2),
        "embed_rows": Form(64, 4, 2),
        "project_rows": Form(64, 4, 2),
        "layer_rows": Form(64, 4, 2),
        "pool_rows": Form(16, 4, 1),
        "fuse": Form(32, 4, 2),
    },
    "small": {
        "embed_rows": Form(32, 4, 2),
        "project_rows": Form(64, 4, 2),
        "layer_rows": Form(32, 4, 2),
        "pool_rows": Form(32, 4, 1),
        "fuse": Form(32, 4, 2),
    },
}


def source_sha256() -> str:
    """Of all source of the kernels, and of what compiles them."""
    content = b"".join(path.read_bytes() for path in sorted(FOLDER.glob("*.py")))
    return hashlib.sha256(content).hexdigest()


def constants(kernel: Any, config: ReferenceConfig, rows: int, dtype: Any) -> dict[str, Any]:
    """The kernel's compile-time constants for a size of network; `dtype` is what products take."""
    d = config.d_model
    d0, d1 = _halves(d)
    h0, h1 = _halves(padded_head(config.head_dim))
    known = {
        "L": config.num_layers, "H": config.num_heads, "D0": d0, "D1": d1, "H0": h0, "H1": h1, "HD": config.head_dim,
        "F": config.ffn_dim, "FB": 64 if config.d_model < 256 else 32, "D2": 2 * d, "KB": 32, "E": 4 * d, "EB": 64,
        "DIMS": config.dims, "BM": rows, "DT": dtype,
    }  # fmt: skip
    return {name: known[name] for name in kernel.arg_names if name in known}


def compile_kernel(kernel: Any, config: ReferenceConfig, form: Form) -> Any:
    """Triton's compiled kernel; `asm["ptx"]` has its code, `metadata.shared` its shared memory in bytes."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    fixed = constants(kernel, config, form.rows, tl.float16)
    types = {name: f"*{dtype}" for dtype, names in POINTERS.items() for name in names} | dict.fromkeys(
        NUMBERS, "i32"
    )
    signature = {name: "constexpr" if name in fixed else types[name] for name in kernel.arg_names}
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(kernel.arg_names)
        if signature[name][0] == "*"
    }
    options = {"num_warps": form.warps, "num_stages": form.stages, "ptx_version": PTX_VERSION}
    source = ASTSource(kernel, signature, fixed, aligned)
    return triton.compile(source, target=GPUTarget("cuda", CAPABILITY, 32), options=options)


def kernels() -> dict[str, Any]:
    """The kernels by name."""
    from tessera_export.gpu_kernels import encode, fuse, long_pixels

    return {
        "encode": encode.encode,
        "embed_rows": long_pixels.embed_rows,
        "project_rows": long_pixels.project_rows,
        "layer_rows": long_pixels.layer_rows,
        "pool_rows": long_pixels.pool_rows,
        "fuse": fuse.fuse,
    }


def build() -> None:
    """Compile all kernels and write the file."""
    # Line numbers would carry this machine's paths
    os.environ["TRITON_DISABLE_LINE_INFO"] = "1"
    import triton

    functions = kernels()
    sizes = []
    for size, forms in FORMS.items():
        config = SIZES[size]
        compiled = {name: compile_kernel(functions[name], config, form) for name, form in forms.items()}
        sizes.append(
            {
                "size": [config.d_model, config.num_heads, config.num_layers, config.ffn_dim, config.dims],
                "kernels": {
                    name: {
                        "ptx": each.asm["ptx"],
                        "warps": forms[name].warps,
                        "shared": each.metadata.shared,
                        "rows": forms[name].rows,
                    }
                    for name, each in compiled.items()
                },
                "answer": answer(config),
            }
        )
    content = {"source": source_sha256(), "compiler": f"Triton {triton.__version__}", "sizes": sizes}
    packed = lzma.compress(json.dumps(content, indent=1).encode(), preset=9 | lzma.PRESET_EXTREME)
    with rewritten(TARGET) as path:
        path.write_bytes(packed)
    print(f"{TARGET.name}: {len(packed):,} bytes")


def answer(config: ReferenceConfig) -> list[list[float]]:
    """The reference's answer to the engine's question, in float32."""
    import torch

    from tessera_export.onnx_graph import network_of

    facts = question_facts(config)
    arrays, tokens = question(facts)
    inputs = rectangle(tokens.s2, np.arange(len(tokens)), "s2") | rectangle(
        tokens.s1, np.arange(len(tokens)), "s1"
    )
    with torch.inference_mode():
        found = network_of(arrays, facts)(*(torch.from_numpy(inputs[name]) for name in INPUT_NAMES))
    return [[round(float(value), 6) for value in row] for row in found]


def question_facts(config: ReferenceConfig) -> ModelFacts:
    """Facts of a model file of this size: the demo model's, with another size."""
    from tessera_engine.model.installed import open_model

    sizes = {
        name: getattr(config, name) for name in ("latent_dim", "num_layers", "num_heads", "ffn_dim", "dims")
    }
    return replace(open_model("demo", "fp32").facts, **sizes)


def _halves(width: int) -> tuple[int, int]:
    """A width as a sum of two powers of two."""
    high = 1 << ((width - 1).bit_length() - 1)
    low = width - high
    if low & (low - 1):
        raise ValueError(f"{width} is not a sum of two powers of two")
    return high, low


if __name__ == "__main__":
    build()
