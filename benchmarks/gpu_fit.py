"""What NVIDIA's assembler makes of the kernels that the engine carries, for each GPU: `python benchmarks/gpu_fit.py`.

Prints the table of docs/gpu.md. It needs Triton, which has the assembler, but no GPU.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tessera_engine.backends.gpu.fused.programs import Kernel, find_programs
from tessera_export.gpu_kernels.build import FORMS, TARGET, question_facts
from tessera_export.reference import SIZES

MOST_SHARED = {
    "sm_80": 163 << 10,
    "sm_86": 99 << 10,
    "sm_87": 163 << 10,
    "sm_89": 99 << 10,
    "sm_90": 227 << 10,
    "sm_120": 99 << 10,
}
"""Bytes of shared memory that a program may have, from NVIDIA's tables of compute capabilities."""

MOST_REGISTERS = 255
"""Of a thread."""

REGISTERS = 1 << 16
"""Of all threads of a program."""

MOST_STACK = 200
"""Bytes. What doesn't fit into registers lies in the stack, which is slow."""

MOST_PTX = 150_000
"""Bytes in the wheel."""


class Fit(NamedTuple):
    """An assembled kernel.

    Attributes:
        registers: of a thread.
        stack: bytes of a thread.
        shared: bytes of a program, of the kernel's own declaration.
        products: instructions for tensor cores.
    """

    registers: int
    stack: int
    shared: int
    products: int


def tool(name: str) -> Path | None:
    """One of NVIDIA's tools, which come with Triton; None: it isn't here."""
    try:
        import triton
    except ModuleNotFoundError:
        return None
    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return path if path.exists() else None


def assemble(kernel: Kernel, target: str, folder: Path) -> Fit:
    """Assemble a kernel for a GPU.

    Args:
        kernel: one that the engine carries.
        target: a key of `MOST_SHARED`.
        folder: for files.

    Raises:
        CalledProcessError: the assembler refuses it.
    """
    (folder / "kernel.ptx").write_bytes(kernel.ptx)
    assembler = tool("ptxas-blackwell" if target == "sm_120" else "ptxas")
    done = subprocess.run(
        [str(assembler), f"-arch={target}", "-v", "kernel.ptx", "-o", "kernel.cubin"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code = subprocess.run(
        [str(tool("nvdisasm")), "-c", "kernel.cubin"], cwd=folder, capture_output=True, text=True, check=True
    )

    def number(pattern: str) -> int:
        found = re.search(pattern, done.stderr)
        assert found is not None, done.stderr
        return int(found[1])

    return Fit(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes stack frame"),
        kernel.shared,
        len(re.findall(r"\b[A-Z]*MMA\.", code.stdout)),
    )


def carried(size: str) -> dict[str, Kernel]:
    """The kernels of a size, by name."""
    found = find_programs(question_facts(SIZES[size]))
    assert found is not None
    return found.kernels


def main() -> None:
    """Print a line for each GPU and size: the worst of the kernels."""
    if tool("nvdisasm") is None:
        sys.exit("Triton, which has the assembler, is not installed")
    print("| | kernels | registers | stack, bytes | shared memory, KB (limit) | tensor-core instructions |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for target, limit in MOST_SHARED.items():
            for size in FORMS:
                fits = [assemble(kernel, target, Path(folder)) for kernel in carried(size).values()]
                products = [fit.products for fit in fits]
                print(
                    f"| {target}, {size} | {len(fits)} | {max(fit.registers for fit in fits)} "
                    f"| {max(fit.stack for fit in fits)} "
                    f"| {max(fit.shared for fit in fits) / 1024:.0f} ({limit >> 10}) "
                    f"| {min(products)} to {max(products)} |",
                    flush=True,
                )
    print(f"\n{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
