"""Features of this CPU by LLVM's names, those that LLVM doesn't detect included."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba

config: Any = numba.config  # numba adds its settings at run time, where mypy can't see them

AT_HWCAP, HWCAP_ASIMDDP = 16, 1 << 20
"""On Linux for 64-bit Arm: the auxiliary vector's entry of CPU features, and its bit for the dot product."""


@cache
def cpu_features() -> frozenset[str]:
    """LLVM's names of this CPU's features; empty where the system doesn't report them."""
    features = {feature[1:] for feature in _host_features() if feature.startswith("+")}
    return frozenset(features | ({"dotprod", "neon"} if _has_arm_dot_product() else set()))


def has_bfloat16() -> bool:
    """Whether this CPU has products of bfloat16: they are faster than those of float32, and less exact."""
    return bool(cpu_features() & {"avx512bf16", "amx-bf16"})


def _host_features() -> list[str]:
    """Features as LLVM detects them, `+name` or `-name`."""
    try:
        return str(llvm.get_host_cpu_features().flatten()).split(",")
    except RuntimeError:
        return []


def _has_arm_dot_product() -> bool:
    """Whether there is an Arm dot product. LLVM doesn't check on Linux; all of Apple's own CPUs have it."""
    if platform.machine() == "arm64" and sys.platform == "darwin":
        return True
    if platform.machine() != "aarch64" or sys.platform != "linux":
        return False
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return bool(getauxval(AT_HWCAP) & HWCAP_ASIMDDP)


def tell_numba() -> None:
    """Make numba compile for the features that LLVM doesn't detect; LLVM would abort at their instructions otherwise.

    Must be called before the first kernel is compiled. Does nothing if the user set the features.
    """
    if "dotprod" in cpu_features() and config.CPU_FEATURES is None:
        config.CPU_NAME = config.CPU_NAME or llvm.get_host_cpu_name()
        config.CPU_FEATURES = ",".join([*filter(None, _host_features()), "+neon", "+dotprod"])
