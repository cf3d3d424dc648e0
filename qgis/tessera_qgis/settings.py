"""The one setting: which program is called. It is under Settings > Options > Processing > Providers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qgis.core import QgsSettings

from tessera_qgis.program import NOT_FOUND, find_program

GROUP = "tessera-engine"
PROGRAM = "TESSERA_ENGINE_PROGRAM"


def add(icon: Any) -> None:
    """Show the setting in the options of Processing."""
    from processing.core.ProcessingConfig import ProcessingConfig, Setting

    ProcessingConfig.settingIcons[GROUP] = icon
    ProcessingConfig.addSetting(
        Setting(
            GROUP,
            PROGRAM,
            "Program tessera-engine, or the folder of its environment (empty: look for it)",
            "",
            valuetype=Setting.FILE,
        )
    )
    ProcessingConfig.readSettings()


def remove() -> None:
    """Don't show it any more."""
    from processing.core.ProcessingConfig import ProcessingConfig

    ProcessingConfig.removeSetting(PROGRAM)


def program() -> Path:
    """The program to call.

    Raises:
        FileNotFoundError: there is none; its text says what to do.
    """
    chosen = str(QgsSettings().value(f"Processing/Configuration/{PROGRAM}", "") or "").strip()
    found = find_program(chosen, os.environ.get("PATH"), Path.home())
    if found is None:
        raise FileNotFoundError(NOT_FOUND.format(place=f"at {chosen}" if chosen else "on the PATH"))
    return found
