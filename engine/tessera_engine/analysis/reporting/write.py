"""Write a report beside its figures."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.analysis.reporting.as_markdown import to_markdown
from tessera_engine.analysis.reporting.as_page import to_page
from tessera_engine.analysis.reporting.document import Document
from tessera_engine.files.text import write_text
from tessera_engine.stac.items import Asset


def write_report(folder: Path, document: Document) -> list[Asset]:
    """Write `report.md` and `report.html`; the figures lie in the folder already."""
    write_text(folder / "report.md", to_markdown(document, folder))
    write_text(folder / "report.html", to_page(document))
    return [
        Asset("report", "report.md", "text/markdown", document.title, ("metadata",)),
        Asset("page", "report.html", "text/html", f"{document.title}, as a page", ("metadata",)),
    ]
