"""Embed some places of an output again, and compare the result with what is stored."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from tessera_engine.api import embed
from tessera_engine.errors import CheckFailed, InputError
from tessera_engine.files.staging import CODE_NODATA
from tessera_engine.formats.layers import QUALITY_BANDS
from tessera_engine.formats.npy.writing import SUFFIXES
from tessera_engine.model.drift import THRESHOLDS, Drift, measure, threshold_for
from tessera_engine.running.loading import Model
from tessera_engine.running.options import EmbedOptions
from tessera_engine.scene import Scene, Window
from tessera_engine.stac.reading import Item
from tessera_engine.verification.output import TILE, Raster, open_raster

SIDE = 16
"""Pixels across a place that is embedded again. Many small places find more damage than one large place."""

EXACT_BACKENDS = ("fused",)
"""Backends whose results can be compared bit for bit: their instruction set is recorded, and a pixel's bits depend only
on its own tokens. Other runtimes choose kernels by CPU and by batch."""


@dataclass(frozen=True)
class Reembedded:
    """The comparison of an output with embeddings that were computed again.

    Attributes:
        pixels: number of pixels compared.
        output_pixels: number of pixels of the output.
        fingerprinted: bytes of the scene's files that its fingerprint is made of.
        scene_bytes: size of these files.
        differs: why the comparison is by drift, a phrase each; empty where it is bit for bit.
        drift: of the stored embeddings from the new ones; None where no pixel has data.
    """

    pixels: int
    output_pixels: int
    fingerprinted: int
    scene_bytes: int
    differs: tuple[str, ...]
    drift: Drift | None


def reembed(
    rasters: dict[str, Raster], item: Item, scene: Scene, model: Model, pixels: int, seed: int
) -> Reembedded:
    """Embed random places of an output again, or all of it.

    Args:
        rasters: the rasters of the output, checked.
        item: its item.
        scene: the scene that it was made from.
        model: the model that made it.
        pixels: approximate number of pixels to compare; as many as the output has: all.
        seed: the same seed gives the same places.

    Raises:
        InputError: it isn't recorded where in the scene the output lies.
        CheckFailed: it is another scene or model, or something stored differs from the new result.
    """
    if model.backend.model.sha256 != item.fact("model_sha256"):
        raise CheckFailed(
            f"model {model.backend.model.label} has sha256 {model.backend.model.sha256[:12]}..., the output was made "
            f"with {item.fact('model')} {item.fact('model_sha256')[:12]}...; give that one as model="
        )
    fingerprint = scene.reader.fingerprint()
    if fingerprint != item.fact("scene_fingerprint"):
        raise CheckFailed(
            f"scene {scene.path} has fingerprint {fingerprint[:12]}..., the output was made from "
            f"{item.fact('scene')} {item.fact('scene_fingerprint')[:12]}...: it is another scene, or the "
            "scene has changed"
        )
    place = _place(item, scene)
    differs = _differences(item, model)
    whole = Window(0, 0, *item.shape[::-1])
    # Which pixels were selected isn't recorded, so those without data can't be told from those not asked for
    selected = _with_data(rasters["observations"], whole) if "tessera:selection" in item.properties else None
    places = _places(whole, pixels, seed, selected)
    sizes = [path.stat().st_size for path in scene.reader.files()]
    comparison = partial(
        Reembedded,
        len(_distinct(places, whole, selected)),
        whole.pixels if selected is None else len(selected),
        sum(min(size, scene.reader.fingerprinted_bytes) for size in sizes),
        sum(sizes),
        differs,
    )
    found, wanted, steps = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, window in enumerate(places):
            computed = _compute(scene, model, item, window, place, Path(folder) / str(i))
            # Pictures are not computed again
            stored = {key: rasters[key].read(window) for key in computed}
            if selected is not None:
                computed = _without(computed, (stored["observations"] == 0).all(axis=2))
            # Which observations are valid doesn't depend on the backend
            exact = stored.keys() if not differs else {"observations", "quality"} & stored.keys()
            for key in exact:
                _check_same(stored[key], computed[key], rasters[key].path.name, window)
            has_data = computed["observations"].any(axis=2)
            stored_values, computed_values = _values(stored), _values(computed)
            if (np.isnan(stored_values[:, :, 0]) == has_data).any():
                raise CheckFailed(
                    f"{rasters['embeddings'].path.name} has data at other pixels than a re-embedding in {window}"
                )
            found.append(stored_values[has_data])
            wanted.append(computed_values[has_data])
            steps.append(computed["scales"][has_data] if "scales" in computed else np.zeros(0, np.float32))
    if not sum(map(len, found)):
        return comparison(None)
    drift = measure(np.concatenate(wanted), np.concatenate(found))
    if differs:
        _check_drift(drift, item, model, float(np.concatenate(steps).max(initial=0)))
    return comparison(drift)


def _places(whole: Window, pixels: int, seed: int, selected: NDArray[np.int64] | None) -> list[Window]:
    """Random places of an output with about that many pixels; places that cover it where it has no more.

    Args:
        whole: the output.
        pixels: how many.
        seed: the same seed gives the same places.
        selected: (N,) the pixels around which places lie, row * width + column; None: anywhere.
    """
    if selected is not None:
        return _places_around(whole, selected, pixels, seed)
    if pixels >= whole.pixels:
        return list(whole.blocks(SIDE, SIDE))
    rng = np.random.default_rng(seed)
    places = []
    for _ in range(max(1, round(pixels / SIDE**2))):
        col, row = (int(rng.integers(0, max(1, size - SIDE + 1))) for size in (whole.width, whole.height))
        places.append(Window(col, row, min(SIDE, whole.width), min(SIDE, whole.height)))
    return places


def _with_data(observations: Raster, whole: Window) -> NDArray[np.int64]:
    """(N,) the pixels of an output that have observations: row * width + column."""
    found = [
        np.flatnonzero(observations.read(strip).any(axis=2)) + strip.row * whole.width
        for strip in whole.blocks(whole.width, TILE)
    ]
    return np.concatenate(found)


def _places_around(whole: Window, selected: NDArray[np.int64], pixels: int, seed: int) -> list[Window]:
    """Places around random ones of some pixels; all places with some of them where there are no more."""
    if pixels >= len(selected):
        rows, cols = np.divmod(selected, whole.width)
        cells = np.unique(np.column_stack([rows // SIDE, cols // SIDE]), axis=0) * SIDE
        corners = [(int(col), int(row)) for row, col in cells]
    else:
        rng = np.random.default_rng(seed)
        drawn = rng.choice(selected, max(1, round(pixels / SIDE**2)))
        corners = [
            (max(0, int(pixel % whole.width) - SIDE // 2), max(0, int(pixel // whole.width) - SIDE // 2))
            for pixel in drawn
        ]
    cut = (whole.intersection(Window(*corner, SIDE, SIDE)) for corner in corners)
    return [place for place in cut if place is not None]


def _distinct(places: list[Window], whole: Window, selected: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The pixels that lie in some place, and of them the selected ones: random places can overlap."""
    if not places:
        return np.zeros(0, np.int64)
    numbers = np.arange(SIDE)
    pixels = [
        (place.row + numbers[: place.height, None]) * whole.width + place.col + numbers[: place.width]
        for place in places
    ]
    found = np.unique(np.concatenate([each.ravel() for each in pixels]))
    return found if selected is None else np.intersect1d(found, selected, assume_unique=True)


def _without(arrays: dict[str, NDArray[Any]], pixels: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Arrays of (height, width, bands) with nodata at some pixels."""
    found = {}
    for key, values in arrays.items():
        nodata = {"i": CODE_NODATA, "f": np.nan, "u": 0}[values.dtype.kind]
        found[key] = values.copy()
        found[key][pixels] = nodata
    return found


def _place(item: Item, scene: Scene) -> tuple[int, int]:
    """Column and row of the output's upper left corner in the scene."""
    height, width = item.shape
    moved = item.properties.get("proj:transform")
    if moved is None or scene.grid.crs is None:
        if (height, width) == (scene.grid.height, scene.grid.width):
            return 0, 0
        raise InputError(
            f"the output has {width} x {height} pixels, the scene {scene.grid.width} x {scene.grid.height}, and "
            "one of them has no CRS, so the output's place in the scene isn't known"
        )
    col, row = ~scene.grid.transform @ Affine(*moved) @ (0, 0)
    place = Window(round(col), round(row), width, height)
    exact = scene.grid.crop(place).transform.almost_equals(Affine(*moved), 1e-6)
    if not exact or scene.grid.window.intersection(place) != place:
        raise CheckFailed(
            "the output's grid is not part of the scene's grid: it is another scene, or the scene has changed"
        )
    return place.col, place.row


def _differences(item: Item, model: Model) -> tuple[str, ...]:
    from tessera_engine.version import __version__

    here = {
        "engine_version": __version__,
        "backend": model.backend.name,
        "backend_version": model.backend.version,
        "instruction_set": model.backend.computes_on,
    }
    if model.backend.name not in EXACT_BACKENDS:
        return (f"backend {model.backend.name} does not promise equal bits",)
    return tuple(
        f"{name.replace('_', ' ')} {item.fact(name)} in the output, {value} now"
        for name, value in here.items()
        if item.fact(name) != value
    )


def _compute(
    scene: Scene, model: Model, item: Item, window: Window, place: tuple[int, int], out: Path
) -> dict[str, NDArray[Any]]:
    """The arrays that result from embedding the window, by the keys of the rasters."""
    stored_as, dim = item.fact("store"), item.fact("dim")
    in_scene = window._replace(col=window.col + place[0], row=window.row + place[1])
    size = (window.height, window.width)
    if not any(True for _ in scene.reader.windows(in_scene, in_scene.pixels)):
        nothing = {
            "embeddings": np.full((*size, dim), CODE_NODATA if stored_as == "int8" else np.nan, stored_as),
            "observations": np.zeros((*size, 2), np.uint16),
            "quality": np.zeros((*size, len(QUALITY_BANDS)), np.uint16),
        }
        return nothing | ({"scales": np.full((*size, 1), np.nan, np.float32)} if stored_as == "int8" else {})
    part: EmbedOptions = {
        "window": in_scene,
        "dim": dim,
        "stored_as": stored_as,
        "format": "npy",
        "truecolour": False,
        "min_clear": item.properties.get("tessera:min_clear"),
    }
    # The findings were announced when the output was made
    embed(scene, model, out, progress=False, announce=lambda line: None, **part)
    whole = Window(0, 0, window.width, window.height)
    found = {}
    for key, suffix in SUFFIXES.items():
        path = out / f"{scene.name}{suffix}.npy"
        raster = open_raster(path) if path.exists() else None
        if raster is not None:
            found[key] = raster.read(whole)
    return found


def _values(arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """(height, width, dim) float32 embeddings, NaN where there is no data."""
    values: NDArray[np.float32] = arrays["embeddings"].astype(np.float32)
    return values * arrays["scales"] if "scales" in arrays else values


def _check_same(stored: NDArray[Any], computed: NDArray[Any], name: str, window: Window) -> None:
    """Make sure that all bits are the same, except the payload of NaN."""
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    different = np.ascontiguousarray(stored).view(unsigned) != np.ascontiguousarray(computed).view(unsigned)
    if stored.dtype.kind == "f":
        different &= ~(np.isnan(stored) & np.isnan(computed))
    if different.any():
        row, col, band = np.argwhere(different)[0]
        raise CheckFailed(
            f"{name} differs from a re-embedding at col {window.col + col}, row {window.row + row}, band {band + 1}: "
            f"stored {stored[row, col, band]}, computed {computed[row, col, band]}"
        )


def _check_drift(drift: Drift, item: Item, model: Model, step: float) -> None:
    """Make sure that the drift is within the threshold. A stored code may also be rounded to the other neighbour."""
    computed_on = str(item.fact("instruction_set")), model.backend.computes_on
    threshold = threshold_for(item.fact("precision"), *computed_on)
    if threshold == THRESHOLDS["fp32"]:
        most = threshold.max_difference + step
        failures = [f"max |difference| {drift.max_difference:.2e} > {most:.2e}"] * (
            drift.max_difference > most
        )
    else:
        failures = threshold.failures(drift)
    if failures:
        raise CheckFailed(f"the stored embeddings drift from a re-embedding: {'; '.join(failures)}")
