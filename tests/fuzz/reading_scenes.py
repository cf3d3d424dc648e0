"""Scenes under test: opened, sampled and examined as `info` and `embed` do, in every layout."""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from fuzz.mutations import TEXTS
from fuzz.reading_outputs import RARELY
from fuzz.surroundings import fresh_copy, names_of, safe_paths, tree_as_json, write_metadata
from fuzz.watch import Place
from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, Zlib, Zstd

from tessera_engine.cli.console import print_json, print_line
from tessera_engine.guard import examine_sample
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.installed import open_model
from tessera_engine.scene import S2_BANDS, Window
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.layouts.cube.hdf5 import trial, walk
from tessera_engine.scenes.reading.npy import NpyRaster, read_doys

PIXELS = 16

SCENES = ("mosaics", "safe", "safe-zip", "hyp3", "hyp3-zip", "opera", "stac-pc", "stac-s1")


@cache
def _demo() -> ModelFacts:
    return open_model("demo", "int8").facts


def _examine(folder: Path, look: bool = True) -> None:
    """Open a scene and look at a sample of it."""
    scene = open_scene(folder)
    scene.reader.fingerprint()
    if not look:
        return
    sample = scene.reader.sample(scene.grid.window, PIXELS)
    if scene.grid.crs is not None:
        assert all(math.isfinite(value) for value in scene.grid.transform)
        assert scene.grid.transform.determinant != 0
    for finding in examine_sample(scene, sample, _demo()):
        print_line(finding.line)
        print_json(finding.to_dict())


def try_in_forks(place: Place) -> None:
    """Let trials of HDF5 files begin in forks of this process: a new Python for each takes longer than all the rest."""
    honest = trial._try

    def fork_and_try(paths: Sequence[Path]) -> tuple[list[Path], str | None]:
        if zlib.crc32(paths[0].read_bytes()) % RARELY == 0:
            return honest(paths)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            walk.try_all([str(path) for path in paths], **trial.LIMITS)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            begun = said.read().count(b"\n")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return (list(paths), None) if code == 0 else (list(paths[:begun]), f"ended with {code}")

    trial._try = fork_and_try  # type: ignore[assignment]


def netcdf(place: Place, _: object, seed: str, data: bytes) -> None:
    """A data cube."""
    (place.inputs / "cube.nc").write_bytes(data)
    place.ready()
    _examine(place.inputs)


def mutate_names(rng: Random, data: bytes) -> bytes:
    """Another text of the same length in the place of a name, a unit or an attribute of a binary file."""
    import re

    words = [found for found in re.finditer(rb"[\w :./+-]{3,40}", data[:20_000]) if not found[0].isspace()]
    if not words:
        return data
    for _ in range(rng.choice((1, 1, 3))):
        found = rng.choice(words)
        text = rng.choice((*TEXTS, *(word[0].decode("latin-1") for word in words[:200])))
        fitting = text.encode("utf-8", "surrogateescape")[: len(found[0])].ljust(
            len(found[0]), rng.choice((b" ", b"\0", b"x"))
        )
        data = data[: found.start()] + fitting + data[found.end() :]
    return data


def zarr_metadata(made: Path) -> dict[str, bytes]:
    """The metadata of a cube in Zarr."""
    return {"cube": tree_as_json(made / "scenes" / "zarr" / "cube.zarr")}


def zarr(place: Place, _: object, seed: str, data: bytes) -> None:
    """A data cube in Zarr: its metadata, given as one JSON object of paths, or as the text of one file."""
    folder = fresh_copy(place.made / "scenes" / "zarr" / "cube.zarr", place.inputs / "cube.zarr")
    write_metadata(folder, data, folder / "B02" / ".zarray")
    place.ready()
    _examine(place.inputs)


CODECS = (
    Blosc(), Blosc("zstd", shuffle=0), Blosc("zlib", shuffle=2), LZ4(), Zstd(), Zlib(), GZip(), BZ2(), LZMA(),
)  # fmt: skip


def zarr_chunks(made: Path) -> dict[str, bytes]:
    """The chunk of one array of a cube in each compression."""
    values = (made / "scenes" / "zarr" / "cube.zarr" / "x" / "0").read_bytes()
    return {str(number): bytes(codec.encode(values)) for number, codec in enumerate(CODECS)}


def zarr_chunk(place: Place, _: object, seed: str, data: bytes) -> None:
    """A compressed chunk of a data cube in Zarr."""
    folder = fresh_copy(place.made / "scenes" / "zarr" / "cube.zarr", place.inputs / "cube.zarr") / "x"
    header = json.loads((folder / ".zarray").read_bytes()) | {"compressor": CODECS[int(seed)].get_config()}
    (folder / ".zarray").write_text(json.dumps(header), encoding="ascii")
    (folder / "0").write_bytes(data)
    place.ready()
    _examine(place.inputs)


def copy_stac(place: Place) -> None:
    """The rasters of all items, by scene."""
    for scene in (place.made / "scenes").glob("stac-*"):
        shutil.copytree(scene, place.inputs / scene.name)
        for path in (place.inputs / scene.name).glob("*.json"):
            path.unlink()


def stac(place: Place, _: object, seed: str, data: bytes) -> None:
    """A STAC item, whose assets are there."""
    folder = place.inputs / (seed.split("+")[1] if "+" in seed else "stac-pc")
    (folder / "item.json").write_bytes(data)
    place.ready()
    _examine(folder)


def copy_safe(place: Place) -> Path:
    """A SAFE product; where its metadata lie."""
    shutil.copytree(place.made / "scenes" / "safe", place.inputs, dirs_exist_ok=True)
    return next(place.inputs.glob("*/MTD_MSIL2A.xml"))


def safe(place: Place, metadata: Path, seed: str, data: bytes) -> None:
    """Metadata of a Sentinel-2 product, whose images are there."""
    metadata.write_bytes(data)
    place.ready()
    _examine(place.inputs)


def zipped(place: Place, _: object, seed: str, data: bytes) -> None:
    """A zipped product under its own name."""
    for path in place.inputs.iterdir():
        path.unlink()
    (place.inputs / seed.rsplit("+", 1)[1]).write_bytes(data)
    place.ready()
    _examine(place.inputs)


def names_of_scenes(made: Path) -> dict[str, bytes]:
    """The names of all files of scenes in every layout."""
    return {name: names_of(made / "scenes" / name) for name in SCENES}


def names(place: Place, _: object, seed: str, data: bytes) -> None:
    """A scene whose files have other names."""
    folder = place.inputs / "scene"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source = place.made / "scenes" / seed
    originals = [source / name for name in names_of(source).decode().split("\n")]
    known = {path.name: path for path in originals}
    for number, path in enumerate(safe_paths(folder, data)):
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            original = known.get(path.name, originals[number % len(originals)])
            path.hardlink_to(original)
    place.ready()
    _examine(folder, look=zlib.crc32(data) % RARELY == 0)


def npy(place: Place, _: object, seed: str, data: bytes) -> None:
    """The largest array of a d-pixel tile."""
    path = place.inputs / "bands.npy"
    path.write_bytes(data)
    place.ready()
    raster = NpyRaster(path, ("uint16",), (len(S2_BANDS),))
    steps, height, width, bands = raster.shape
    assert bands == len(S2_BANDS)
    assert raster.dtype == np.uint16
    assert path.stat().st_size >= raster.dtype.itemsize * math.prod(raster.shape)
    if steps and height and width:
        for window in (Window(0, 0, 1, 1), Window(width - 1, height - 1, 1, 1), Window(0, 0, width, height)):
            assert raster.read(window).shape == (steps, window.height, window.width, bands)


def doys(place: Place, _: object, seed: str, data: bytes) -> None:
    """The days of a d-pixel tile."""
    path = place.inputs / "doys.npy"
    path.write_bytes(data)
    place.ready()
    days = read_doys(path, 20, Path("bands.npy"))
    assert days.shape == (20,)
    assert days.dtype == np.int32
    assert 1 <= days.min() <= days.max() <= 366


def copy_dpixel(place: Place) -> Path:
    """A d-pixel tile."""
    return fresh_copy(place.made / "scenes" / "dpixel", place.inputs / "tile")


def roi(place: Place, folder: Path, seed: str, data: bytes) -> None:
    """The picture that places a d-pixel tile on Earth."""
    (folder / "roi.tiff").write_bytes(data)
    place.ready()
    grid = open_scene(str(folder)).grid
    assert (grid.height, grid.width) == (6, 5)
    if grid.crs is not None:
        assert all(math.isfinite(value) for value in grid.transform)
        assert grid.transform.determinant != 0


def tile(place: Place, folder: Path, seed: str, data: bytes) -> None:
    """Any file of a d-pixel tile."""
    fresh_copy(place.made / "scenes" / "dpixel", folder)
    path = folder / seed.rsplit("+", 1)[1]
    path.write_bytes(data)
    place.ready()
    _examine(folder)
