"""Which of the instruction sets that kernels are written for this CPU has.

The engine uses the first one. The environment variable `TESSERA_ENGINE_ISA` can name another, see
`tessera_engine.backends.fused`.
"""

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
"""Sets of LLVM CPU features; an instruction set needs all of one of its sets."""


@cache
def available() -> tuple[str, ...]:
    """Names from `plan.INT8` that run here, fastest first."""
    found = cpu_features()
    return tuple(name for name in INT8 if any(needed <= found for needed in _NEEDS[name]))
