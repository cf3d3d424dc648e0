"""What Windows doesn't let programs do with names and open files, and how long to wait for others there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import TypeVar

T = TypeVar("T")

_PORTS = (f"{port}{number}" for port in ("com", "lpt") for number in "123456789¹²³")
RESERVED = frozenset(("con", "prn", "aux", "nul", "conin$", "conout$", *_PORTS))
"""Names of devices, which no file can have, whatever its ending (Microsoft, "Naming Files, Paths, and Namespaces")."""

FORBIDDEN = '<>:"/\\|?*'
"""And control characters. A colon would write into a hidden stream of another file."""

LONGEST_PATH = 259
"""Characters of a path, unless long paths are turned on in the system."""

_FILE_SYSTEM = r"SYSTEM\CurrentControlSet\Control\FileSystem"

PATIENCE = 2.0
"""Seconds for virus scanners and indexers, which open every new file for a moment."""


def unusable(name: str) -> str | None:
    """Why a file or folder can't have a name on Windows, in words; None where it can.

    Args:
        name: of one file or folder, without those above it.
    """
    device = name.split(".")[0].rstrip(" ")
    if device.casefold() in RESERVED:
        return f"{device} is the name of a device on Windows"
    wrong = [character for character in name if character in FORBIDDEN or character < " "]
    if wrong:
        return f"Windows has no {wrong[0]!r} in names"
    if name.endswith((".", " ")):
        return "Windows drops dots and spaces at the end of names"
    return None


def unusable_part(path: Path) -> str | None:
    """Why Windows can't have a path, by the first name in it that is wrong; None where it can."""
    whole = PureWindowsPath(path)
    for part in whole.parts[1:] if whole.anchor else whole.parts:
        reason = None if part in (".", "..") else unusable(part)
        if reason is not None:
            return reason
    return None


def too_long(path: str, deeper: int = 0) -> str | None:
    """Why Windows doesn't take a path, in words, if its length is the reason; None where it isn't.

    Args:
        path: it may be relative.
        deeper: characters that are added to it.
    """
    length = len(str(Path(path).absolute())) + deeper
    if sys.platform != "win32" or length <= LONGEST_PATH or _takes_long_paths():
        return None
    return (
        f"its path has up to {length} characters, and Windows takes {LONGEST_PATH} here; work in a folder with a "
        "shorter path, or turn on long paths in Windows"
    )


def _takes_long_paths() -> bool:
    """Whether long paths are turned on (Microsoft, "Maximum Path Length Limitation")."""
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _FILE_SYSTEM) as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False


def patiently(act: Callable[[], T]) -> T:
    """Do something to a file or folder again and again, on Windows, while another program has it open.

    Raises:
        PermissionError: it has it open longer than `PATIENCE`, or this isn't Windows.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > until:
                raise
        time.sleep(PATIENCE / 40)
