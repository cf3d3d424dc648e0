"""Whole output folders of made-up embeddings, without running a model."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from staged import stage

from tessera_engine.files.output import ITEM
from tessera_engine.formats.writing import write
from tessera_engine.pictures.true_colour import staged, write_true_colours
from tessera_engine.scene import Dates, Grid
from tessera_engine.stac.writing import RunFacts, write_item

FACTS = {
    "scene_name": "field",
    "scene_layout": "fake",
    "scene_fingerprint": "0" * 64,
    "dates": Dates((10, 200), (11,), ()),
    "findings": (),
    "model_name": "nano",
    "model_sha256": "a" * 64,
    "generation": "v2",
    "precision": "int8",
    "backend": "fake",
    "backend_version": "1.0",
    "instruction_set": "paper",
    "engine_version": "0.1.0",
}


def made_up_output(
    folder: Path,
    embedding: NDArray[np.float32],
    format: str = "cog",
    stored_as: str = "int8",
    grid: Grid | None = None,
    year: int | None = None,
    colours: NDArray[np.uint16] | None = None,
    **facts,
) -> Path:
    """An output folder as `embed` would leave it."""
    staging = stage(folder / "staging", embedding, stored_as, grid, colours)
    assets = write(format, staging, folder, "field")
    assets += write_true_colours(folder, staged(staging), format, "field", year, None)
    pixels = int(np.isfinite(embedding[..., 0]).sum())
    about = FACTS | {"stored_as": stored_as, "dim": embedding.shape[2], "pixels_with_data": pixels} | facts
    if year is not None:
        about["period"] = (date(year, 2, 1), date(year, 11, 30))
    write_item(folder / ITEM, staging.grid, assets, RunFacts(**about))
    shutil.rmtree(folder / "staging")
    return folder


def contents(out: Path) -> dict[str, bytes]:
    """The files of an output; of item.json what doesn't tell the time."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    item = json.loads(files["item.json"])
    for word in ("created", "tessera:item_sha256"):
        item["properties"].pop(word)
    return files | {"item.json": json.dumps(item).encode()}
