"""Converting an output to another format, without computing embeddings again."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from tessera_engine.errors import InputError
from tessera_engine.files.output import ITEM, alone
from tessera_engine.files.result import result_folder
from tessera_engine.files.staging import Staging
from tessera_engine.formats.appending import open_store
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.registry import format_named
from tessera_engine.formats.writing import check_format, write
from tessera_engine.pictures.caption import caption_of_item
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.progress import Progress
from tessera_engine.scene import Window
from tessera_engine.stac.writing import NODATA_RULE, QUANTIZATION, write_converted_item
from tessera_kernels.quantize import quantize


def convert(
    embeddings: Embeddings,
    out: str | Path,
    format: str,
    year: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    append: bool = False,
) -> Path:
    """Write embeddings in another format. Codes and scales stay as they are, bit for bit.

    For formats that hold int8 codes only, float32 embeddings are quantised by the published rule. A prefix of int8
    codes keeps the scales of the whole vector.

    Args:
        embeddings: an opened output.
        out: the output folder.
        format: a name in `tessera_engine.formats.registry.FORMATS`.
        year: of the observations, where the output doesn't record it.
        overwrite: replace an earlier output.
        progress: called with the pixels done and the pixels in all.
        append: add to the store of that format at `out`, see `tessera_engine.formats.grown`.

    Returns:
        The output folder.

    Raises:
        InputError: the format can't hold these, the year contradicts the output's, or they can't be added.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    if append and overwrite:
        raise InputError("append=True adds to what overwrite=True would replace; give one of them")
    about = embeddings.provenance
    if not about:
        raise InputError(
            f"{embeddings.path} doesn't record which model made it, so it can't be converted: the new item needs it"
        )
    known = about.get("year")
    if year is not None and known is not None and year != known:
        raise InputError(f"{embeddings.path} is of {known}, not of {year}; leave out year=")
    stored_as = "int8" if format_named(format).int8_only else embeddings.stored_as
    origin = Origin(
        known if year is None else year,
        about["model"],
        about["model_sha256"],
        about["generation"],
        about["engine_version"],
    )
    check_format(format, stored_as, embeddings.grid, embeddings.dim, origin)
    out = Path(out)
    with alone(out) if append else nullcontext(), result_folder(out, overwrite or append) as folder:
        there = None
        if append:
            who = about["precision"], about["scene_fingerprint"], origin
            there = open_store(out, format, embeddings.grid, embeddings.dim, *who)
        staged = folder / "staging"
        staged.mkdir()
        staging = Staging.create(staged, embeddings.grid, embeddings.dim, stored_as)
        for window in embeddings.windows():
            _stage(embeddings, staging, window, about["generation"])
            if progress is not None:
                progress((window.row + window.height) * window.width, embeddings.grid.window.pixels)
        caption = caption_of_item(embeddings.item, embeddings.path.name, embeddings.dim)
        quicklook = write_quicklook(staging, folder / "quicklook.png", caption)
        assets = [*write(format, staging, folder, about["scene"], origin, there), quicklook]
        changes = {
            "tessera:store": stored_as,
            "tessera:dim": embeddings.dim,
            "tessera:quantization": QUANTIZATION[stored_as],
            "tessera:nodata": NODATA_RULE[stored_as],
            "tessera:year": origin.year,
        }
        write_converted_item(folder / ITEM, embeddings.item, assets, changes)
        if there is not None and origin.year is not None:
            there.write_item(folder / ITEM, origin.year, staging)
        shutil.rmtree(staged)
    return out


def _stage(embeddings: Embeddings, staging: Staging, window: Window, generation: str) -> None:
    stored = embeddings.read_stored(window)
    staging.observations.write(window, embeddings.source.read_observations(window))
    if staging.scales is None or stored.scales is not None:
        staging.embeddings.write(window, stored.values)
        if staging.scales is not None and stored.scales is not None:
            staging.scales.write(window, stored.scales)
        return
    size = (window.height, window.width)
    codes, scales = quantize(np.ascontiguousarray(stored.values.reshape(-1, embeddings.dim)), generation)
    staging.embeddings.write(window, codes.reshape(*size, embeddings.dim))
    staging.scales.write(window, scales.reshape(size))
