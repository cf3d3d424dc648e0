"""The kernels that the engine carries belong to their source, and fit on every GPU from 8.0 to 12.0."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tessera_engine.backends.gpu.fused import programs
from tessera_engine.backends.gpu.fused.programs import find_programs
from tessera_export.gpu_kernels.build import FORMS, TARGET, question_facts, source_sha256
from tessera_export.reference import SIZES

MOST_SHARED = {
    "sm_80": 163 << 10, "sm_86": 99 << 10, "sm_87": 163 << 10, "sm_89": 99 << 10, "sm_90": 227 << 10, "sm_120": 99 << 10,
}  # fmt: skip
"""Bytes of shared memory that a program may have, from NVIDIA's tables of compute capabilities."""

MOST_STACK = 200


def test_they_belong_to_their_source():
    assert programs.source_sha256() == source_sha256(), "run: python -m tessera_export.gpu_kernels.build"
    assert TARGET.stat().st_size <= 150_000
    for size, forms in FORMS.items():
        carried = find_programs(question_facts(SIZES[size]))
        assert set(carried.kernels) == set(forms)
        for name, kernel in carried.kernels.items():
            assert (kernel.rows, kernel.warps) == forms[name][:2]
            assert b".version 8.4" in kernel.ptx
            assert b".target sm_80" in kernel.ptx
            assert str(Path.cwd()).encode() not in kernel.ptx


def tool(name):
    triton = pytest.importorskip("triton", reason="its assembler is Triton's")
    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    if not path.exists():
        pytest.skip(f"Triton has no {name} here")
    return path


@pytest.mark.parametrize("size", FORMS)
@pytest.mark.parametrize("target", [pytest.param(each, marks=pytest.mark.slow if each not in ("sm_86", "sm_120") else ()) for each in MOST_SHARED])  # fmt: skip
def test_they_fit(size, target, tmp_path):
    """An assembler can accept a kernel that is empty, or one that lives in slow memory."""
    for name, kernel in find_programs(question_facts(SIZES[size])).kernels.items():
        (tmp_path / "kernel.ptx").write_bytes(kernel.ptx)
        assembler = tool("ptxas-blackwell" if target == "sm_120" else "ptxas")
        done = subprocess.run(
            [assembler, f"-arch={target}", "-v", "kernel.ptx", "-o", "kernel.cubin"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        registers = int(re.search(r"Used (\d+) registers", done.stderr)[1])
        stack = int(re.search(r"(\d+) bytes stack frame", done.stderr)[1])
        assert registers <= 255, name
        assert registers * 32 * kernel.warps <= 1 << 16, name
        assert stack <= MOST_STACK, f"{name}: {stack} bytes"
        assert kernel.shared <= MOST_SHARED[target], name
        code = subprocess.run(
            [tool("nvdisasm"), "-c", "kernel.cubin"], cwd=tmp_path, capture_output=True, text=True
        )
        products = len(re.findall(r"\bHMMA\.", code.stdout))
        assert products > 0, f"{name} has no product on tensor cores"


@pytest.mark.slow
def test_the_same_source_gives_the_same_bytes(tmp_path):
    tool("ptxas")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    code = (
        "from pathlib import Path; from tessera_export.gpu_kernels import build; "
        f"build.TARGET = Path({str(tmp_path / 'kernels')!r}); build.build()"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment | {"TRITON_CACHE_DIR": str(tmp_path)}
    )
    assert (tmp_path / "kernels").read_bytes() == TARGET.read_bytes()
