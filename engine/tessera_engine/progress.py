"""How long work tells what it does."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with pixels done and pixels in all, after each window."""


Tell = Callable[[str], None]
"""Takes a line for the user."""
