"""The kernels that the engine carries belong to their source, and fit on every GPU from 8.0 to 12.0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_fit import (
    MOST_PTX,
    MOST_REGISTERS,
    MOST_SHARED,
    MOST_STACK,
    REGISTERS,
    assemble,
    carried,
    tool,
)

from tessera_engine.backends.gpu.fused import programs
from tessera_export.gpu_kernels.build import FORMS, TARGET, source_sha256

FIRST = ("sm_86", "sm_120")
"""GPUs of the default run: those with the least shared memory, one for each of the two assemblers."""


def test_they_belong_to_their_source():
    assert programs.source_sha256() == source_sha256(), "run: python -m tessera_export.gpu_kernels.build"
    assert TARGET.stat().st_size <= MOST_PTX
    for size, forms in FORMS.items():
        kernels = carried(size)
        assert set(kernels) == set(forms)
        for name, kernel in kernels.items():
            assert (kernel.rows, kernel.warps) == forms[name][:2]
            assert b".version 8.4" in kernel.ptx
            assert b".target sm_80" in kernel.ptx
            assert str(Path.cwd()).encode() not in kernel.ptx


@pytest.mark.skipif(tool("nvdisasm") is None, reason="the assembler is Triton's")
@pytest.mark.parametrize("size", FORMS)
@pytest.mark.parametrize(
    "target", [pytest.param(each, marks=() if each in FIRST else pytest.mark.slow) for each in MOST_SHARED]
)
def test_they_fit(size, target, tmp_path):
    """An assembler can accept a kernel that is empty, or one that lives in slow memory."""
    for name, kernel in carried(size).items():
        fit = assemble(kernel, target, tmp_path)
        assert fit.registers <= MOST_REGISTERS, name
        assert fit.registers * 32 * kernel.warps <= REGISTERS, name
        assert fit.stack <= MOST_STACK, name
        assert fit.shared <= MOST_SHARED[target], name
        assert fit.products > 0, name


@pytest.mark.slow
@pytest.mark.skipif(tool("ptxas") is None, reason="needs Triton")
def test_the_same_source_gives_the_same_bytes(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    code = (
        "from pathlib import Path; from tessera_export.gpu_kernels import build; "
        f"build.TARGET = Path({str(tmp_path / 'kernels')!r}); build.build()"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment | {"TRITON_CACHE_DIR": str(tmp_path)}
    )
    assert (tmp_path / "kernels").read_bytes() == TARGET.read_bytes()
