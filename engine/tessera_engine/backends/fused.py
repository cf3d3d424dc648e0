"""The fused network: our own CPU kernels, which compute all layers for a few pixels at a time."""

from __future__ import annotations

import os

import numba
import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.errors import InputError
from tessera_engine.model.file import ModelFile, read_arrays
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_kernels.encoder import Network
from tessera_kernels.encoder.isa import available
from tessera_kernels.encoder.plan import FLOAT32, INT8
from tessera_kernels.threads import set_threads

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
            f"the environment variable {ISA_VARIABLE} is {forced!r}, but this CPU has {', '.join(available())}; "
            "unset it or choose one of those"
        )
    return forced or available()[0]


class FusedBackend(Backend):
    """Computes in int8 or float32, whichever the model file has.

    Raises:
        InputError: see `choose_isa`.
    """

    name = "fused"
    piece_pixels = 4096

    def __init__(self, model: ModelFile, threads: int) -> None:
        super().__init__(model)
        self._isa, self._threads = choose_isa(), threads
        facts = model.facts
        arithmetic = (INT8 if facts.precision == "int8" else FLOAT32)[self._isa]
        self._network = Network(read_arrays(model), facts.num_heads, facts.num_layers, arithmetic)

    @property
    def version(self) -> str:
        """Version of numba, which compiled the kernels."""
        return f"numba {numba.__version__}"

    @property
    def computes_on(self) -> str:
        """The instruction set."""
        return self._isa

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        set_threads(self._threads)
        return self._network.run(_arrays(tokens.s2), _arrays(tokens.s1))


def _arrays(
    tokens: Tokens,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    return tokens.values, tokens.doy, tokens.multiplicity, tokens.offsets


def _find(device: str) -> Part:
    return Part(f"numba {numba.__version__}")


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    return FusedBackend(model, threads)


BACKEND = BackendRecord("fused", {"cpu": ("fp32", "int8")}, _find, _load)
