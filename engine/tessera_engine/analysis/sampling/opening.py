"""The sources that a user names: outputs and scenes, as folders or open."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tessera_engine.analysis.options import SampleOptions
from tessera_engine.analysis.sampling.embedding import SceneSource
from tessera_engine.analysis.sampling.sources import Source
from tessera_engine.backends.choosing import choose
from tessera_engine.errors import InputError, check_type
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.formats.opening import holds_embeddings, open_embeddings, stored_years
from tessera_engine.model.installed import open_model
from tessera_engine.progress import Announce
from tessera_engine.running.loading import Model
from tessera_engine.running.options import check_dim
from tessera_engine.scene import Scene
from tessera_engine.scenes import open_scene

From: TypeAlias = Embeddings | Scene | GivenPath
"""Where embeddings come from, as an argument."""

EXPECTED = "an output folder, a scene folder, open_embeddings(...) or open_scene(...)"


def open_sources(
    sources: From | Sequence[From], options: SampleOptions, held: int, announce: Announce | None
) -> list[Source]:
    """Open what a user names; an output with several years is several sources.

    Args:
        sources: one or several.
        options: of `sample`.
        held: bytes of memory of what else is there while a scene is embedded.
        announce: called with findings about scenes.

    Raises:
        InputError: something isn't what is expected, has no CRS, or embeddings of different models would be mixed.
    """
    given: list[Any] = list(sources) if isinstance(sources, (list, tuple)) else [sources]
    if not given:
        raise InputError(f"sources= is empty; expected {EXPECTED}")
    found: list[Source] = []
    for each in given:
        check_type("sources", each, (Embeddings, Scene, str, os.PathLike), EXPECTED)
        opened = _opened(each, options, held, announce)
        if found:
            check_same_model(found[0], opened[0])
        found += opened
    for source in found:
        if source.grid.crs is None:
            raise InputError(f"{source.path} has no CRS, so shapes have no place in it")
    return found


def _opened(each: From, options: SampleOptions, held: int, announce: Announce | None) -> Sequence[Source]:
    if isinstance(each, Scene):
        return [_scene(each, options, held, announce)]
    if isinstance(each, Embeddings):
        return [each]
    check_path("sources", each, EXPECTED)
    path = Path(each)
    if not holds_embeddings(path):
        return [_scene(open_scene(path, year=options.year), options, held, announce)]
    years: Sequence[int | None] = [options.year] if options.year is not None else stored_years(path)
    return [open_embeddings(path, options.dim, year, options.until) for year in years or [None]]


def _scene(scene: Scene, options: SampleOptions, held: int, announce: Announce | None) -> SceneSource:
    model = options.model
    if isinstance(model, Model):
        file, runs_it = model.backend.model, model.backend.name
    else:
        file = open_model(os.fspath(model))
        runs_it = choose("auto", "auto", file.facts.precision, file.facts).backend
        model = os.fspath(model)
    dim = check_dim(options.dim, file.facts)
    return SceneSource(scene, file, model, runs_it, dim, options.memory, held, options.strict, announce)
