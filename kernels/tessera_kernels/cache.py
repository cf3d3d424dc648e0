"""Where compiled kernels are kept: beside the code, else in the user's cache folder, else only for this process.

By default numba raises an error at import if it can write to neither of the first two, as with a package installed by
root and a read-only home folder.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numba
from platformdirs import user_cache_path

config: Any = numba.config  # numba adds its settings at run time, where mypy can't see them

PACKAGE = Path(__file__).parent


def user_cache() -> Path:
    """The user's cache folder for kernels (on Linux ~/.cache/tessera-engine/kernels); it may not exist yet."""
    return user_cache_path("tessera-engine", appauthor=False) / "kernels"


def is_writable(folder: Path) -> bool:
    """Whether files can be created in a folder. Creates the folder if it doesn't exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def place_cache() -> None:
    """Set the folder where numba keeps compiled kernels.

    It is left alone where the environment variable `NUMBA_CACHE_DIR` sets it, or where files can be written beside the
    code.
    """
    if config.CACHE_DIR or is_writable(PACKAGE / "__pycache__"):
        return
    folder = user_cache()
    if not is_writable(folder):
        # A new folder each time: numba loads and runs what it finds, and others can write to a fixed temporary place
        folder = Path(tempfile.mkdtemp(prefix="tessera-engine-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config.CACHE_DIR = str(folder)


def cache_folder() -> str:
    """The folder where compiled kernels are kept, to show to people."""
    return str(config.CACHE_DIR) or str(PACKAGE)
