"""Memory: what is free is half taken, limits of containers count, and too little is said with what is needed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st
from made_up import CRS, ORIGIN, FakeReader, made_up_arrays
from rasterio.warp import transform
from soak.memory import peak_bytes

from tessera_engine.errors import InputError
from tessera_engine.running import memory
from tessera_engine.running.memory import window_pixels
from tessera_engine.simulate import simulate


@given(st.integers(10**6, 10**10))
def test_windows_fit_or_the_refusal_says_what_would(limit):
    reader, model = FakeReader(made_up_arrays()), FakeBackend().model
    try:
        pixels = window_pixels(limit, reader, model)
    except InputError as refused:
        needed = int(str(refused).rsplit("at least ", 1)[1].removesuffix("MB")) * 10**6
        assert needed > limit
        assert window_pixels(needed, reader, model) >= memory.MIN_WINDOW_PIXELS
    else:
        assert memory.MIN_WINDOW_PIXELS <= pixels <= memory.MAX_WINDOW_PIXELS
        assert memory.expected_memory(pixels, reader, model) <= limit


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs wait4")
@pytest.mark.parametrize("size", [(256, 256), (4096, 16)])
def test_a_run_stays_below_its_limit(tmp_path, size):
    simulate(tmp_path / "scene", size, seed=1)
    peak_bytes(tmp_path, "embed", "scene", "--int8")  # kernels that have to be compiled take more, once
    assert peak_bytes(tmp_path, "embed", "scene", "--int8", "--memory", "300MB") < 300e6


def test_strips_are_as_large_as_the_memory_allows():
    base = memory.READING_BYTES
    assert memory.strip_values(base + 1000, 400, 3, least=10, most=10**9) == 200
    assert memory.strip_values(base + 1000, 400, 3, least=10, most=150) == 150
    assert memory.strip_values(None, 0, 3, least=1, most=100) == 100
    with pytest.raises(InputError, match=rf"at least {(base + 1000) // 10**6 + 1}MB"):
        memory.strip_values(base + 999, 400, 3, least=200, most=10**9)


MAKE = """
import sys
from pathlib import Path
import numpy as np
from outputs import made_up_output
for name in "ab":
    embedding = np.random.default_rng(ord(name)).standard_normal((700, 1100, 128), np.float32)
    made_up_output(Path(name), embedding, stored_as=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs wait4")
@pytest.mark.parametrize("store", ["int8", "float32"])
def test_maps_keep_within_memory(tmp_path, store):
    # Elsewhere, because what is started from a process counts its memory as its own
    path = os.pathsep.join(sys.path)
    subprocess.run(
        [sys.executable, "-c", MAKE, store], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=True
    )
    rng = np.random.default_rng(0)
    labels = np.zeros((700, 1100), np.uint8)
    labels[::50, ::50] = rng.integers(1, 9, labels[::50, ::50].shape)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 1100, "height": 700}
    with rasterio.open(tmp_path / "labels.tif", "w", **profile, crs=CRS, transform=ORIGIN) as file:
        file.write(labels, 1)
    (lon,), (lat,) = transform(CRS, "EPSG:4326", *([value] for value in ORIGIN @ (600.5, 400.5)))
    for limit, words in (
        (330, ["similar", "a", "--at", str(lon), str(lat)]),
        (330, ["change", "a", "b"]),
        (530, ["map", "a", "--labels", "labels.tif"]),
    ):
        peak = peak_bytes(tmp_path, *words, "--memory", f"{limit}MB")
        assert peak < limit * 10**6, (words[0], peak)
