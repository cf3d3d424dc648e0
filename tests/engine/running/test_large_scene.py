"""A whole Sentinel-2 tile's year of files: opened in seconds, and no dearer in memory than a small scene."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
from affine import Affine
from made_up import CRS
from mosaic_files import CLEAR, CLOUD, FOLDERS
from rasterio.windows import Window

from tessera_engine.scenes import open_scene

pytestmark = pytest.mark.slow

PROFILE = {
    "driver": "GTiff",
    "count": 1,
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "compress": "deflate",
    "predictor": 2,
    "SPARSE_OK": True,
    "crs": CRS,
    "transform": Affine(10, 0, 499_980, 0, -10, 5_600_040),
}

EMBED = """
import resource, sys
from tessera_engine import api
from tessera_engine.running import loading
from tessera_engine.scene import Window
scene, out, corner, side = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
model = loading.load_model("demo", precision="int8", threads=1)
done = api.embed(scene, model, out, window=Window(corner, corner, side, side), memory=450_000_000)
print(done.with_data, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write(folder, dates: int, size: int, corner: int, side: int):
    """Files of a scene of `size` pixels a side; only a square of them has data, the rest takes no disk."""
    rng = np.random.default_rng(0)
    for n in range(dates):
        day = date(2021, 1, 1) + timedelta(days=5 * n)
        for name in (*FOLDERS, "scl"):
            dtype = np.uint8 if name == "scl" else np.uint16
            values = (
                rng.integers(200, 6000, (side, side))
                if name != "scl"
                else rng.choice([CLEAR, CLOUD], (side, side))
            )
            path = folder / "data_raw" / name / f"{day}_mosaic.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(path, "w", **PROFILE, width=size, height=size, dtype=dtype) as file:
                file.write(values.astype(dtype), 1, window=Window(corner, corner, side, side))
    return folder


def peak_memory(scene, out, corner: int, side: int) -> int:
    """Bytes, of a process of its own."""
    command = [sys.executable, "-c", EMBED, str(scene), str(out), str(corner), str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with_data, peak = map(int, done.stdout.split())
    assert with_data == side * side
    return peak * (1 if sys.platform == "darwin" else 1024)


def test_a_tile_of_110_km_opens_fast_and_embeds_like_a_small_scene(tmp_path):
    large = write(tmp_path / "large", 70, 10_980, corner=2048, side=512)
    start = time.perf_counter()
    scene = open_scene(large)
    took = time.perf_counter() - start
    assert (scene.grid.width, scene.grid.height) == (10_980, 10_980)
    assert len(scene.reader.dates.s2) == 70
    assert took < 10
    small = write(tmp_path / "small", 70, 256, corner=0, side=256)
    of_small = peak_memory(small, tmp_path / "small.out", 0, 256)
    of_large = peak_memory(large, tmp_path / "large.out", 2048, 512)
    print(f"opened in {took:.2f} s; {of_small / 1e6:.0f} MB small, {of_large / 1e6:.0f} MB large")
    assert of_large < 450e6
    assert of_large < of_small + 40e6
