"""Peak memory of a command: the resident size of its whole tree of processes.

    python tests/memory/peak.py tessera-engine embed scene --memory 300MB

It prints JSON: `peak` in bytes, `exit_code`, CPU `seconds`, and the last lines of the command's messages. It imports
nothing large: what a process has in memory when it starts another one counts as the other's in the system's books.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

EVERY_SECONDS = 0.01
LINES = 3


def _resident(process: int) -> int:
    """Bytes of a process and of all that it started; 0 where it has ended, or the system has no /proc."""
    try:
        with open(f"/proc/{process}/statm") as file:
            total = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with open(f"/proc/{process}/task/{process}/children") as file:
            children = file.read().split()
    except (OSError, IndexError):
        return 0
    return total + sum(_resident(int(child)) for child in children)


def measure(command: list[str]) -> dict[str, object]:
    """Run a command to its end.

    A single process is measured exactly, by the system; a tree by looking every `EVERY_SECONDS`.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as messages:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages)
        peak = 0
        while True:
            peak = max(peak, _resident(process.pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(EVERY_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        last = messages.read().splitlines()[-LINES:]
    peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    return {
        "peak": peak,
        "exit_code": process.returncode,
        "seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "messages": last,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1:])))
