"""Peak memory of embed under --memory, for a narrow and a wide scene: it has to stay below, whatever the scene's size.

python tests/soak/memory.py --memory 300MB
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from places import ROOT

SIZES = ((256, 256), (4096, 16))
"""Width and height."""


def peak_bytes(folder: Path, *words: str) -> int:
    """Largest resident size of a command that is run in a folder."""
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tessera_engine", *words, "-q", "--overwrite"],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{words[0]} ended with {os.waitstatus_to_exitcode(status)}"
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", default="300MB")
    parser.add_argument("options", nargs="*", default=["--int8"], help="more options of embed, after --")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT / "engine"), str(ROOT / "kernels")]
    from tessera_engine.running.memory import parse_size
    from tessera_engine.simulate import simulate

    limit, above = parse_size(arguments.memory), False
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            simulate(Path(temporary) / "scene", (width, height), seed=1)
            peak = peak_bytes(
                Path(temporary), "embed", "scene", "--memory", arguments.memory, *arguments.options
            )
            print(
                f"{width} x {height} {' '.join(arguments.options)}: {peak / 1e6:.0f} MB of {limit / 1e6:.0f} MB"
            )
            above |= peak > limit
    sys.exit(above)


if __name__ == "__main__":
    main()
