"""A picture of finished embeddings, in colours of its own or those of other pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tessera_engine.errors import InputError, check_type
from tessera_engine.files.endings import check_ending
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.files.result import check_free, result_file
from tessera_engine.files.staging import Staging
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.given import (
    Given,
    GivenPath,
    check_path,
    identity_of,
    open_given,
    out_for,
)
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.frame import thinned
from tessera_engine.pictures.georeferenced import SUFFIXES, write_georeferenced
from tessera_engine.pictures.palette import FITS
from tessera_engine.pictures.palette_file import load_palette, save_palette
from tessera_engine.pictures.quicklook import QUICKLOOKS, check_quicklook, fit_palette, write_quicklook
from tessera_engine.progress import Progress, ShowProgress, shown
from tessera_engine.scene import Window


@dataclass(frozen=True, repr=False)
class Picture:
    """A finished picture.

    Attributes:
        out: the PNG or GeoTIFF.
        quicklook: what it shows.
        palette: the file with its colours; None: colours of its own.
    """

    out: Path
    quicklook: str
    palette: Path | None

    def __repr__(self) -> str:
        colours = "" if self.palette is None else f", colours of {self.palette}"
        return f"<Picture {self.out}: {QUICKLOOKS[self.quicklook]}{colours}>"


def picture(
    embeddings: Given,
    out: GivenPath | None = None,
    *,
    quicklook: str = "pca",
    palette: GivenPath | None = None,
    dim: int | None = None,
    year: int | None = None,
    overwrite: bool = False,
    progress: ShowProgress = None,
) -> Picture:
    """Write a picture of embeddings: as PNG, or as GeoTIFF with one pixel for each pixel of the embeddings.

    Args:
        embeddings: an output folder, a downloaded tree, or `open_embeddings(...)`.
        out: the file; a name that ends with `.tif` makes a GeoTIFF, without frame and legend, `.png` a PNG;
            None: `<name>.<quicklook>.png` in the current folder.
        quicklook: `pca` (principal components) or `clusters`.
        palette: a file (.json) with the colours of several pictures: used if it exists, written if not.
        dim: show only the first `dim` dimensions; None: all that are stored.
        year: the year to read, of an output with several years.
        overwrite: replace an earlier picture.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.

    Raises:
        InputError: an argument is wrong, there is something at `out` already, or the palette is of another model.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    check_type("quicklook", quicklook, (str,), f"one of {', '.join(FITS)}")
    check_type("overwrite", overwrite, (bool,), "True or False")
    target = out_for("embeddings", embeddings, f"{quicklook}.png", year)
    if out is not None:
        check_path("out", out, "a PNG file or a GeoTIFF")
        target = Path(out)
        check_ending("out", target, [".png", *SUFFIXES], "a picture")
    shared = None
    if palette is not None:
        check_path("palette", palette, "a file")
        shared = Path(palette)
        if not shared.exists():
            check_ending("palette", shared, [".json"], "a file of colours")
    check_quicklook(quicklook)
    if quicklook not in FITS:
        raise InputError(
            f"quicklook={quicklook} is drawn while the scene is read: 'tessera-engine embed SCENE --quicklook "
            f"{quicklook}' draws it; truecolour.tif in the output shows the same"
        )
    check_free(target, overwrite)
    opened = open_given("embeddings", embeddings, dim, year)
    about = opened.provenance
    if shared is not None and not about.get("model_sha256"):
        raise InputError(
            f"{opened.path} does not record which model made it, so it can't share a palette; leave out palette="
        )
    if shared is not None:
        finish_or_undo(shared)
    known = shared is not None and shared.exists()
    colours = load_palette(shared, quicklook, about, opened.dim) if shared is not None and known else None
    caption = caption_of_item(opened.item, opened.path.name, opened.dim)
    identity = identity_of("picture", (opened,), quicklook=quicklook, palette=str(shared))
    with shown(progress, "drawing", "px") as report, result_file(target, overwrite, identity) as made:
        georeferenced = target.suffix.lower() in SUFFIXES
        # A GeoTIFF takes a second pass: the colours are fitted to the same thinned pixels as those of a PNG
        passes = 2 if georeferenced else 1
        staging = _stage(opened, made.with_name("staging"), lambda done, every: report(done, passes * every))
        if colours is None:
            colours = fit_palette(staging, quicklook)
        if georeferenced:
            write_georeferenced(
                made, opened, quicklook, colours, lambda done, every: report(every + done, passes * every)
            )
        else:
            write_quicklook(staging, made, caption, quicklook, colours)
        if shared is not None and not known:
            if colours is None:
                raise InputError(f"{opened.path} has no data to make a palette from")
            save_palette(shared, colours, about)
    return Picture(target, quicklook, shared)


def _stage(embeddings: Embeddings, folder: Path, report: Progress) -> Staging:
    """The thinned embeddings."""
    step, grid = thinned(embeddings.grid)
    staging = Staging.create(folder, grid, embeddings.dim, embeddings.stored_as)
    done, every = 0, embeddings.grid.window.pixels
    for window in embeddings.tiles():
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
        report(done, every)
    return staging
