"""What this CPU can do, as LLVM names it; and what LLVM overlooks."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba

config: Any = numba.config  # its settings are made at run time, which mypy can't see

AT_HWCAP, HWCAP_ASIMDDP = 16, 1 << 20
"""Of Linux on 64-bit Arm: the kernel's word on the CPU, and its bit for the dot product."""


@cache
def cpu_features() -> frozenset[str]:
    """LLVM's names of this CPU's features; empty where the system doesn't tell."""
    features = {feature[1:] for feature in _host_features() if feature.startswith("+")}
    return frozenset(features | ({"dotprod", "neon"} if _has_arm_dot_product() else set()))


def _host_features() -> list[str]:
    """Features as LLVM finds them, `+name` or `-name`."""
    try:
        return str(llvm.get_host_cpu_features().flatten()).split(",")
    except RuntimeError:
        return []


def _has_arm_dot_product() -> bool:
    """LLVM doesn't look for it on Linux; all of Apple's own CPUs have it."""
    if platform.machine() == "arm64" and sys.platform == "darwin":
        return True
    if platform.machine() != "aarch64" or sys.platform != "linux":
        return False
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return bool(getauxval(AT_HWCAP) & HWCAP_ASIMDDP)


def tell_numba() -> None:
    """Have numba compile for what LLVM overlooks: it couldn't emit the instruction, and would end the process.

    Only before the first kernel is compiled, and not where the user chose the features.
    """
    if "dotprod" in cpu_features() and config.CPU_FEATURES is None:
        config.CPU_NAME = config.CPU_NAME or llvm.get_host_cpu_name()
        config.CPU_FEATURES = ",".join([*filter(None, _host_features()), "+neon", "+dotprod"])
