"""Let the disk fail under every writing command: `faults.c` is compiled, and preloaded into the process.

After each fault: exit code 1 and one line, or the command got over it; the old result as it was; and the same command,
with a disk that works, gives the bytes of an undisturbed run.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from soak.kill import Trial, beside, contents, differing
from soak.lives import Plan, live

LIBRARY = "TESSERA_FAULTS"
"""Environment variable: the library that this process has preloaded."""

KINDS = {
    "a write fails: EIO": (1, errno.EIO, False),
    "the disk is full: ENOSPC": (1, errno.ENOSPC, True),
    "a write takes half": (4, 0, False),
    "fsync fails: EIO": (2, errno.EIO, False),
    "a rename fails: EIO": (3, errno.EIO, False),
}


@dataclass
class Faults:
    """What happened.

    Attributes:
        hits: faults that happened, by kind.
        survived: those after which the command still ended well.
        failures: what was wrong, a line each.
    """

    hits: Counter = field(default_factory=Counter)
    survived: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def compile_faults(folder: Path) -> Path:
    """The library; needs a C compiler.

    Raises:
        OSError, subprocess.CalledProcessError: there is none, or it failed.
    """
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def soak(trials: list[Trial], faults: int, seconds: float, seed: int) -> Faults:
    """Let the disk fail so often, or until the time is over."""
    library = ctypes.CDLL(os.environ[LIBRARY])
    rng, found, until = random.Random(seed), Faults(), time.monotonic() + seconds
    tried = 0
    while tried < faults and time.monotonic() < until:
        tried += 1
        trial = rng.choices(trials, [each.case.weight for each in trials])[0]
        kind, (number, error, for_good) = rng.choice(list(KINDS.items()))
        nth = int(10 ** rng.uniform(0, 1.7)) if number != 3 else rng.randint(1, 3)
        _try(trial, kind, partial(_fail, library, number, error, nth, for_good), f"{nth}.", found)
    return found


def _fail(library: ctypes.CDLL, kind: int, error: int, nth: int, for_good: bool) -> None:
    """Within a life, whose current folder is that of the trial."""
    here = Path.cwd()
    library.fail(kind, error, nth, for_good, os.fsencode(here))
    library.failed.restype = ctypes.c_long
    honest = os._exit

    def leave(code: int) -> None:
        hits = library.failed()
        library.fail(0, 0, 0, 0, b"")  # which also forgets them
        (here.parent / "hits").write_text(str(hits))
        honest(code)

    os._exit = leave  # type: ignore[assignment]


def _try(trial: Trial, kind: str, fault: partial[None], which: str, found: Faults) -> None:
    case, folder = trial.case, trial.fresh()
    marks = folder.with_name("hits")
    marks.write_text("0")
    ended = live(case, folder, trial.made, Plan(fault=fault))
    if marks.read_text() == "0":
        return
    found.hits[kind] += 1

    def wrong(what: str) -> None:
        found.failures.append(f"{case.name}, {kind} ({which}): {what}")

    target = folder / case.out
    state = contents(target) if os.path.lexists(target) else None
    if ended.code == 0:
        found.survived[kind] += 1
        if state != trial.new:
            wrong(f"exit 0, and other bytes in {differing(state or {}, trial.new)}")
    else:
        lines = ended.said.strip().splitlines()
        if ended.code != 1 or "Traceback" in ended.said or not lines or not lines[-1].startswith("error: "):
            wrong(f"exit {ended.code}: {ended.said[-300:]}")
        if state not in (trial.old, trial.new) and not case.several:
            wrong("what is there is neither the old nor the new")
    if ended.code:
        again = live(case, folder, trial.made, Plan())
        if again.code:
            wrong(f"again: exit {again.code}: {again.said[-300:]}")
        elif differs := differing(contents(target), trial.new):
            wrong(f"again: other bytes in {differs}")
    if beside(folder) != trial.beside:
        wrong(f"left over: {sorted(set(beside(folder)) - set(trial.beside))}")
