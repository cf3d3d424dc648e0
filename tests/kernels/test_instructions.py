"""The instructions that kernels are written for are what LLVM emits, for CPUs that need not be this one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled"),
    pytest.mark.skipif(
        platform.machine() not in {"x86_64", "AMD64"}, reason="LLVM would need another target"
    ),
]

TARGETS = {
    "avx512-vnni": (
        "icelake-server",
        "+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512vnni,+avx2,+fma",
        "vpdpbusd",
        "zmm",
    ),
    "avx-vnni": ("alderlake", "+avxvnni,+avx2,+fma", "vpdpbusd", "ymm"),
    "avx2": ("haswell", "+avx2,+fma", "vpmaddwd", "ymm"),
}

CODE = """
import sys
from numba import njit, types
from tessera_kernels.encoder.layout import Floats, Values
from tessera_kernels.encoder.plan import INT8, PlanType, make_plan
from tessera_kernels.encoder.tiles import tile_store
@njit
def product(plan, a, groups, w, out):
    tile_store(plan, a, groups, w, 0, out)
values, floats = (types.NamedUniTuple(types.int64, len(kind._fields), kind) for kind in (Values, Floats))
plan = PlanType(make_plan(INT8[sys.argv[1]], 144, 384, 4, False))
signature = (plan, values, types.int64, types.int64, floats)
product.compile(signature)
print(product.inspect_asm()[signature])
"""


@pytest.mark.parametrize("isa", TARGETS)
def test_a_tile_is_its_instruction_and_keeps_its_sums_in_registers(isa):
    cpu, features, instruction, register = TARGETS[isa]
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", CODE, isa], capture_output=True, text=True, env=environment, check=True
    )
    # Instructions are indented; names of symbols hold the plan, and so its instruction, too
    lines = [
        line.split()
        for line in done.stdout.splitlines()
        if line.startswith("\t") and not line.startswith("\t.")
    ]
    dots = [words for words in lines if instruction in words[:2]]  # AVX-VNNI has {vex} before it
    assert len(dots) >= {"zmm": 24, "ymm": 12}[register]
    assert all(register in " ".join(words) for words in dots)
    spills = [
        words
        for words in lines
        if words[0].startswith("vmov") and register in " ".join(words) and "rsp" in " ".join(words)
    ]
    assert spills == []
