"""From one output format to another, without computing embeddings again."""

from __future__ import annotations

import os
import shutil
from datetime import MAXYEAR
from pathlib import Path

import numpy as np

from tessera_engine.errors import InputError, check_type
from tessera_engine.files.output import ITEM
from tessera_engine.files.result import already_made, check_apart, result_folder
from tessera_engine.files.staging import Staging
from tessera_engine.formats.appending import open_store
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.given import identity_of, out_for
from tessera_engine.formats.layers import QUALITY_BANDS, count_few_clear
from tessera_engine.formats.opening import open_embeddings, stored_years
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.registry import format_named
from tessera_engine.formats.writing import check_format, stored_form, write
from tessera_engine.geo import is_utm
from tessera_engine.machine import give_back_memory
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.pictures.true_colour import stored, write_true_colours
from tessera_engine.progress import Progress, ShowProgress, shown
from tessera_engine.running.options import RunOptions
from tessera_engine.scene import Window
from tessera_engine.scenes.period import Period
from tessera_engine.stac.members import PIXELS_FEW_CLEAR
from tessera_engine.stac.periods import periods
from tessera_engine.stac.writing import LOSSY, NODATA_RULE, QUANTIZATION, write_converted_item
from tessera_kernels.quantize import quantize

FIRST_YEAR = 2015
"""In which Sentinel-2 began."""


def convert(
    embeddings: Embeddings | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    format: str = "cog",
    *,
    dim: int | None = None,
    year: int | None = None,
    overwrite: bool = False,
    append: bool = False,
    progress: ShowProgress = None,
) -> Path:
    """Write embeddings in another format, or what `Embeddings.on` gives. Codes and scales stay the same, bit for bit.

    float32 embeddings are quantised by the published rule for formats that hold int8 codes only. A prefix of int8
    codes keeps the scales of the whole vector.

    Args:
        embeddings: an output folder, or `open_embeddings(...)`, which also chooses one of several periods.
        out: the output folder to make; None: `<name>.<format>` in the current folder.
        format: one of `tessera_engine.formats.registry.FORMATS`.
        dim: keep the first `dim` dimensions; None: all that are stored.
        year: of the observations, if the output doesn't record it; or which, if the output has several years.
        overwrite: replace an earlier output.
        append: add to a store of that format at `out`, see `tessera_engine.formats.grown`.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.

    Returns:
        The output folder.

    Raises:
        InputError: an argument is wrong, the format can't hold these embeddings, the year contradicts the output's,
            or they can't be added.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    check_type(
        "embeddings", embeddings, (Embeddings, str, os.PathLike), "an output folder or open_embeddings(...)"
    )
    if out is not None:
        check_type("out", out, (str, os.PathLike), "a folder")
    if year is not None:
        check_type("year", year, (int,), "a year")
        if not FIRST_YEAR <= year <= MAXYEAR:
            raise InputError(f"year={year} is not a year of Sentinel-2; expected {FIRST_YEAR} or later")
    options = RunOptions.given({"format": format, "overwrite": overwrite, "append": append})
    opened = _opened(embeddings, dim, year)
    about = opened.provenance
    if not about:
        raise InputError(
            f"{opened.path} does not record which model made it, so it is not converted: the copy would look like an "
            "output of this engine"
        )
    known = about.get("year")
    if year is not None and known is not None and year != known:
        raise InputError(f"{opened.path} is of {known}, but year={year} was given; leave out year=")
    season = _season(opened, year)
    origin = Origin(
        known if year is None else year,
        about["model"],
        about["model_sha256"],
        about["generation"],
        about["engine_version"],
        season,
    )
    if options.format == "geotessera" and "resampled" in about and not is_utm(opened.grid.crs):
        raise InputError(
            f"format=geotessera is for the tree's own grids, pixels of UTM zones, and these are on {opened.grid.crs}; "
            "use format=cog, npy or zarr"
        )
    target = out_for("embeddings", opened, options.format) if out is None else Path(out)
    check_format(options.format, _stored_as(opened, options), opened.grid, opened.dim, origin)
    identity = identity_of("convert", (opened,), options=options, origin=origin)
    check_apart(target, [opened.path])
    if already_made(target, identity):
        return target
    with (
        shown(progress, "converting", "px") as report,
        result_folder(target, options.overwrite or options.append, identity) as folder,
    ):
        _write(opened, target, folder, options, origin, report)
    return target


def _season(embeddings: Embeddings, year: int | None) -> Period | None:
    """First and last day of embeddings that are filed under no year."""
    found = periods(embeddings.item)
    if not found:
        return None
    if year is not None:
        raise InputError(
            f"{embeddings.path} is of {found[0][0]} to {found[0][1]}, which is no calendar year, so it is not filed "
            f"under year={year}; leave out year="
        )
    return found[0]


def _opened(embeddings: Embeddings | str | os.PathLike[str], dim: int | None, year: int | None) -> Embeddings:
    if isinstance(embeddings, Embeddings):
        if dim is not None:
            raise InputError(
                f"dim={dim} comes too late for {embeddings.path}; give it to open_embeddings(dim={dim})"
            )
        return embeddings
    path = Path(embeddings)
    return open_embeddings(path, dim, year if year in stored_years(path) else None)


def _stored_as(embeddings: Embeddings, options: RunOptions) -> str:
    return "int8" if format_named(options.format).int8_only else embeddings.stored_as


def _write(
    embeddings: Embeddings, target: Path, folder: Path, options: RunOptions, origin: Origin, report: Progress
) -> None:
    """Write the converted output into a folder; `target` is the store that it is added to, with `append`."""
    about, stored_as, there = embeddings.provenance, _stored_as(embeddings, options), None
    if options.append:
        made = about["precision"], about["scene_fingerprint"], origin
        there = open_store(target, options.format, embeddings.grid, embeddings.dim, *made)
    staged = folder / "staging"
    staged.mkdir()
    quality = len(QUALITY_BANDS) if embeddings.has_quality else 0
    staging = Staging.create(staged, embeddings.grid, embeddings.dim, stored_as, quality=quality)
    with_data = done = 0
    for window in embeddings.tiles():
        with_data += _stage(embeddings, staging, window, about["generation"])
        done += window.pixels
        report(done, embeddings.grid.window.pixels)
    caption = caption_of_item(embeddings.item, embeddings.path.name, embeddings.dim)
    quicklook = write_quicklook(staging, folder / "quicklook.png", caption)
    give_back_memory()
    name = about["scene"]
    assets = [*write(options.format, staging, folder, name, origin, there), quicklook]
    assets += write_true_colours(folder, stored(embeddings), options.format, name, origin.year, there)
    form = stored_form(options.format, stored_as)
    lossy = format_named(options.format).lossy
    changes = {
        "tessera:store": form,
        "tessera:dim": embeddings.dim,
        "tessera:quantization": QUANTIZATION[form],
        "tessera:nodata": NODATA_RULE[form],
        # What was lost before stays lost
        **({LOSSY: lossy} if lossy else {}),
        "tessera:year": origin.year,
        "tessera:pixels_with_data": with_data,
    }
    if "resampled" in about and staging.quality is not None:
        changes[PIXELS_FEW_CLEAR] = count_few_clear(staging)
    write_converted_item(folder / ITEM, embeddings.item, assets, changes)
    if there is not None and origin.year is not None:
        there.write_item(folder / ITEM, origin.year, staging)
    shutil.rmtree(staged)


def _stage(embeddings: Embeddings, staging: Staging, window: Window, generation: str) -> int:
    """Copy a window; gives its number of pixels with data."""
    stored = embeddings.read_stored(window)
    with_data = int(stored.valid.sum())
    staging.observations.write(window, embeddings.read_observations(window))
    quality = embeddings.read_quality(window) if staging.quality is not None else None
    if staging.quality is not None and quality is not None:
        staging.quality.write(window, quality)
    if staging.scales is None or stored.scales is not None:
        staging.embeddings.write(window, stored.values)
        if staging.scales is not None and stored.scales is not None:
            staging.scales.write(window, stored.scales)
        return with_data
    size = (window.height, window.width)
    codes, scales = quantize(np.ascontiguousarray(stored.values.reshape(-1, embeddings.dim)), generation)
    staging.embeddings.write(window, codes.reshape(*size, embeddings.dim))
    staging.scales.write(window, scales.reshape(size))
    return with_data
