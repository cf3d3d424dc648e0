"""Power of a GPU while something runs: what nvidia-smi, or a Jetson's tegrastats, prints, averaged."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

PERIOD_MS = 100

NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=power.draw",
    "--format=csv,noheader,nounits",
    "--id=0",
    f"--loop-ms={PERIOD_MS}",
)
TEGRASTATS = ("tegrastats", "--interval", str(PERIOD_MS))


def nvidia_smi_watts(line: str) -> float | None:
    """Of the board, from a line like `61.42`; None where the GPU doesn't tell (`[N/A]`)."""
    try:
        return float(line)
    except ValueError:
        return None


def tegrastats_watts(line: str) -> float | None:
    """Of the whole module, from a line with `VDD_IN 5123mW/5080mW`: now, and averaged since tegrastats began.

    Modules without that rail (AGX Orin) have one for each part of it: their sum.
    """
    rails = {name: int(now) / 1000 for name, now in re.findall(r"\b(V\w+) (\d+)mW/\d+mW", line)}
    if not rails:
        return None
    return rails.get("VDD_IN", sum(rails.values()))


@dataclass
class Power:
    """What a sampler saw.

    Attributes:
        source: the tool; empty: there is none.
        watts: each sample.
        seconds: how long it sampled.
    """

    source: str = ""
    watts: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def joules(self) -> float | None:
        """Mean power by time; None where nothing was sampled."""
        return sum(self.watts) / len(self.watts) * self.seconds if self.watts else None


def find_tool() -> tuple[Sequence[str], Callable[[str], float | None]] | None:
    """The tool of this machine and what reads its lines. A Jetson may have an nvidia-smi that tells no power."""
    if shutil.which(TEGRASTATS[0]):
        return TEGRASTATS, tegrastats_watts
    return (NVIDIA_SMI, nvidia_smi_watts) if shutil.which(NVIDIA_SMI[0]) else None


class Sampler:
    """Samples power in a with-block."""

    def __init__(self, tool: tuple[Sequence[str], Callable[[str], float | None]] | None) -> None:
        self.power = Power(tool[0][0] if tool else "")
        self._tool = tool

    def __enter__(self) -> Power:
        if self._tool is not None:
            self._process = subprocess.Popen(self._tool[0], stdout=subprocess.PIPE, text=True)
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        self._start = time.perf_counter()
        return self.power

    def _read(self) -> None:
        for line in self._process.stdout:
            watts = self._tool[1](line)
            if watts is not None:
                self.power.watts.append(watts)

    def __exit__(self, *error: object) -> None:
        self.power.seconds = time.perf_counter() - self._start
        if self._tool is not None:
            # Not terminate: a process inherits which signals its parent ignores
            self._process.kill()
            self._process.wait()
            self._thread.join()
