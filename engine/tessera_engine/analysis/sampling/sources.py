"""Where the embeddings of a table come from: finished outputs, or scenes of which only some pixels are embedded."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from tessera_engine.analysis.sampling.embedding import SceneSource
from tessera_engine.analysis.sampling.spool import Spool
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.places.pixels import PixelSet
from tessera_engine.progress import Progress
from tessera_engine.stac.items import ITEM_SHA256

Source: TypeAlias = Embeddings | SceneSource
"""Embeddings of one place and year."""


def fingerprint(source: Source) -> str:
    """What embeddings depend on, in words."""
    if isinstance(source, SceneSource):
        return source.fingerprint()
    about = source.provenance
    return f"{source.item['properties'].get(ITEM_SHA256)} {about.get('season') or about.get('year')}"


def pixels_of(source: Source, pixels: PixelSet, path: Path, progress: Progress) -> Spool:
    """A spool with the embeddings of some pixels.

    Args:
        source: the embeddings.
        pixels: of its grid.
        path: of the spool's file, which is made.
        progress: called with pixels done and in all.
    """
    spool = Spool(path, pixels, source.dim, source.stored_as)
    if not len(pixels):
        return spool
    if isinstance(source, SceneSource):
        source.fill(spool, progress)
    else:
        _fill(source, spool, progress)
    return spool


def _fill(embeddings: Embeddings, spool: Spool, progress: Progress) -> None:
    """Read the spool's pixels from an output. Each tile of a file is decoded at most once, or in parts as fast."""
    done = 0
    for window in embeddings.tiles():
        here = spool.pixels.box_in(window)
        if here is None:
            continue
        stored = embeddings.read_stored(here)
        spool.write(here, stored.values, stored.scales, embeddings.read_observations(here))
        done += spool.pixels.count(here)
        progress(done, len(spool.pixels))
