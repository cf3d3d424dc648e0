"""What a map's folder says of its quality: the numbers, a report to read, and its figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tessera_engine.analysis.maps.drawing import PICTURE
from tessera_engine.analysis.maps.map_report import Figures, map_document
from tessera_engine.analysis.maps.numbers_figure import draw_numbers
from tessera_engine.analysis.maps.reliability_figure import draw_reliability
from tessera_engine.analysis.maps.training import Trained
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.files.text import write_text
from tessera_engine.stac.items import Asset


def write_map_report(
    folder: Path, report: Mapping[str, Any], trained: Trained, embeddings: Sequence[str]
) -> list[Asset]:
    """Write `report.html`, `report.md` and `report.json`, and a figure of the labels that were held out.

    The figure is `reliability.png` of classes, `predictions.png` of numbers.

    Args:
        folder: of the map, with its pictures.
        report: see `tessera_engine.analysis.maps.training.train`.
        trained: what was learned.
        embeddings: the names of what was mapped.
    """
    if "reliability" in report:
        held_out = folder / "reliability.png"
        draw_reliability(held_out, report["reliability"])
        title = "How often held-out labels of some confidence are right"
    else:
        held_out = folder / "predictions.png"
        draw_numbers(held_out, trained.labels.values, trained.predicted)
        title = "Numbers that are predicted for held-out labels"
    assets = [Asset(held_out.stem, held_out.name, "image/png", title, ("metadata",))]
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    assets.append(
        Asset("numbers", "report.json", "application/json", "The report, as numbers", ("metadata",))
    )
    figures = Figures(tuple(sorted(folder.rglob(PICTURE))), held_out)
    return assets + write_report(folder, map_document(report, trained.classifier.about, embeddings, figures))
