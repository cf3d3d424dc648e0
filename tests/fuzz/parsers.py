"""Everything of the engine that reads what others may have made, each with what must hold of what it accepts.

A new parser is one entry of `PARSERS` and a folder of valid inputs, `corpus/<name>/`; inputs that once broke
something stay there under `broke-*` and are tried first ever after.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from fuzz.mutations import mutate_bytes, mutate_json, mutate_onnx
from made_up import made_up_arrays, write_tile

from tessera_engine.cli.pages.info import describe
from tessera_engine.errors import InputError, plain
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.model.file import read_arrays, read_model_file
from tessera_engine.model.layout import expected_initializers
from tessera_engine.pictures.palette_file import load_palette
from tessera_engine.running.journal import Journal
from tessera_engine.scene import S2_BANDS, Window
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.layouts import safe, stac
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.products import Found
from tessera_engine.scenes.reading.npy import NpyRaster, read_doys
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import open_raster

CORPUS = Path(__file__).parent / "corpus"

Mutation = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Parser:
    """One parser under test.

    Attributes:
        parse: given a file with the input, in a folder of its own; raises a TesseraError for what it refuses,
            AssertionError where it accepted what it shouldn't have.
        file_name: what the input is called.
        mutations: how to damage a valid input.
        forgives_truncation: whether what was cut short is accepted, as what was there before.
    """

    parse: Callable[[Path], None]
    file_name: str
    mutations: tuple[Mutation, ...] = (mutate_bytes,)
    forgives_truncation: bool = False


def _npy(path: Path) -> None:
    raster = NpyRaster(path, ("uint16",), (10,))
    steps, height, width, bands = raster.shape
    assert bands == 10
    assert raster.dtype == np.uint16
    assert path.stat().st_size >= raster.dtype.itemsize * math.prod(raster.shape)
    if steps and height and width:
        for window in (Window(0, 0, 1, 1), Window(width - 1, height - 1, 1, 1), Window(0, 0, width, height)):
            assert raster.read(window).shape == (steps, window.height, window.width, bands)


def _doys(path: Path) -> None:
    days = read_doys(path, 20, Path("bands.npy"))
    assert days.shape == (20,)
    assert days.dtype == np.int32
    assert 1 <= days.min() <= days.max() <= 366


def _raster(path: Path) -> None:
    raster = open_raster(path)
    assert raster is not None
    height, width, bands = raster.shape
    if min(raster.shape) and math.prod(raster.shape) < 1_000_000:
        whole = raster.read(Window(0, 0, width, height))
        assert whole.shape == (height, width, bands)
        assert whole.dtype == raster.dtype


def _roi(path: Path) -> None:
    """The picture that places a d-pixel tile on Earth."""
    tile = path.parent / "tile"
    if not tile.exists():
        write_tile(tile, made_up_arrays())
    shutil.copy(path, tile / "roi.tiff")
    grid = open_scene(str(tile)).grid
    assert (grid.height, grid.width) == (6, 5)
    if grid.crs is not None:
        assert all(math.isfinite(value) for value in grid.transform)
        assert grid.transform.determinant != 0


def _model(path: Path) -> None:
    model = read_model_file(path)
    arrays, promised = read_arrays(model), expected_initializers(model.facts)
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items() if name in promised} == promised
    assert all(np.isfinite(values).all() for values in arrays.values())


def _item(path: Path) -> None:
    assert is_output(path.parent) in (True, False)
    item = read_item(path.parent)
    height, width = item.shape
    assert item.fact("pixels") == height * width > 0
    said = json.loads(path.read_bytes())
    assert any(said["properties"] == json.loads(data)["properties"] for data in valid_inputs("item"))
    for asset in item.assets.values():
        assert (path.parent / asset.href).resolve().is_relative_to(path.parent.resolve())
    describe(str(path.parent))


def _checkpoint(path: Path) -> None:
    import torch

    from tessera_export.checkpoint import load_checkpoint

    loaded = load_checkpoint(path)
    assert all(bool(torch.isfinite(value).all()) for value in loaded.model.state_dict().values())


def _safe(path: Path) -> None:
    """Metadata of a Sentinel-2 product, whose images are there."""
    root = path.parent / "S2A_MSIL2A_20220413T105031_N0400_R051_T31UES_20220413T140000.SAFE"
    for band, size in safe._RESOLUTIONS.items():
        image = root / "GRANULE" / "L2A_T31UES" / "IMG_DATA" / f"R{size}m" / f"T31UES_{band}_{size}m.jp2"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    shutil.copy(path, root / "MTD_MSIL2A.xml")
    _accepted(safe.find(list_folder(root.parent)))


def _stac(path: Path) -> None:
    """An item of Sentinel-2 or Sentinel-1, whose assets are there."""
    scene = path.parent / "scene"
    scene.mkdir(exist_ok=True)
    for name in (*safe._RESOLUTIONS, "vv", "vh"):
        (scene / f"{name}.tif").touch()
    shutil.copy(path, scene / "item.json")
    _accepted(stac.find(list_folder(scene)))


def _accepted(found: Found) -> None:
    """What holds of products that a layout found; a TesseraError where it found none."""
    for problem in found.problems:
        raise InputError(plain(f"{problem.source.name} {problem.reason}"))  # as a terminal is told of it
    if not found.s2 and not found.s1:
        raise InputError("no product of this layout")
    for product in found.s2:
        assert product.offset in (0, 1000)
        assert set(product.bands) == set(S2_BANDS)
    for s1 in found.s1:
        assert s1.orbit in ("ascending", "descending")
        assert s1.units in ("power", "amplitude", "db", "code", None)


def _journal(path: Path) -> None:
    """What it says after damage is part of what it said before."""
    journal = Journal.open(path)
    written = [Journal.open(CORPUS / "journal" / name.name) for name in (CORPUS / "journal").glob("valid-*")]
    assert any(
        journal.identity == each.identity
        and journal.window_pixels == each.window_pixels
        and journal.finished.items() <= each.finished.items()
        for each in written
    )


def _palette(path: Path) -> None:
    """Paints something with it, whatever kind it is of."""
    about = {"model": "nano", "model_sha256": "a" * 64}
    try:
        palette = load_palette(path, "pca", about, 16)
    except InputError as error:
        if "not for pca" not in str(error):
            raise
        palette = load_palette(path, "clusters", about, 16)
    painted = palette.paint(np.ones((3, 16), np.float32))
    assert (painted.shape, painted.dtype) == ((3, 3), np.uint8)


PARSERS = {
    "npy": Parser(_npy, "bands.npy"),
    "doys": Parser(_doys, "doys.npy"),
    "raster": Parser(_raster, "embeddings.npy"),
    "tiff": Parser(_raster, "embeddings.tif"),
    "roi": Parser(_roi, "roi.tiff"),
    "model": Parser(_model, "model.onnx", (mutate_bytes, mutate_onnx, mutate_onnx)),
    "item": Parser(_item, ITEM, (mutate_bytes, mutate_json, mutate_json)),
    "checkpoint": Parser(_checkpoint, "student.pt"),
    "safe": Parser(_safe, "metadata.xml"),
    "stac": Parser(_stac, "metadata.json", (mutate_bytes, mutate_json, mutate_json)),
    "palette": Parser(_palette, "palette.json", (mutate_bytes, mutate_json, mutate_json)),
    "journal": Parser(_journal, "journal", forgives_truncation=True),
}
"""By name."""


def valid_inputs(name: str) -> list[bytes]:
    """What the corpus holds for a parser to be damaged."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("valid-*"))]


def damaged(name: str, seed: int) -> bytes:
    """An input for a parser: one of its valid ones, damaged; the same seed gives the same."""
    rng = Random(seed)
    valid = rng.choice(valid_inputs(name))
    return rng.choice(PARSERS[name].mutations)(rng, valid)
