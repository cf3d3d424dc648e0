"""The folder of an evaluation: report, figure, numbers, and an item that says what was evaluated."""

from __future__ import annotations

import json
from pathlib import Path

from tessera_engine.analysis.maps.evaluate import Evaluation
from tessera_engine.analysis.maps.report import draw, markdown
from tessera_engine.analysis.rasters import write_result_item
from tessera_engine.files.result import result_folder
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.stac.items import Asset


def write_evaluation(evaluation: Evaluation, embeddings: Embeddings, out: Path, overwrite: bool) -> None:
    """Write `report.md`, `report.png`, `report.json` and `item.json` into a folder.

    Args:
        evaluation: what was found.
        embeddings: what was evaluated.
        out: the folder to make.
        overwrite: replace an earlier result.

    Raises:
        InputError: something stands at `out`.
        MissingExtra: Pillow isn't installed.
    """
    title = f"Evaluation on {evaluation.facts['field'] or evaluation.facts['labels']}"
    with result_folder(out, overwrite) as folder:
        (folder / "report.md").write_text(markdown(evaluation), encoding="utf-8")
        draw(evaluation, folder / "report.png")
        numbers = json.dumps(evaluation.to_dict(), indent=2)
        (folder / "report.json").write_text(numbers + "\n", encoding="utf-8")
        assets = [
            Asset("report", "report.md", "text/markdown", title, ("metadata",)),
            Asset("picture", "report.png", "image/png", f"{title}, as a figure", ("overview",)),
            Asset("numbers", "report.json", "application/json", f"{title}, as numbers", ("metadata",)),
        ]
        asked = {key: evaluation.facts[key] for key in ("labels", "labels_sha256", "field")}
        write_result_item(folder, embeddings.grid, (embeddings,), "evaluation", title, assets, asked)
