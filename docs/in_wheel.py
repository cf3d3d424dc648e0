"""Puts the pages of `make docs` into the wheel, where `tessera-engine docs` finds them. hatchling calls it.

A wheel that is built without them has no pages, so that whoever installs from a checkout doesn't need MkDocs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SITE = "dist/site"
TARGET = "tessera_engine/documentation"

LEFT_OUT = ("*.map", "404.html", "sitemap.xml*", "search/search_index.json", "assets/javascripts/lunr/**/*")
"""What only web servers and developers read, among it a second copy of the search's index, and the search's rules for
languages other than English."""


def pages(root: Path) -> dict[str, str]:
    """Files of the built pages -> their places in the wheel; empty if the pages are not built."""
    site = root / SITE
    if not (site / "index.html").is_file():
        return {}
    left_out = {path for pattern in LEFT_OUT for path in site.rglob(pattern)}
    return {
        str(path): f"{TARGET}/{path.relative_to(site).as_posix()}"
        for path in sorted(site.rglob("*"))
        if path.is_file() and path not in left_out
    }


class PagesInWheel(BuildHookInterface):  # type: ignore[type-arg]
    """Called for each wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the pages. An editable install reads them from the checkout."""
        if version != "editable":
            build_data["force_include"] |= pages(Path(self.root))
