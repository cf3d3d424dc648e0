"""What a process of a cluster is doing at the moment at which it is killed, by the stacks of its threads (py-spy)."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

OF_WORKER = {
    "worker.py:write_mark": "mark",
    "marks.py:write_mark": "mark",
    "worker.py:check_cell": "checking",
    "cells.py:StoreInCells.write": "writing",
    "worker.py:_write_pictures": "writing",
    "sharing.py:deliver": "delivering",
    "durable.py:sync_folder": "delivering",
    "pipeline.py:_start_network": "computing",
    "pipeline.py:_read": "reading",
    "pipeline.py:run": "reading",
    "worker.py:introduce": "loading",
    "worker.py:embed_cell": "between steps",
}
"""A function on a stack -> the phase; the first that is found counts. `pipeline.run` waits for its first window, or packs."""

OF_COMMAND = {
    "publish.py:publish": "publish",
    "partial.py:Partial.publish": "publish",
    "partial.py:Partial.close": "publish",
    "commit.py:complete": "commit",
    "output.py:PartialOutput.sync_output": "commit",
    "embedding.py:_Work._check": "checking",
    "embedding.py:_Work._embed": "cells",
    "embedding.py:_Work._left": "gathering",
    "embedding.py:embed_in_cells": "between steps",
}

OF_ENGINE = "tessera-"
"""How the names of the threads begin in which cells are computed, and the command does its work."""

NOT_WORKING = ("starting", "loading", "idle")


def phase_of(pid: int, functions: dict[str, str]) -> str:
    """What a stopped process is doing: one of the values of `functions`, `starting` or `idle`."""
    spy = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if spy is None:
        return "unknown"
    command = [spy, "dump", "--nonblocking", "--json", "--pid", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        return "starting"  # there is no interpreter yet
    threads = [each for each in json.loads(said.stdout) if (each["thread_name"] or "").startswith(OF_ENGINE)]
    if not threads:
        return "starting"
    found = {
        f"{os.path.basename(frame['filename'])}:{frame['name']}"
        for each in threads
        for frame in each["frames"]
    }
    return next((phase for function, phase in functions.items() if function in found), "idle")


def strike(pids: Sequence[int], rng: random.Random, wanted: str | None = None) -> str | None:
    """Kill one of these workers while it works, best in the wanted phase; gives the phase, None if none is alive.

    All are stopped first, so that the phase is the one in which the worker is killed.
    """
    stopped = []
    for pid in pids:
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.kill(pid, signal.SIGSTOP)
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                stopped.append(pid)
    phases = {pid: phase_of(pid, OF_WORKER) for pid in stopped}
    best = [pid for pid in stopped if phases[pid] == wanted]
    best = best or [pid for pid in stopped if phases[pid] not in NOT_WORKING] or stopped
    victim = rng.choice(best) if best else None
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if pid == victim else signal.SIGCONT)
    return None if victim is None else phases[victim]


def strike_command(life: subprocess.Popen) -> str | None:
    """Kill the process of a command, which holds the scheduler of a local cluster; gives the phase."""
    if life.poll() is not None:
        return None
    os.kill(life.pid, signal.SIGSTOP)
    phase = phase_of(life.pid, OF_COMMAND)
    os.kill(life.pid, signal.SIGKILL)
    return phase if life.wait() == -signal.SIGKILL else None
