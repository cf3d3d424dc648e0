"""Where the program tessera-engine is, and in which environment it runs. Knows nothing of QGIS."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

NAME = "tessera-engine"

INSIDE = ("bin/tessera-engine", "Scripts/tessera-engine.exe")
"""The program in a virtual environment: on Linux and macOS, on Windows."""

ENVIRONMENTS = (
    "tessera-engine-env",
    "tessera",
    *(f"{folder}/tessera-engine-env" for folder in ("Desktop", "Documents", "Downloads")),
)
"""Where the installer of a kit and its page put an environment, below the user's home."""

NOT_FOUND = (
    "tessera-engine was not found {place}; install it, then set the program under Settings > Options > Processing > "
    "Providers > tessera-engine"
)

NOT_PASSED_ON = ("PYTHON", "GDAL_", "PROJ_", "CPL_", "OGR_", "QT_", "QGIS_")
"""What QGIS sets for its own Python and GDAL, which have other versions than those of the program."""


def find_program(chosen: str, search_path: str | None, home: Path) -> Path | None:
    """Find the program.

    Args:
        chosen: the program, or the folder of its environment, as the user set it; empty: look for it.
        search_path: value of the variable PATH.
        home: folder of the user, where environments of kits are looked for.

    Returns:
        The program; None if there is none. What the user set is never replaced by another one.
    """
    if chosen:
        return _program_at(Path(chosen).expanduser())
    found = shutil.which(NAME, path=search_path)
    if found is not None:
        return Path(found).absolute()
    return next(filter(None, (_program_at(home / folder) for folder in ENVIRONMENTS)), None)


def _program_at(place: Path) -> Path | None:
    for path in (place, *(place / inside for inside in INSIDE)):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what QGIS sets for itself.

    Args:
        environment: of QGIS.
    """
    kept = {name: value for name, value in environment.items() if not name.upper().startswith(NOT_PASSED_ON)}
    return {**kept, "PYTHONIOENCODING": "utf-8"}
