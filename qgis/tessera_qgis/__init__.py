"""A plugin of QGIS: the commands of tessera-engine as algorithms of Processing.

It needs QGIS and Python's standard library only. The engine runs as a program, in an environment of its own.
"""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Give QGIS the plugin."""
    from tessera_qgis.plugin import Plugin

    return Plugin()
