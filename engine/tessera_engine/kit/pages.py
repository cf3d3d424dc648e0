"""The documentation as pages for a browser: where this installation has them."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.errors import TesseraError
from tessera_engine.kit.source_tree import SITE

FIRST = "index.html"

_PACKAGE = Path(__file__).parents[1]
INSTALLED = _PACKAGE / "documentation"
"""Where a wheel has them, if they were built when it was made: `docs/in_wheel.py` puts them there."""


def find_pages() -> Path:
    """The first page.

    Raises:
        TesseraError: this installation has no pages.
    """
    for folder in (INSTALLED, _PACKAGE.parents[1] / SITE):
        if (folder / FIRST).is_file():
            return folder / FIRST
    raise TesseraError(
        "this installation has no pages of the documentation; a kit and the wheel of a release have them, and in a "
        "checkout 'make docs' builds them"
    )
