"""What a map's folder says of its quality: the numbers, a report to read, and its figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tessera_engine.analysis.maps.about import About
from tessera_engine.analysis.maps.drawing import PICTURE
from tessera_engine.analysis.maps.map_report import Figures, map_document
from tessera_engine.analysis.maps.reliability_figure import draw_reliability
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.files.text import write_text
from tessera_engine.stac.items import Asset


def write_map_report(
    folder: Path, report: Mapping[str, Any], about: About, embeddings: Sequence[str]
) -> list[Asset]:
    """Write `report.html`, `report.md` and `report.json`, and for classes `reliability.png`.

    Args:
        folder: of the map, with its pictures.
        report: see `tessera_engine.analysis.maps.training.train`.
        about: the facts of the classifier.
        embeddings: the names of what was mapped.
    """
    assets = []
    reliability = None
    if "reliability" in report:
        reliability = folder / "reliability.png"
        draw_reliability(reliability, report["reliability"])
        title = "How often held-out labels of some confidence are right"
        assets.append(Asset("reliability", reliability.name, "image/png", title, ("metadata",)))
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    assets.append(
        Asset("numbers", "report.json", "application/json", "The report, as numbers", ("metadata",))
    )
    figures = Figures(tuple(sorted(folder.rglob(PICTURE))), reliability)
    return assets + write_report(folder, map_document(report, about, embeddings, figures))
