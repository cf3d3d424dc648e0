"""Tries foreign HDF5 files in a process of their own: a file made to crash the HDF5 library ends that process only.

What is tried is what the engine does later: all names, dimensions and attributes, and of each array the list of its
chunks and the values at both ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROCESS = Path(__file__).with_name("walk.py")
"""What is run."""

SECONDS = 20
"""Time for one file. A cube with 1,000 dates and 40 variables takes less than one second."""

STEP = 3
"""CPU time for one array: thousands of times what is needed, and less than anybody waits."""

LARGEST_CHUNK = 2**26
"""Bytes of a chunk whose values are tried. Many larger ones would take longer than that."""

LIMITS = {"seconds": SECONDS, "step": STEP, "largest": LARGEST_CHUNK}
"""What `walk.try_all` is given."""

_HARM = ": it is damaged or made to do harm; copy it again"

_OF_WINDOWS = {
    0xC0000005: "access violation",
    0xC0000017: "not enough memory",
    0xC00000FD: "stack overflow",
    0xC0000374: "heap corruption",
}
"""Exit codes with which Windows ends a process (NTSTATUS)."""

STARTING = 30
"""Seconds until Python has started and imported h5py, on a slow disk."""


def failures(paths: Sequence[Path]) -> dict[Path, str]:
    """The files that the HDF5 library can't be trusted with -> the reason.

    Args:
        paths: HDF5 files.
    """
    found: dict[Path, str] = {}
    left = list(paths)
    while left:
        tried, reason = _try(left)
        if reason is None or not tried:
            return found
        found[tried[-1]] = reason
        left = left[len(tried) :]
    return found


def _try(paths: Sequence[Path]) -> tuple[list[Path], str | None]:
    """The files whose trial was begun, and what was wrong with the last one; None where nothing was."""
    if not sys.executable:  # Python inside another program
        return [], None
    files = [os.fsencode(path).hex() for path in paths]
    task = {"files": files, "limits": LIMITS}
    limit = STARTING + SECONDS * len(paths)
    try:
        done = subprocess.run(
            [sys.executable, "-S", str(PROCESS)],
            input=json.dumps(task).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },  # h5py is where this process finds it
        )
        if done.returncode == 0:
            return list(paths), None
        output, reason = done.stdout, _ended(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, reason = error.stdout or b"", f"took the HDF5 library more than {limit} s{_HARM}"
    except OSError:
        return [], None
    begun = output.count(b"\n")
    return list(paths[:begun]), reason


def _ended(code: int) -> str:
    """Why a trial ended before it was done, in words, and what to do.

    Args:
        code: of the process, not 0; on POSIX the number of a signal, negative.
    """
    if code >= 0:
        return f"crashed the HDF5 library ({_OF_WINDOWS.get(code, f'exit code {code}')}){_HARM}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGPROF":
        return f"took the HDF5 library more than {STEP} s for one of its arrays{_HARM}"
    if name == "SIGKILL":
        return (
            "could not be tried to its end: the system ended the trial (SIGKILL), as it does where memory is short; "
            "end other programs and give the same command again"
        )
    return f"crashed the HDF5 library ({name}){_HARM}"
