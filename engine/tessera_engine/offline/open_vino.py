"""The one way to OpenVINO: imported only where it computes, and without its telemetry.

With OpenVINO, pip installs the package `openvino_telemetry`. As soon as OpenVINO is imported, that package keeps an id
of the user in `~/intel` and sends an event to Google Analytics. Without it, OpenVINO takes a stub of its own.
"""

from __future__ import annotations

import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def open_vino() -> Any:
    """The module `openvino`.

    Raises:
        ModuleNotFoundError: it isn't installed.
    """
    there = _TELEMETRY in sys.modules
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment] # so that importing it fails
    try:
        import openvino
    finally:
        # What else of this process wants it is the user's
        if there:
            sys.modules[_TELEMETRY] = before  # type: ignore[assignment]
        else:
            del sys.modules[_TELEMETRY]
    return openvino
