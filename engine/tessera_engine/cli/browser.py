"""Opening a page in the user's browser, where there is a screen for it."""

from __future__ import annotations

import os
import sys


def open_page(address: str) -> bool:
    """Let the user's browser open a page, if there is one that has a window; gives whether it took it."""
    if not _has_screen():
        return False
    import webbrowser

    return webbrowser.open(address)


def _has_screen() -> bool:
    """Whether a browser can open a window. Without one, Python would start a browser for terminals in this one."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
