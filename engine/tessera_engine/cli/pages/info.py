"""The contents of a scene, a model or an output, as plain values for a table or JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from tessera_engine.analysis.maps.classifier_file import is_classifier, read_classifier
from tessera_engine.backends.choosing import choose
from tessera_engine.cli.pages.calendar_strip import valid_shares
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest, no_such_folder
from tessera_engine.files.output import is_output
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.formats.opening import holds_embeddings, open_embeddings, stored_years
from tessera_engine.geo import bounding_box, footprint
from tessera_engine.model.file import ModelFile
from tessera_engine.model.installed import DEFAULT_MODEL, is_model_name, open_model
from tessera_engine.scene import Scene
from tessera_engine.stac.members import MEMBERS
from tessera_engine.stac.periods import PERIODS
from tessera_engine.stac.reading import read_item


def describe(target: str, announce: Callable[[str], None] | None = None, **opening: Any) -> dict[str, Any]:
    """Describe what the user names: a scene folder, an output folder or a model.

    A model's name means the model, even if the current folder contains a folder of that name: `info demo` gives the
    same answer everywhere. That folder is given as `./demo` or `demo/`.

    Args:
        target: a folder, a file or a model's name.
        announce: called if kernels have to be compiled first, to time them on a scene, and if there is also a folder
            with the model's name.
        opening: how to open a scene, see `tessera_engine.scenes.open.open_scene`.

    Raises:
        InputError: it is none of these, or no scene and there are options of scenes.
    """
    path = Path(target)
    finish_or_undo(path)
    is_scene = path.is_dir() and not (is_model_name(target) or is_output(path) or holds_embeddings(path))
    for name, value in opening.items():
        if value is not None and not is_scene and (path.exists() or is_model_name(target)):
            raise InputError(f"{name}={value} says how to read a scene, and {target} is none; leave it out")
    if is_model_name(target):
        if path.is_dir() and announce is not None:
            announce(f"note: {target} is taken as the model; for the folder give ./{target}")
        return describe_model(open_model(target))
    if path.is_dir():
        if is_output(path):
            return describe_output(path)
        if holds_embeddings(path):
            return describe_downloaded(path)
        from tessera_engine.scenes import open_scene

        return describe_scene(open_scene(path, **opening), announce)
    if path.is_file() and is_output(path.absolute().parent):
        raise InputError(f"{path} is one file of an output; give the output's folder: {path.parent}")
    if path.is_file() and is_classifier(path):
        return describe_classifier(path)
    if path.exists() and path.suffix != ".onnx":
        raise InputError(
            f"{path} is neither a scene folder, an output folder, a model file (.onnx) nor a classifier of map --save"
        )
    check_no_mistyped_folder(target)
    return describe_model(open_model(target))


def check_no_mistyped_folder(target: str) -> None:
    """Raise InputError if nothing has this name, but a folder beside it has a similar one."""
    path = Path(target)
    if path.exists() or path.suffix == ".onnx" or is_model_name(target):
        return
    beside = (each.name for each in path.parent.glob("*") if each.is_dir())
    if nearest(path.name, beside) is not None:
        raise no_such_folder(path)


def describe_scene(scene: Scene, announce: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Describe a scene: its grid, place, dates, valid shares, findings, what isn't used, and the cost to embed it."""
    from tessera_engine.cli.pages.expectation import expect
    from tessera_engine.guard import SAMPLE_PIXELS, examine_sample, plausible_shares
    from tessera_engine.scenes.unused import as_json, note

    grid, reader = scene.grid, scene.reader
    dates = reader.dates
    sample = reader.sample(grid.window, SAMPLE_PIXELS)
    model = open_model(DEFAULT_MODEL, "int8").facts
    outline = footprint(grid)
    expected = expect(reader, sample, announce)
    others = note(reader.unused)
    if announce is not None and others is not None:
        announce(others)
    return {
        "kind": "scene",
        "name": scene.name,
        "layout": reader.layout,
        "width": grid.width,
        "height": grid.height,
        "crs": grid.crs,
        "period": [day.isoformat() for day in scene.reader.period] if scene.reader.period else None,
        "transform": list(grid.transform)[:6] if grid.crs else None,
        "footprint": bounding_box(outline) if outline else None,
        "s2_dates": len(dates.s2),
        "s1_ascending_dates": len(dates.s1_ascending),
        "s1_descending_dates": len(dates.s1_descending),
        "days_of_year": asdict(dates),
        "sampled_pixels": sample.s2_valid.shape[1] * sample.s2_valid.shape[2],
        "valid_share": valid_shares(sample),
        "plausible_share": plausible_shares(sample, model),
        "findings": [finding.to_dict() for finding in examine_sample(scene, sample, model)],
        "unused": as_json(reader.unused),
        "expected": expected.to_dict() if expected else None,
    }


def describe_downloaded(folder: Path) -> dict[str, Any]:
    """Describe embeddings that another program has downloaded, without an item: years, grid and form."""
    years = stored_years(folder)
    found = open_embeddings(folder, year=years[-1] if years else None)
    outline = footprint(found.grid)
    return {
        "kind": "embeddings of another program",
        "format": found.format,
        "years": years,
        "width": found.grid.width,
        "height": found.grid.height,
        "crs": found.grid.crs,
        "footprint": bounding_box(outline) if outline else None,
        "dim": found.dim,
        "stored_as": found.stored_as,
        "model": None,
    }


def describe_model(model: ModelFile) -> dict[str, Any]:
    """Describe a model file: its facts, and the backend that runs it on this machine."""
    backend, _, why = choose("auto", precision=model.facts.precision, facts=model.facts)
    return {
        "kind": "model",
        "runs_on": f"{backend}: {why}",
        "file": str(model.path),
        "bytes": model.path.stat().st_size,
        "sha256": model.sha256,
        **asdict(model.facts),
    }


def describe_classifier(path: Path) -> dict[str, Any]:
    """Describe a classifier that `map` saved: what it was learned from, and how good it was."""
    found = read_classifier(path)
    facts = {
        key: value
        for key, value in msgspec.structs.asdict(found.about).items()
        if key not in ("classes", "report")
    }
    return {
        "kind": "classifier",
        "file": str(path),
        "bytes": path.stat().st_size,
        **facts,
        "classes": [each.name for each in found.about.classes],
        "applicability_threshold": found.meaning.threshold,
    }


def describe_output(folder: Path) -> dict[str, Any]:
    """Describe an output folder or results: provenance and files, from its item. `verify` checks them."""
    item = read_item(folder)
    return {
        "kind": item.result or "output",
        "name": item.id,
        **{
            key: value
            for key, value in item.properties.items()
            if value is not None and key not in (MEMBERS, PERIODS)
        },
        **({"periods": _periods(item.properties[PERIODS])} if PERIODS in item.properties else {}),
        **({"scenes": _scenes(item.properties[MEMBERS])} if MEMBERS in item.properties else {}),
        "files": {asset.href: asset.size for asset in item.assets.values()},
    }


def _periods(periods: list[dict[str, Any]]) -> list[str]:
    """One line for each period of a store."""
    return [
        f"{each['start']} to {each['end']}, {each['tessera:pixels_with_data']} px with data"
        for each in periods
    ]


def _scenes(members: list[dict[str, Any]]) -> list[str]:
    """One line for each scene of a grown store; item.json has the details."""
    return [
        f"{each['tessera:scene']} of {each['tessera:year']}, {each['tessera:pixels_with_data']} px with data, by "
        f"{each['tessera:backend']} on {each['tessera:instruction_set']}"
        for each in members
    ]
