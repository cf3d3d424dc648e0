"""Verify an output: its files, its rasters, and with a scene some places embedded again."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from tessera_engine.backends.registry import backend_names, backend_record
from tessera_engine.errors import InputError, ModelError, check_type
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.files.pinned import Pinned
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.given import Given, GivenPath, path_given
from tessera_engine.formats.opening import open_embeddings
from tessera_engine.progress import Announce
from tessera_engine.running.loading import Model, load_model
from tessera_engine.scene import Scene
from tessera_engine.scenes import open_scene
from tessera_engine.stac.reading import Item, read_item
from tessera_engine.stac.writing import LOSSY
from tessera_engine.verification.output import check_files, check_nodata, open_rasters
from tessera_engine.verification.reembedding import Reembedded, reembed
from tessera_engine.verification.seams import find_seams


@dataclass(frozen=True, repr=False)
class Verified:
    """An output that passed.

    Attributes:
        out: the output folder.
        files: number of files, each with the sha256 in item.json.
        rasters: the rasters whose grid, dtype and nodata are as in item.json, by key.
        seed: of the places that were embedded again.
        reembedded: how they compare; None without a scene.
        skipped: what was not checked, a phrase each.
        seams: lines at which neighbours differ more than beside them, a phrase each: see
            `tessera_engine.verification.seams`. They are for a person to judge, and fail nothing.
    """

    out: Path
    files: int
    rasters: tuple[str, ...]
    seed: int
    reembedded: Reembedded | None
    skipped: tuple[str, ...]
    seams: tuple[str, ...] = ()

    def __repr__(self) -> str:
        again = "" if self.reembedded is None else f", {self.reembedded.pixels} px embedded again"
        return f"<Verified {self.out}: {self.files} files, {len(self.rasters)} rasters{again}: passed>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON and tables."""
        result: dict[str, Any] = {
            "output": str(self.out),
            "files": f"{self.files}, each with the sha256 in item.json",
        }
        if self.rasters:
            result["rasters"] = f"{', '.join(self.rasters)}: grid, dtype and nodata as in item.json"
        done = self.reembedded
        if done is not None:
            read = _share(done.fingerprinted, done.scene_bytes)
            result["scene"] = f"its fingerprint, which covers {read} of its bytes, is as in item.json"
            at_random = f" at random places (seed {self.seed})" if done.pixels < done.output_pixels else ""
            share = _share(done.pixels, done.output_pixels)
            result["embedded again"] = f"{done.pixels:,} of {done.output_pixels:,} px, {share}{at_random}"
            result["compared"] = (
                f"by drift ({', '.join(done.differs)})" if done.differs else "bit for bit, equal"
            )
            result |= done.drift.to_dict() if done.differs and done.drift else {}
        if self.seams:
            result["seams"] = list(self.seams)
        return result | {"not checked": list(self.skipped), "passed": True}


def _share(part: int, whole: int) -> str:
    """In per cent, never rounded up to all or down to nothing."""
    percent = 100 * part / whole if whole else 100.0
    if part == whole:
        return "all"
    return f"{min(99.9, percent):.1f} %" if percent >= 0.1 else "less than 0.1 %"


def verify(
    output: Given,
    scene: Scene | GivenPath | None = None,
    *,
    model: Model | GivenPath | None = None,
    backend: str = "auto",
    pixels: int = 1024,
    seed: int = 0,
    threads: int | None = None,
    announce: Announce | None = None,
) -> Verified:
    """Check an output: the sha256 and the contents of every file, and with a scene random places embedded again.

    The embeddings must be equal bit for bit if the engine, backend and instruction set are the same, and otherwise
    within the drift that is allowed for the model.

    Args:
        output: an output folder, or `open_embeddings(...)`.
        scene: the scene that it was made from, or its folder; None: embed nothing again.
        model: the model that made it: its name, its file or `load_model(...)`; None: the model named in item.json.
        backend: the backend that runs the model; `auto` is the one that made the output.
        pixels: approximate number of pixels to embed again; as many as the output has: all of them.
        seed: of the random places; the same seed gives the same places.
        threads: CPU threads; None: all that this process may use.
        announce: called before kernels are compiled, which takes a while the first time.

    Raises:
        InputError: an argument is wrong, it is no output, or its format can't be compared with a scene.
        CheckFailed: something is not as it was written; the message says what.
    """
    folder = path_given("output", output)
    _check_arguments(scene, model, backend, pixels, seed)
    if scene is None and model is not None:
        raise InputError(
            "model= embeds places again, which needs the scene; give scene=, or leave model= out"
        )
    finish_or_undo(folder)
    if not folder.is_dir():
        read_item(folder)  # says why it is no output
    pinned = output.folder if isinstance(output, Embeddings) else Pinned(folder)
    with pinned.reading() as here:
        found = _verify(here, scene, model, backend, pixels, seed, threads, announce)
    return replace(found, out=folder)


def _verify(
    folder: Path,
    scene: Scene | GivenPath | None,
    model: Model | GivenPath | None,
    backend: str,
    pixels: int,
    seed: int,
    threads: int | None,
    announce: Announce | None,
) -> Verified:
    """Verify the output in a folder that stays as it is."""
    item = read_item(folder)
    check_files(folder, item)
    if item.result is not None and scene is not None:
        raise InputError(f"{folder} is a result ({item.result}), not embeddings; scene= is for embeddings")
    if scene is not None and LOSSY in item.properties:
        raise InputError(
            f"{folder} lost some of the embeddings ({item.properties[LOSSY]}), so they can't be compared with those of "
            "a scene; leave out scene="
        )
    # Results made from embeddings have other kinds of files, of which only the checksums can be checked
    rasters = open_rasters(folder, item) if item.result is None else {}
    skipped = [f"the contents of {asset.href}" for key, asset in item.assets.items() if key not in rasters]
    comparable = {"embeddings", "observations"} <= rasters.keys()
    if comparable:
        check_nodata(rasters, item)
    elif scene is not None:
        raise InputError(
            f"scene= works with GeoTIFF and npy outputs only; 'tessera-engine convert {folder} --format cog' makes one"
        )
    done = None
    if comparable and scene is None:
        skipped.append("the values of the embeddings: give scene= to embed some places again")
    elif scene is not None:
        loaded = model if isinstance(model, Model) else _load(model, item, backend, threads, announce)
        opened = scene if isinstance(scene, Scene) else open_as_before(scene, item)
        done = reembed(rasters, item, opened, loaded, pixels, seed)
    checked = tuple(rasters) if comparable else ()
    seams = find_seams(open_embeddings(folder)).phrases() if comparable else ()
    return Verified(folder, len(item.assets), checked, seed, done, tuple(skipped), tuple(seams))


def open_as_before(scene: GivenPath, item: Item) -> Scene:
    """Open a scene with the year or the season that an output was made from.

    Raises:
        InputError: it can't be opened so.
    """
    year, season = item.properties.get("tessera:year"), item.properties.get("tessera:season")
    path = os.fspath(scene)
    if season is None:
        return open_scene(path, year=year)
    tiles = item.properties.get("tessera:scene_layout") in ("dpixel", "tiles")
    first, last = (date.fromisoformat(day) for day in season)
    # d-pixel tiles don't contain their year. A season within one year names it
    return open_scene(
        path, start=first, end=last, year=first.year if tiles and first.year == last.year else None
    )


def _check_arguments(scene: object, model: object, backend: object, pixels: object, seed: object) -> None:
    if scene is not None:
        check_type("scene", scene, (Scene, str, os.PathLike), "a scene folder or open_scene(...)")
    if model is not None:
        kinds = (Model, str, os.PathLike)
        check_type("model", model, kinds, "a model's name, a model file or load_model(...)")
    check_type("backend", backend, (str,), "the name of a backend")
    check_type("pixels", pixels, (int,), "a whole number")
    check_type("seed", seed, (int,), "a whole number")


def _load(
    model: GivenPath | None, item: Item, backend: str, threads: int | None, announce: Announce | None
) -> Model:
    made_by = item.fact("backend")
    if backend == "auto" and made_by in backend_names():
        record = backend_record(made_by)
        if "cpu" in record.runs or record.find("cuda").version is not None:
            backend = made_by
        elif announce is not None:
            announce(f"note: the output was made on a GPU by {made_by}, which is not available here")
    name = item.fact("model") if model is None else os.fspath(model)
    try:
        return load_model(name, item.fact("precision"), backend, threads, announce)
    except ModelError as error:
        if model is not None:
            raise
        raise ModelError(
            f"the output's model is not available: {error}; or give its file as model="
        ) from None
