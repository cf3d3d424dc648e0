"""What reading costs in each layout, beside the nano network on the same pixels.

Files are in the system's cache, so this is decoding and bringing to one grid, not the disk.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from cube_files import s1_variables, s2_variables, write_netcdf, write_zarr
from made_up import write_tile
from mosaic_files import write_mosaics
from product_files import write_hyp3, write_opera, write_safe
from stac_files import write_items, write_stac_s1, write_stac_s2

from tessera_engine.running.loading import load_model
from tessera_engine.running.memory import MAX_WINDOW_PIXELS
from tessera_engine.scene import Window
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack

SIZE = 256


def write_safe_and(radar, **options):
    def write(folder, arrays, coarse):
        write_safe(folder / "s2", arrays, coarse, **options)
        radar(folder / "s1", arrays)

    return write


def write_stac(folder, arrays, coarse):
    write_items(folder, write_stac_s2(folder, arrays, coarse) + write_stac_s1(folder, arrays))


def write_cube(name, write):
    def write_all(folder, arrays, coarse):
        write(folder / name, s2_variables(arrays), arrays["doys"])
        for orbit in ("ascending", "descending"):
            write(folder / orbit / name, s1_variables(arrays, orbit), arrays[f"sar_{orbit}_doy"])

    return write_all


LAYOUTS = {
    "d-pixel tile": lambda folder, arrays, coarse: write_tile(folder, arrays),
    "date mosaics": lambda folder, arrays, coarse: write_mosaics(folder, arrays),
    "SAFE (JP2) and OPERA": write_safe_and(write_opera),
    "SAFE zips and HyP3 zips": write_safe_and(lambda *scene: write_hyp3(*scene, zipped=True), zipped=True),
    "STAC (GeoTIFF)": write_stac,
    "NetCDF": write_cube("c.nc", write_netcdf),
    "Zarr": write_cube("c.zarr", write_zarr),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Arrays of a simulated scene, and its bands at 20 m."""
    folder = tmp_path_factory.mktemp("reading") / "simulated"
    simulate(folder, SIZE, seed=5)
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    return arrays, arrays["bands"][:, ::2, ::2]


@pytest.fixture(scope="module")
def network_seconds(scene, tmp_path_factory):
    """What nano's int8 network takes for one pixel of the scene."""
    arrays, _ = scene
    tile = open_scene(write_tile(tmp_path_factory.mktemp("network") / "tile", arrays))
    model = load_model("demo", "int8")
    packed = pack(tile.reader.read(Window(0, 0, SIZE, 8)), model.facts)
    start = time.perf_counter()
    model.backend.run(packed.tokens)
    return (time.perf_counter() - start) / len(packed.pixels)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading(benchmark, scene, network_seconds, tmp_path: Path, layout):
    arrays, coarse = scene
    LAYOUTS[layout](tmp_path / "scene", arrays, coarse)
    opening = []

    def fresh():
        """A scene that has read nothing yet: it keeps what it has decoded."""
        start = time.perf_counter()
        reader = open_scene(tmp_path / "scene").reader
        opening.append(time.perf_counter() - start)
        return (reader,), {}

    def read(reader):
        windows = list(reader.windows(reader.grid.window, MAX_WINDOW_PIXELS))
        for window in windows:
            assert reader.read(window).s2_valid.any()
        return sum(window.pixels for window in windows)

    pixels = benchmark.pedantic(read, setup=fresh, rounds=3, warmup_rounds=1)
    assert pixels == SIZE * SIZE
    reading = benchmark.stats.stats.median / pixels
    benchmark.extra_info.update(
        layout=layout,
        pixels=pixels,
        dates=len(arrays["doys"]),
        opening_seconds=min(opening),
        reading_us_per_pixel=reading * 1e6,
        network_us_per_pixel=network_seconds * 1e6,
        share=reading / (reading + network_seconds),
    )
