"""Which instruction sets this CPU has, of those that kernels are written for."""

from __future__ import annotations

from functools import cache

from tessera_kernels.cpu import cpu_features
from tessera_kernels.encoder.plan import INT8

_NEEDS = {
    "avx512-vnni": ({"avx512vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"},),
    # Both spellings of the same instruction
    "avx-vnni": ({"avxvnni", "avx2", "fma"}, {"avx512vnni", "avx512vl", "avx2", "fma"}),
    "avx2": ({"avx2", "fma"},),
    "arm-dotprod": ({"dotprod", "neon"},),
    "plain": (set(),),
}
"""Any of the sets of LLVM CPU features."""


@cache
def available() -> tuple[str, ...]:
    """Names from `plan.INT8` that run here, fastest first."""
    found = cpu_features()
    return tuple(name for name in INT8 if any(needed <= found for needed in _NEEDS[name]))
