"""Where the time of the fused int8 network goes, by sampling: `python benchmarks/samples.py [MODEL]`.

Needs Linux's perf and objdump, and a CPU with AVX512-VNNI. Samples are taken while the process has a core, so others on
the machine change the shares little. The assembly around each sample says what was computed.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""Of CPU time."""

PIXELS = 128

Loop = tuple[int, int]
"""Addresses of a loop's first instruction and of the jump back."""


def work(model: str, folder: Path) -> None:
    """Run the network on one thread, and write where its kernels lie, and their code."""
    from tessera_engine.running.loading import load_model
    from tessera_engine.scenes.sampling import sample_tokens
    from tessera_kernels.encoder.branch import run_branch
    from tessera_kernels.encoder.fusion import run_fusion
    from tessera_kernels.threads import set_threads

    set_threads(1)
    backend = load_model(model, "int8", "fused", threads=1).backend
    tokens = sample_tokens(None, backend.model.facts, PIXELS)
    backend.run(tokens)
    regions = [_region(kernel) for kernel in (run_branch, run_fusion)]
    for number, (first, end) in enumerate(regions):
        (folder / f"{number}.bin").write_bytes(ctypes.string_at(first, end - first))
    (folder / "regions.json").write_text(json.dumps(regions))
    start = time.process_time()
    while time.process_time() - start < SECONDS:
        backend.run(tokens)


def _region(kernel: Any) -> Loop:
    """Where the memory that holds a compiled kernel begins and ends."""
    (compiled,) = kernel.overloads.values()
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, end = (int(each, 16) for each in line.split()[0].split("-"))
        if first <= address < end:
            return first, end
    raise LookupError(f"{address:#x} is in no region of memory")


def kind_of(own: Counter[str], is_inner: bool) -> str:
    """What a loop computes, from its instructions outside loops within it."""
    dots, broadcasts = own["vpdpbusd"], own["vpbroadcastd"]
    if own["vscalefps"]:
        return "softmax"
    if is_inner and dots >= 24 and 0 < broadcasts <= dots // 2 and not own["vcvtdq2ps"]:
        return "products"
    if own["vcvtdq2ps"] and own["vfmadd213ps"] and not own["vandps"]:
        return "ends of scores" if own["vbroadcastss"] >= own["vcvtdq2ps"] else "ends of products"
    if dots:
        return "scores" if broadcasts >= dots else "results of attention"
    return "norms, quantising, transposing"


def shares(samples: Counter[int], code: Path, first: int) -> Counter[str]:
    """Samples by kind of loop.

    Args:
        samples: address of an instruction -> how often it was met.
        code: the machine code.
        first: its address.
    """
    listing = subprocess.check_output(
        ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", f"--adjust-vma={first}", code],
        text=True,
    )
    lines = [
        (int(found[1], 16), found[2])
        for found in re.finditer(r"^\s+([0-9a-f]+):\t[0-9a-f ]+\t(.*)$", listing, re.MULTILINE)
    ]
    jumps = ((at, re.match(r"j\w+\s+0x([0-9a-f]+)", text)) for at, text in lines)
    loops = {(int(to[1], 16), at) for at, to in jumps if to and first <= int(to[1], 16) <= at}
    smallest = sorted(loops, key=lambda loop: loop[1] - loop[0])

    def owner(at: int) -> Loop | None:
        return next((loop for loop in smallest if loop[0] <= at <= loop[1]), None)

    own: dict[Loop | None, Counter[str]] = collections.defaultdict(Counter)
    for at, text in lines:
        own[owner(at)][text.split()[0]] += 1
    outer = {
        each
        for each in loops
        for other in loops
        if each != other and each[0] <= other[0] <= other[1] <= each[1]
    }
    found: Counter[str] = Counter()
    for at, count in samples.items():
        loop = owner(at)
        found[kind_of(own[loop], loop not in outer) if loop else "norms, quantising, transposing"] += count
    return found


def main() -> None:
    """Print a line for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="demo")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.model, asked.work)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = folder / "perf.data"
        record = ["perf", "record", "--quiet", "-e", "cpu-clock:u", "-F", "1999", "-o", data]
        subprocess.check_call([*record, sys.executable, __file__, asked.model, "--work", folder])
        addresses = subprocess.check_output(["perf", "script", "-i", data, "-F", "ip"], text=True).split()
        samples = Counter(int(each, 16) for each in addresses)
        total: Counter[str] = Counter()
        for number, (first, end) in enumerate(json.loads((folder / "regions.json").read_text())):
            mine = Counter({at: count for at, count in samples.items() if first <= at < end})
            if number == 1:
                total["the fusion"] += mine.total()
            else:
                total += shares(mine, folder / f"{number}.bin", first)
    for kind, count in total.most_common():
        print(f"{count / total.total():6.1%}  {kind}")
    print(f"{total.total():,} samples")


if __name__ == "__main__":
    main()
