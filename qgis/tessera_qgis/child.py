"""Runs the program as a child process that can be cancelled. Knows nothing of QGIS."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

LOOK_SECONDS = 0.1
"""Between two looks whether the user has cancelled."""

PATIENCE = 30.0
"""Seconds that a cancelled program gets to end by itself. What it has finished is kept either way."""

WINDOWS = os.name == "nt"

_CTRL_BREAK, _CONSOLE_OF_PARENT = 1, -1
"""Numbers of Windows."""


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        code: its exit code, or the negative number of the signal that ended it.
        output: what it wrote to stdout.
        cancelled: whether it was asked to end.
    """

    code: int
    output: str
    cancelled: bool


def run(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    heard: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Ended:
    """Run a program to its end, or until it is cancelled.

    Args:
        words: the program and its arguments.
        folder: where it runs.
        environment: its variables.
        heard: called with each line of stderr, in the thread that calls this.
        cancelled: asked often; once true, the program is asked to end as by Ctrl-C.

    Raises:
        OSError: it can't be started.
    """
    process = _start(words, folder, environment)
    lines: queue.Queue[str | None] = queue.Queue()
    output: list[str] = []
    readers = [
        threading.Thread(target=_read_lines, args=(process.stderr, lines), daemon=True),
        threading.Thread(target=lambda: output.append(process.stdout.read()), daemon=True),
    ]
    for reader in readers:
        reader.start()
    asked = False
    try:
        while True:
            try:
                line = lines.get(timeout=LOOK_SECONDS)
                if line is None:
                    break
                heard(line)
            except queue.Empty:
                pass
            if not asked and cancelled():
                asked = True
                _interrupt(process)
                # Not a wait: its last lines are read meanwhile
                killer = threading.Timer(PATIENCE, process.kill)
                killer.daemon = True
                killer.start()
        for reader in readers:
            reader.join()
        return Ended(process.wait(), "".join(output), asked)
    finally:
        if asked:
            killer.cancel()
        if process.poll() is None:
            _interrupt(process)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        process.stdout.close()
        process.stderr.close()


def _start(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Any:
    flags = 0
    if WINDOWS:
        # A console of its own that isn't shown, and a group, which alone gets Ctrl-Break
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined,unused-ignore]
    return subprocess.Popen(
        list(words),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        creationflags=flags,
    )


def _read_lines(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _interrupt(process: Any) -> None:
    """Ask a process to end as Ctrl-C does in a terminal; on Windows as Ctrl-Break does."""
    try:
        if WINDOWS:
            if not _break(process.pid):
                process.terminate()
        else:
            process.send_signal(signal.SIGINT)
    except OSError:
        pass  # it has ended by itself


def _break(pid: int) -> bool:
    """Send Ctrl-Break to a process group on Windows. It reaches only the sender's console, so we join it first."""
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    in_console = kernel.GetConsoleWindow() != 0
    kernel.FreeConsole()
    try:
        return bool(kernel.AttachConsole(pid) and kernel.GenerateConsoleCtrlEvent(_CTRL_BREAK, pid))
    finally:
        kernel.FreeConsole()
        if in_console:
            kernel.AttachConsole(_CONSOLE_OF_PARENT)
