"""The page in a folder, without a server: to send to someone, or to a phone. It opens by a double click.

The folder has the page's own files, and `data.js` with the embeddings as codes and scales, the pictures and the counts
of observations. A browser keeps all of it in memory, so a larger output is thinned.
"""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.analysis.rasters import write_result_item
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.files.text import write_text
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.given import identity_of
from tessera_engine.geo import grid_fields
from tessera_engine.pictures.palette import FITS
from tessera_engine.pictures.quicklook import SAMPLE
from tessera_engine.pictures.true_colour import NO_DATA, stored
from tessera_engine.progress import Progress, ShowProgress, shown
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset
from tessera_engine.version import __version__
from tessera_engine.view.label_document import LabelFile
from tessera_engine.view.levels import TILE, hectares, levels
from tessera_kernels.quantize import quantize

MOST_PIXELS = 250_000
"""Of a page: 32 MB of codes at 128 dimensions, 43 MB as text."""

PAGE = Path(__file__).parent / "page"

FILES = {
    "index.html": ("folder.html", "text/html", "Open this file"),
    "app.js": ("app.js", "text/javascript", "Program of the page"),
    "app.css": ("app.css", "text/css", "Style of the page"),
    "icon.svg": ("icon.svg", "image/svg+xml", "Icon of the page"),
    "licences.txt": ("licences.txt", "text/plain", "Licences of the libraries in the page"),
}
"""Name in the folder -> name of the page's file, media type and title."""

DATA = "data.js"


@dataclass(frozen=True, repr=False)
class Still:
    """A page that was written.

    Attributes:
        out: the folder.
        step: each so many-th column and row of the output is in it.
        width: columns of the page.
        height: rows of the page.
    """

    out: Path
    step: int
    width: int
    height: int

    def __repr__(self) -> str:
        thinned = f", every {self.step}th pixel across and down" if self.step > 1 else ""
        return f"<Still {self.out}: {self.width} x {self.height} pixels{thinned}>"


@dataclass(frozen=True)
class _Thinned:
    """The pixels of a page.

    Attributes:
        grid: theirs.
        codes: (height, width, K) int8.
        scales: (height, width) float32, NaN where there is no data.
        observations: (height, width, 2) uint16.
        colours: (height, width, 3) uint8, true colours; None where the output has none.
    """

    grid: Grid
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    observations: NDArray[np.uint16]
    colours: NDArray[np.uint8] | None


def export_still(
    embeddings: Embeddings, out: Path, overwrite: bool = False, progress: ShowProgress = None
) -> Still:
    """Write the page of an output into a folder that needs no server.

    Args:
        embeddings: the output.
        out: the folder to make.
        overwrite: replace an earlier page.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.

    Raises:
        InputError: there is something at `out` already, or it can't be written.
        TesseraError: a file can't be read or written; nothing is left behind.
    """
    step = step_of(embeddings.grid)
    identity = identity_of("view", (embeddings,), step=step)
    check_apart(out, [embeddings.path])
    with (
        shown(progress, "writing the page", "px") as report,
        result_folder(out, overwrite, identity) as folder,
    ):
        thinned = _read(embeddings, step, report)
        try:
            assets = [_copied(folder, name) for name in FILES]
            write_text(folder / DATA, _script(embeddings, thinned, step))
        except OSError as error:
            raise TesseraError(
                f"can't write {error.filename or folder}: {error.strerror or error}; make room and try again"
            ) from None
        fields = grid_fields(thinned.grid)
        assets.append(Asset("data", DATA, "text/javascript", "Embeddings and pictures", ("data",), fields))
        write_result_item(folder, (thinned.grid,), (embeddings,), "view", "Page", assets, {"step": step})
    return Still(out, step, thinned.grid.width, thinned.grid.height)


def step_of(grid: Grid) -> int:
    """The step between the rows and columns of a grid that a page has."""
    step = 1
    while -(-grid.width // step) * -(-grid.height // step) > MOST_PIXELS:
        step += 1
    return step


def _places(size: int, step: int) -> NDArray[np.int64]:
    """The columns or rows that a page has: of each `step`, the middle one."""
    return np.minimum(np.arange(0, size, step) + step // 2, size - 1)


def _read(embeddings: Embeddings, step: int, report: Progress) -> _Thinned:
    whole = embeddings.grid
    rows, cols = _places(whole.height, step), _places(whole.width, step)
    grid = Grid(len(cols), len(rows), whole.crs, whole.transform @ Affine.scale(step))
    size = (grid.height, grid.width)
    codes = np.empty((*size, embeddings.dim), np.int8)
    scales = np.empty(size, np.float32)
    observations = np.empty((*size, 2), np.uint16)
    picture = stored(embeddings)
    colours = np.empty((*size, 3), np.uint8) if picture is not None else None
    done = 0
    for window in embeddings.tiles():
        done += window.pixels
        down, across = _inside(rows, window.row, window.height), _inside(cols, window.col, window.width)
        at = down, across
        inside = np.ix_(rows[down] - window.row, cols[across] - window.col)
        if not (len(rows[down]) and len(cols[across])):
            continue
        block = embeddings.read_stored(window)
        values = block.values[inside]
        if block.scales is not None:
            codes[at], scales[at] = values, block.scales[inside]
        else:
            flat = np.ascontiguousarray(values.reshape(-1, embeddings.dim))
            made, lengths = quantize(flat, embeddings.provenance.get("generation") or "v2")
            codes[at], scales[at] = made.reshape(values.shape), lengths.reshape(values.shape[:2])
        observations[at] = embeddings.read_observations(window)[inside]
        if picture is not None and colours is not None:
            colours[at] = picture.read(window)[inside]
        report(done, whole.window.pixels)
    return _Thinned(grid, codes, scales, observations, colours)


def _inside(places: NDArray[np.int64], first: int, count: int) -> slice:
    """Which of rising columns or rows lie in a window."""
    start, stop = np.searchsorted(places, (first, first + count))
    return slice(int(start), int(stop))


def _copied(folder: Path, name: str) -> Asset:
    source, media_type, title = FILES[name]
    shutil.copyfile(PAGE / source, folder / name)
    return Asset(name.replace(".", "-"), name, media_type, title, ("metadata",))


def _script(embeddings: Embeddings, thinned: _Thinned, step: int) -> str:
    grid = thinned.grid
    layers = {
        kind: painted
        for kind, painted in (
            ("truecolour", _true_colours(thinned)),
            ("pca", _coloured(thinned, "pca")),
            ("clusters", _coloured(thinned, "clusters")),
        )
        if painted is not None
    }
    about = embeddings.provenance
    output = {
        "id": 0,
        "name": embeddings.path.absolute().name,
        "year": about.get("year"),
        "model": about.get("model"),
        "precision": about.get("precision"),
        "dim": embeddings.dim,
        "stored_as": "int8",
        "crs": grid.crs,
        "width": grid.width,
        "height": grid.height,
        "transform": [float(value) for value in list(grid.transform)[:6]],
        "pixel_ha": hectares(grid),
        "layers": [*layers, "observations"],
        "levels": [level._asdict() for level in levels(grid)],
        "unpacked": True,
        "step": step,
    }
    info = {
        "outputs": [output],
        "tile": TILE,
        "same_grid": True,
        "exports": None,
        "classes_possible": True,
        "version": __version__,
    }
    data = {
        "info": info,
        "codes": _text(thinned.codes),
        "scales": _text(thinned.scales.astype("<f4")),
        "layers": {name: _text(painted) for name, painted in layers.items()},
        "observations": _text(thinned.observations.astype("<u2")),
        "corners": _corners(grid),
    }
    if step == 1:  # labels are pixels of the output
        data["labels"] = _labels(embeddings)
    return f"window.TESSERA_DATA = {json.dumps(data, allow_nan=False, separators=(',', ':'))};\n"


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values)).decode("ascii")


def _labels(embeddings: Embeddings) -> dict[str, Any]:
    """The labels of the output; none where the file beside it isn't one of labels."""
    try:
        found = LabelFile.beside(embeddings.path, embeddings.grid).load()
    except InputError:
        return {"revision": 0, "classes": [], "labels": []}
    return found.to_dict()


def _true_colours(thinned: _Thinned) -> NDArray[np.uint8] | None:
    """(height, width, 4) RGBA."""
    if thinned.colours is None:
        return None
    seen = (thinned.colours != NO_DATA).any(axis=2)
    return np.dstack([thinned.colours, np.where(seen, 255, 0)]).astype(np.uint8)


def _coloured(thinned: _Thinned, kind: str) -> NDArray[np.uint8]:
    """(height, width, 4) RGBA, in colours that suit the pixels of the page."""
    painted = np.zeros((*thinned.scales.shape, 4), np.uint8)
    valid = np.isfinite(thinned.scales)
    if not valid.any():
        return painted
    values = thinned.codes[valid] * thinned.scales[valid][:, np.newaxis]
    palette = FITS[kind](values[:: -(-len(values) // SAMPLE)])
    painted[valid, :3] = palette.paint(values)
    painted[valid, 3] = 255
    return painted


def _corners(grid: Grid) -> list[list[float]] | None:
    """Longitude and latitude of the upper left, upper right, lower left and lower right corner; None: not known."""
    if grid.crs is None:
        return None
    from rasterio.warp import transform

    from tessera_engine.gdal import PROJECTION_ERRORS

    places = [(0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height)]
    x, y = zip(*(grid.transform @ place for place in places), strict=True)
    try:
        lon, lat = transform(grid.crs, "EPSG:4326", x, y)
    except PROJECTION_ERRORS:
        return None
    corners = [[float(each) for each in corner] for corner in zip(lon, lat, strict=True)]
    return corners if np.isfinite(corners).all() else None
