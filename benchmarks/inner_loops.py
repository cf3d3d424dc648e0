"""Instructions of the branch kernel's innermost loops, from its assembly: `python benchmarks/inner_loops.py [MODEL]`.

Counts need no idle machine. The kernel is compiled into an empty folder, because a kept one has no assembly.
"""

from __future__ import annotations

import collections
import os
import re
import sys
import tempfile


def innermost(lines: list[str]) -> list[collections.Counter]:
    """Each loop that contains no label: how often each instruction is in it."""
    labels = {line.split(":")[0]: i for i, line in enumerate(lines) if re.match(r"\.LBB\d+_\d+:", line)}
    loops = []
    for i, line in enumerate(lines):
        jump = re.match(r"j\w+\s+(\.LBB\d+_\d+)", line)
        if jump and labels.get(jump[1], i) < i:
            body = lines[labels[jump[1]] + 1 : i + 1]
            if not any(each.startswith(".LBB") for each in body):
                loops.append(
                    collections.Counter(each.split()[0] for each in body if each and each[0].isalpha())
                )
    return loops


def main() -> None:
    """Print a line for each loop that has vector instructions."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        # numba reads the variable when it is imported
        from tessera_engine.running.loading import load_model
        from tessera_kernels.encoder.branch import run_branch

        load_model(sys.argv[1] if len(sys.argv) > 1 else "demo", "int8", "fused", threads=1)
        (assembly,) = run_branch.inspect_asm().values()
    lines = [line.strip() for line in assembly.splitlines()]
    for loop in innermost(lines):
        if any(name.startswith("v") for name in loop):
            print(
                f"{loop.total():4} instructions:", ", ".join(f"{name} {n}" for name, n in loop.most_common(8))
            )


if __name__ == "__main__":
    main()
