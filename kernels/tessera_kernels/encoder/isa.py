"""Which instruction sets this CPU has, of those that kernels are written for."""

from __future__ import annotations

from functools import cache

import llvmlite.binding as llvm

from tessera_kernels.encoder.plan import INT8

_NEEDS = {
    "avx512-vnni": ({"avx512vnni", "avx512f", "avx512bw", "avx512vl"},),
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
    try:
        features = {name for name, has in llvm.get_host_cpu_features().items() if has}
    except RuntimeError:  # LLVM can't tell on this system
        features = set()
    return tuple(name for name in INT8 if any(needed <= features for needed in _NEEDS[name]))
