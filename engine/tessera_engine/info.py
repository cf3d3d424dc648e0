"""What is in a scene, a model or an output, as plain values for a table or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tessera_engine.backends import choose
from tessera_engine.errors import InputError
from tessera_engine.model_file import ModelFile
from tessera_engine.output import ITEM, is_output
from tessera_engine.scene import Scene


def describe(target: str) -> dict[str, Any]:
    """Describe whatever the user names: a scene folder, an output folder or a model.

    Raises:
        InputError: none of these.
    """
    path = Path(target)
    if path.is_dir():
        if is_output(path):
            return describe_output(path)
        from tessera_engine.scenes import open_scene

        return describe_scene(open_scene(path))
    if path.exists() and path.suffix != ".onnx":
        raise InputError(f"{path} is neither a scene folder, an output folder nor a model file (.onnx)")
    from tessera_engine.model_store import open_model

    return describe_model(open_model(target))


def describe_scene(scene: Scene) -> dict[str, Any]:
    """Layout, grid and dates of a scene."""
    grid, dates = scene.grid, scene.reader.dates
    return {
        "kind": "scene",
        "name": scene.name,
        "layout": scene.reader.layout,
        "width": grid.width,
        "height": grid.height,
        "crs": grid.crs,
        "transform": list(grid.transform)[:6] if grid.crs else None,
        "s2_dates": len(dates.s2),
        "s1_ascending_dates": len(dates.s1_ascending),
        "s1_descending_dates": len(dates.s1_descending),
        "days_of_year": asdict(dates),
        "warnings": list(scene.reader.warnings),
    }


def describe_model(model: ModelFile) -> dict[str, Any]:
    """The facts of a model file, and what would run it here."""
    backend, why = choose("auto")
    return {
        "kind": "model",
        "runs_on": f"{backend}: {why}",
        "file": str(model.path),
        "bytes": model.path.stat().st_size,
        "sha256": model.sha256,
        **asdict(model.facts),
    }


def describe_output(folder: Path) -> dict[str, Any]:
    """Provenance and files of an output folder."""
    item = json.loads((folder / ITEM).read_text(encoding="utf-8"))
    return {
        "kind": "output",
        "name": item["id"],
        **{key: value for key, value in item["properties"].items() if value is not None},
        "files": {asset["href"]: asset.get("file:size") for asset in item["assets"].values()},
    }
