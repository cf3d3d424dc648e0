"""Outputs under test: items, palettes, journals, rasters, geotessera's trees; read as the commands read them."""

from __future__ import annotations

import math
import shutil
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from fuzz.surroundings import POINT, fresh_copy, names_of, safe_paths, tree_as_json, write_metadata
from fuzz.watch import Place, each

from tessera_engine.analysis.change import change
from tessera_engine.analysis.maps.make import map as make_map
from tessera_engine.analysis.similar import similar
from tessera_engine.cli.console import print_json, print_table
from tessera_engine.cli.pages.info import describe
from tessera_engine.errors import InputError
from tessera_engine.files.output import ITEM, is_output
from tessera_engine.files.staging import Staging
from tessera_engine.formats.opening import open_embeddings, stored_years
from tessera_engine.pictures.make import picture
from tessera_engine.pictures.palette_file import load_palette
from tessera_engine.running.convert import convert
from tessera_engine.running.journal import Journal
from tessera_engine.running.resume import check_staged
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import open_raster
from tessera_engine.verification.verify import verify

CORPUS = Path(__file__).parent / "corpus"

CELL = "global_0.1_degree_representation"

RARELY = 40
"""One input in so many is also given to one of the commands that compute."""


def item(place: Place, _: object, seed: str, data: bytes) -> None:
    """An output's item.json, for every command that reads outputs."""
    kind = seed.split("+")[1]
    folder = place.inputs / kind
    if not folder.exists():
        shutil.copytree(place.made / "outputs" / kind, folder)
    path = folder / ITEM
    path.write_bytes(data)
    place.ready()
    steps = [
        lambda: _info(folder, zlib.crc32(data) % 4 == 0),
        lambda: _checked_facts(folder),
        lambda: verify(folder),
    ]
    number, result = zlib.crc32(data), kind in ("similar", "change", "map")
    if not result:
        steps.append(lambda: _read(folder, number % 4 == 0))
    if number % RARELY == 0 and not result:
        steps.append(lambda: _compute(place, folder, number // RARELY))
    each(*steps)


def _info(folder: Path, as_table: bool) -> None:
    is_output(folder)
    described = describe(str(folder))
    if as_table:  # which takes longer than all the rest
        print_table(list(described.items()))
    print_json(described)


def _checked_facts(folder: Path) -> None:
    found = read_item(folder)
    for asset in found.assets.values():
        assert (folder / asset.href).resolve().is_relative_to(folder.resolve())
    if found.result is None:
        height, width = found.shape
        assert found.fact("pixels") == height * width > 0


def _read(folder: Path, values: bool = True) -> None:
    years = stored_years(folder)
    opened = open_embeddings(folder, year=years[0] if len(years) > 1 else None)
    repr(opened)
    if not values:
        return
    opened._repr_html_()
    window = Window(0, 0, min(3, opened.grid.width), min(3, opened.grid.height))
    assert opened.read(window).shape == (window.height, window.width, opened.dim)
    opened.source.read_observations(window)
    if opened.grid.crs is not None:
        opened.points([POINT[0]], [POINT[1]])


def _compute(place: Place, folder: Path, number: int) -> None:
    """One of the commands."""
    out = place.out / "result"
    shutil.rmtree(out, ignore_errors=True)
    later, labels = place.made / "outputs" / "later", place.made / "labels" / "points.gpkg"
    years = stored_years(folder)
    year = years[0] if len(years) > 1 else None
    commands = (
        lambda: similar(folder, POINT, out, year=year, progress=False),
        lambda: change(folder, later, out, progress=False),
        lambda: picture(folder, out, year=year, progress=False),
        lambda: convert(open_embeddings(folder, year=year), out, "npy", progress=False),
        lambda: convert(open_embeddings(folder, year=year), out, "zarr", progress=False),
        lambda: make_map(folder, labels, "crop", out, year=year, progress=False),
    )
    try:
        commands[number % len(commands)]()
    finally:
        with suppress(NotADirectoryError):
            shutil.rmtree(out, ignore_errors=True)
        if out.is_file():
            out.unlink()


def copy_cog(place: Place) -> Path:
    """An output to paint."""
    return fresh_copy(place.made / "outputs" / "cog", place.out / "cog")


def palette(place: Place, cog: Path, _: str, data: bytes) -> None:
    """Paints something with it, whatever kind it is of."""
    path = place.inputs / "palette.json"
    path.write_bytes(data)
    place.ready()
    about = {"model": "nano", "model_sha256": "a" * 64}
    try:
        loaded = load_palette(path, "pca", about, 16)
    except InputError as error:
        if "not for pca" not in str(error):
            raise
        loaded = load_palette(path, "clusters", about, 16)
    painted = loaded.paint(np.ones((3, 16), np.float32))
    assert (painted.shape, painted.dtype) == ((3, 3), np.uint8)
    if zlib.crc32(data) % RARELY == 0:
        kind = "pca" if hasattr(loaded, "axes") else "clusters"
        out = place.out / "picture.png"
        picture(cog, out, quicklook=kind, palette=path, overwrite=True, progress=False)


def journal(place: Place, _: object, seed: str, data: bytes) -> None:
    """What it says after damage is checked against the staged arrays before it is believed."""
    path = place.out / "journal"  # which is written again without what is damaged
    path.write_bytes(data)
    place.ready()
    opened = Journal.open(path)
    staging = Staging.mend(place.out / "staging", Grid(5, 6, None), 16, "int8")
    check_staged(opened, [staging], Window(0, 0, 5, 6), lambda line: None)
    assert all(Window(0, 0, 5, 6).intersection(window) == window for window in opened.finished)


def raster(place: Place, _: object, seed: str, data: bytes) -> None:
    """A GeoTIFF or .npy file of an output, read whole."""
    path = place.inputs / f"raster.{seed.rsplit('.', 1)[1]}"
    path.write_bytes(data)
    place.ready()
    opened = open_raster(path)
    assert opened is not None
    height, width, bands = opened.shape
    if min(opened.shape) and math.prod(opened.shape) < 1_000_000:
        whole = opened.read(Window(0, 0, width, height))
        assert whole.shape == (height, width, bands)
        assert whole.dtype == opened.dtype


def tree(place: Place, _: object, seed: str, data: bytes) -> None:
    """One file of a tree that another program wrote: codes, scales, observations or the landmask."""
    folder = place.inputs / "tree"
    _foreign_tree(place, folder)
    path = folder / seed.replace("+", "/").removeprefix("outputs/geotessera/")
    path.write_bytes(data)
    place.ready()
    _read(folder)


def _foreign_tree(place: Place, folder: Path) -> None:
    fresh_copy(place.made / "outputs" / "geotessera", folder)
    (folder / ITEM).unlink()


def names_of_tree(made: Path) -> dict[str, bytes]:
    """The names in a tree."""
    names = [name for name in names_of(made / "outputs" / "geotessera").split(b"\n") if b"grid" in name]
    return {"tree": b"\n".join(names)}


def tree_names(place: Place, _: object, seed: str, data: bytes) -> None:
    """A tree whose files have other names."""
    folder = place.inputs / "tree"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source = place.made / "outputs" / "geotessera"
    originals = [source.joinpath(name.decode()) for name in names_of_tree(place.made)["tree"].split(b"\n")]
    for number, path in enumerate(safe_paths(folder, data)):
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                shutil.copy(originals[number % len(originals)], path)
    place.ready()
    _read(folder)


def zarr_store(place: Place, _: object, seed: str, data: bytes) -> None:
    """The metadata of an output's own Zarr store."""
    folder = fresh_copy(place.made / "outputs" / "zarr", place.inputs / "output")
    store = folder / "embeddings.zarr"
    write_metadata(store, data, store / "zarr.json")
    place.ready()
    _read(folder)


def vq_store(place: Place, _: object, seed: str, data: bytes) -> None:
    """A file of a store of codebooks: metadata, numbers, codebooks or their ranges."""
    folder = fresh_copy(place.made / "outputs" / "vq", place.inputs / "output")
    (folder / seed.replace("+", "/").removeprefix("outputs/vq/")).write_bytes(data)
    place.ready()
    _read(folder)
    opened = open_embeddings(folder)
    assert opened.read_distinct(opened.grid.window) is not None


def zarr_metadata(made: Path) -> dict[str, bytes]:
    """The metadata of that store."""
    return {"store": tree_as_json(made / "outputs" / "zarr" / "embeddings.zarr")}
