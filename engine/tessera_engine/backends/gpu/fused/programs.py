"""The compiled kernels that the engine carries: PTX by the size of the network, made by the export package.

PTX is compiled for the GPU by its driver, once. It is for compute capability 8.0, which later GPUs run too.
"""

from __future__ import annotations

import json
import lzma
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from tessera_engine.model.facts import ModelFacts

FILE = "kernels.json.xz"

LEAST_CAPABILITY = (8, 0)
LEAST_CUDA = (12, 4)
"""The first whose driver reads the PTX's version, 8.4."""

PRECISIONS = ("fp32", "fp16", "int8")
"""Of model files; all are computed in float16."""


class Kernel(NamedTuple):
    """One compiled kernel.

    Attributes:
        ptx: its code.
        warps: of a program.
        shared: bytes of shared memory of a program.
        rows: tokens, or pixels of `fuse`, that a program takes.
    """

    ptx: bytes
    warps: int
    shared: int
    rows: int


class Programs(NamedTuple):
    """The kernels of one size of network.

    Attributes:
        kernels: by name. Without `encode`, all pixels go through the kernels for long ones.
        answer: what the kernels must compute, see `tessera_engine.backends.gpu.fused.answer.check_answer`.
    """

    kernels: dict[str, Kernel]
    answer: list[list[float]]


def find_programs(facts: ModelFacts) -> Programs | None:
    """The kernels for a model; None: there are none for its size."""
    if facts.generation != "v2" or facts.qk_norm or facts.precision not in PRECISIONS:
        return None
    size = [facts.d_model, facts.num_heads, facts.num_layers, facts.ffn_dim, facts.dims]
    for each in _carried()["sizes"]:
        if each["size"] == size:
            kernels = {
                name: Kernel(kernel["ptx"].encode(), kernel["warps"], kernel["shared"], kernel["rows"])
                for name, kernel in each["kernels"].items()
            }
            return Programs(kernels, each["answer"])
    return None


def source_sha256() -> str:
    """Of the source that the kernels were compiled from."""
    return str(_carried()["source"])


def compiler() -> str:
    """What compiled the kernels."""
    return str(_carried()["compiler"])


@lru_cache(1)
def _carried() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(lzma.decompress(files(__package__).joinpath(FILE).read_bytes()))
    return content
