"""The fused network: our own kernels, all layers of a few pixels at a time, for this machine's CPU."""

from __future__ import annotations

import os

import numba
import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.errors import InputError
from tessera_engine.model.file import ModelFile, read_arrays
from tessera_engine.model.layout import GPU_PRECISIONS
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_kernels.encoder import Network
from tessera_kernels.encoder.isa import available
from tessera_kernels.encoder.plan import FLOAT32, INT8

ISA_VARIABLE = "TESSERA_ENGINE_ISA"
"""Environment variable that chooses the instruction set of the kernels: one of `available()`, the names in
`tessera_kernels.encoder.plan.INT8` that this CPU has. Unset or empty: the fastest one. It is read when a model is
loaded, and is for comparing instruction sets."""


def choose_isa() -> str:
    """The fastest instruction set of this CPU, or the one in the environment variable `TESSERA_ENGINE_ISA`.

    Raises:
        InputError: the variable names one that this CPU doesn't have.
    """
    forced = os.environ.get(ISA_VARIABLE)
    if forced and forced not in available():
        raise InputError(
            f"{ISA_VARIABLE}={forced} is not available: this CPU has {', '.join(available())}; "
            "unset it or choose one of them"
        )
    return forced or available()[0]


class FusedBackend(Backend):
    """Int8 or float32, as the model file is.

    Raises:
        InputError: a file for GPUs, or see `choose_isa`.
    """

    name = "fused"

    def __init__(self, model: ModelFile, threads: int) -> None:
        super().__init__(model)
        if model.facts.precision in GPU_PRECISIONS:
            raise InputError(
                f"model {model.label} is for GPUs, which the fused kernels aren't; give the fp32 or int8 file, or "
                "--backend onnxruntime to run it on this CPU all the same"
            )
        self._isa, self._threads = choose_isa(), threads
        facts = model.facts
        arithmetic = (INT8 if facts.precision == "int8" else FLOAT32)[self._isa]
        self._network = Network(read_arrays(model), facts.num_heads, facts.num_layers, arithmetic)

    @property
    def version(self) -> str:
        """Of numba, which compiled it."""
        return f"numba {numba.__version__}"

    @property
    def computes_on(self) -> str:
        """The instruction set."""
        return self._isa

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        numba.set_num_threads(self._threads)
        return self._network.run(_arrays(tokens.s2), _arrays(tokens.s1))


def _arrays(
    tokens: Tokens,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    return tokens.values, tokens.doy, tokens.multiplicity, tokens.offsets
