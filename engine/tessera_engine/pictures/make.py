"""A picture of finished embeddings, with colours that other pictures have too."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.staging import Staging
from tessera_engine.formats.embeddings.base import Embeddings, StoredBlock
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.frame import thinned
from tessera_engine.pictures.palette import FITS
from tessera_engine.pictures.palette_file import load_palette, save_palette
from tessera_engine.pictures.quicklook import check_quicklook, fit_palette, write_quicklook
from tessera_engine.progress import Progress
from tessera_engine.scene import Window

LEAST_BLOCK = 256
"""Pixels across the blocks that are read, at least; at most, a tile of the file."""


def make_picture(
    embeddings: Embeddings,
    out: str | Path,
    kind: str = "pca",
    palette: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a picture of embeddings as PNG.

    Args:
        embeddings: an opened output, or a downloaded tree.
        out: the PNG.
        kind: `pca` or `clusters`.
        palette: a file with the picture's colours; it is read if it is there, and else written.
        overwrite: replace an earlier picture.
        progress: called with pixels done and in all.

    Raises:
        InputError: there is no such picture, something stands there already, or the palette is another model's.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    out = Path(out)
    check_quicklook(kind)
    if kind not in FITS:
        raise InputError(
            f"{embeddings.path} holds no colours of the scene; 'tessera-engine embed SCENE --quicklook {kind}' has them"
        )
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already; give --overwrite to replace it, or another place with -o")
    palette = None if palette is None else Path(palette)
    about = embeddings.provenance
    if palette is not None and not about.get("model_sha256"):
        raise InputError(
            f"{embeddings.path} doesn't say which model made it, so it can't share a palette; leave it out"
        )
    known = palette is not None and palette.exists()
    colours = load_palette(palette, kind, about, embeddings.dim) if palette is not None and known else None
    caption = caption_of_item(embeddings.item, embeddings.path.name, embeddings.dim)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise InputError(
            f"can't write to {out.parent}: {error.strerror}; choose another place with -o"
        ) from None
    with work as folder:
        staging = _stage(embeddings, Path(folder), progress)
        if colours is None:
            colours = fit_palette(staging, kind)
        made = Path(folder) / "picture.png"
        write_quicklook(staging, made, caption, kind, colours)
        if palette is not None and not known:
            if colours is None:
                raise InputError(f"{embeddings.path} has no data to make a palette from")
            save_palette(palette, colours, about)
        made.replace(out)


def _stage(embeddings: Embeddings, folder: Path, progress: Progress | None) -> Staging:
    """The thinned embeddings. Read in whole tiles, so that none is decoded twice, however few of its rows are shown."""
    step, grid = thinned(embeddings.grid)
    staging = Staging.create(folder, grid, embeddings.dim, embeddings.stored_as)
    side = max(embeddings.source.block, LEAST_BLOCK)
    done, every = 0, embeddings.grid.window.pixels
    for window in embeddings.grid.window.blocks(side, side):
        # The first row and column of the window that are shown
        row, col = -(-window.row // step), -(-window.col // step)
        top, left = row * step - window.row, col * step - window.col
        stored = embeddings.read_stored(window)
        shown = StoredBlock(
            stored.values[top::step, left::step],
            None if stored.scales is None else stored.scales[top::step, left::step],
        )
        height, width = shown.values.shape[:2]
        if height and width:
            place = Window(col, row, width, height)
            staging.embeddings.write(place, shown.values)
            if staging.scales is not None and shown.scales is not None:
                staging.scales.write(place, shown.scales)
        done += window.pixels
        if progress is not None:
            progress(done, every)
    return staging
