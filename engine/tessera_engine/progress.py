"""How long work reports what it does."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all, in one unit: pixels, bytes or steps."""

Announce = Callable[[str], None]
"""Called with one line for the user."""
