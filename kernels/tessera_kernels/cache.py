"""Where compiled kernels are kept: beside the code, else in the user's cache folder, else only while running.

Left alone, numba raises an error at import where it can write to neither of the first two: a package installed by root
and a read-only home.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numba

config: Any = numba.config  # its settings are made at run time, which mypy can't see

PACKAGE = Path(__file__).parent


def user_cache() -> Path:
    """The user's cache folder for kernels; may not exist yet."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "tessera-engine" / "kernels"


def is_writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def place_cache() -> None:
    """Tell numba where to keep compiled kernels, unless `NUMBA_CACHE_DIR` does or it can keep them beside the code."""
    if config.CACHE_DIR or is_writable(PACKAGE / "__pycache__"):
        return
    folder = user_cache()
    if not is_writable(folder):
        # Not a fixed place in the shared temporary folder: what lies there is loaded and run
        folder = Path(tempfile.mkdtemp(prefix="tessera-engine-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config.CACHE_DIR = str(folder)


def cache_folder() -> str:
    """Where compiled kernels are kept, for people."""
    return str(config.CACHE_DIR) or str(PACKAGE)
