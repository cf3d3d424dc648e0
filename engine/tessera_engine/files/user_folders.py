"""The folders of this user where the engine keeps things: models and checkpoints, and what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

APP = "tessera-engine"

HOME_VARIABLE = "TESSERA_ENGINE_HOME"
"""Environment variable: one folder for all of it, instead of the system's places."""


def data_folder(name: str) -> Path:
    """A folder for what the user needs to keep; may not exist yet. On Linux `~/.local/share/tessera-engine/<name>`."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home) / name
    return user_data_path(APP, appauthor=False) / name


def cache_folder(name: str) -> Path:
    """A folder for what can be made again; may not exist yet. On Linux `~/.cache/tessera-engine/<name>`."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home) / name
    return user_cache_path(APP, appauthor=False, opinion=False) / name
