"""What the CPU can do, where LLVM doesn't look."""

from __future__ import annotations

import ctypes

import pytest

from tessera_kernels import cpu


class FakeLibc:
    """`getauxval` of a Linux that says what the test wants."""

    def __init__(self, bits):
        self.getauxval = type("Function", (), {"__call__": staticmethod(lambda _: bits)})()


@pytest.mark.parametrize(
    ("system", "machine", "bits", "wanted"),
    [
        ("linux", "aarch64", cpu.HWCAP_ASIMDDP | 3, True),
        ("linux", "aarch64", 3, False),  # a Raspberry Pi 4: no dot product
        ("darwin", "arm64", 0, True),
        ("linux", "x86_64", cpu.HWCAP_ASIMDDP, False),  # the bit means something else there
    ],
)
def test_arm_dot_product_is_what_the_system_says(monkeypatch, system, machine, bits, wanted):
    monkeypatch.setattr(cpu.sys, "platform", system)
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeLibc(bits))
    assert cpu._has_arm_dot_product() is wanted


def test_numba_is_told_once_and_not_against_the_user(monkeypatch):
    monkeypatch.setattr(cpu, "_has_arm_dot_product", lambda: True)
    monkeypatch.setattr(cpu.config, "CPU_NAME", None)
    for chosen, wanted in ((None, "+dotprod"), ("+neon", "+neon")):
        monkeypatch.setattr(cpu.config, "CPU_FEATURES", chosen)
        cpu.cpu_features.cache_clear()
        cpu.tell_numba()
        assert cpu.config.CPU_FEATURES.endswith(wanted)
    cpu.cpu_features.cache_clear()
