"""The field's own clients read what we write, offline: geotessera 0.7.5, 0.11 past its pin on Python, and TEE's decoder.

`make peers` installs them in environments of their own, and runs this.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from made_up import CRS
from outputs import made_up_output
from places import ROOT
from rasterio.transform import Affine
from rasterio.warp import transform
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.formats.vq.tiles import decode
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid
from tessera_kernels.vq import Packed

CLIENT = ROOT / "tests" / "clients" / "geotessera_client.py"
PEERS = Path(os.environ.get("TESSERA_PEERS", "peers"))

# Four cells meet in it
GRID = Grid(150, 120, CRS, Affine(10, 0, 506_500, 0, -10, 5_594_600))


VERSIONS = pytest.mark.parametrize("version", ["0.7.5", "0.11.0"])


def read_by_client(version, tree, store, wanted, tmp_path):
    """What geotessera reads from a tree and, where it can, a store: the arrays that `CLIENT` saves."""
    python = PEERS / f"geotessera-{version}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is missing: run 'make peers'")
    (tmp_path / "points.json").write_text(json.dumps(wanted))
    done = subprocess.run(
        [python, CLIENT, tree, store, tmp_path / "points.json", tmp_path / "found.npz"],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    assert str(found["version"]) == version
    return found


@pytest.mark.peers
@VERSIONS
def test_geotessera_reads_points_and_regions(tmp_path, version):
    cog = open_embeddings(made_up_output(tmp_path / "a", landscape(120, 150, 128), grid=GRID, year=2018))
    # Both have grown by another year, and are asked for the first one
    later = made_up_output(
        tmp_path / "b", landscape(120, 150, 128, 7), grid=GRID, year=2019, scene_fingerprint="1" * 64
    )
    tree, store = tmp_path / "tree", tmp_path / "zarr"
    for format, out in (("geotessera", tree), ("zarr", store)):
        convert(cog, out, format)
        convert(open_embeddings(later), out, format, append=True)
    store = store / "embeddings.zarr"
    rng = np.random.default_rng(0)
    cols, rows = rng.uniform(0, 150, 40), rng.uniform(0, 120, 40)
    x, y = GRID.transform @ np.stack([cols, rows])
    lon, lat = transform(CRS, "EPSG:4326", x, y)
    expected = cog.points(lon, lat)
    wanted = {
        "lon": lon, "lat": lat, "year": 2018, "bbox": [3.0985, 50.4985, 3.1015, 50.5015], "crs": CRS,
    }  # fmt: skip
    old = version.startswith("0.7")
    found = read_by_client(version, tree, "-" if old else store, wanted, tmp_path)
    assert sorted(found["tiles"][:, 2]) == [2018] * 4 + [2019] * 4
    assert np.isfinite(expected[:, 0]).sum() > 20
    np.testing.assert_array_equal(found["points"], expected)
    # Each pixel of the region that the client puts together, looked up by its place. 0.11 cuts each cell to the region's
    # corner, which lies between pixels, so its mosaic may be one pixel off.
    region, place = found["region"], Affine(*found["region_transform"])
    across, down = np.meshgrid(np.arange(region.shape[1]) + 0.5, np.arange(region.shape[0]) + 0.5)
    cols, rows = np.floor((~GRID.transform @ place) @ np.stack([across.ravel(), down.ravel()])).astype(int)
    theirs = region.reshape(-1, 128)
    near = range(-1, 2) if not old else range(1)
    same = np.zeros(len(theirs), bool)
    for col, row in itertools.product(near, near):
        same |= (cog.pixels(cols + col, rows + row) == theirs).all(axis=1)
    assert np.isfinite(theirs[:, 0]).sum() > 400
    assert same[np.isfinite(theirs[:, 0])].all()
    if not old:
        assert found["zarr_years"].tolist() == [2018, 2019]
        assert str(found["zarr_epsg"]) == CRS
        np.testing.assert_array_equal(found["zarr_points"], expected)


@pytest.mark.peers
@VERSIONS
def test_geotessera_takes_a_v1_1_tree_for_what_it_is(tmp_path, version, v1_1_outputs):
    cog, tree = open_embeddings(v1_1_outputs[0]), v1_1_outputs[1]
    cols, rows = np.meshgrid(np.arange(30) + 0.5, np.arange(20) + 0.5)
    lon, lat = transform(CRS, "EPSG:4326", *(cog.grid.transform @ np.stack([cols.ravel(), rows.ravel()])))
    expected = cog.points(lon, lat)
    assert np.isfinite(expected[:, 0]).sum() > 500
    west, south, east, north = min(lon), min(lat), max(lon), max(lat)
    wanted = {"lon": lon, "lat": lat, "year": 2021, "bbox": [west, south, east, north], "crs": CRS}
    found = read_by_client(version, tree, "-", wanted, tmp_path)
    np.testing.assert_array_equal(found["points"], expected)
    if not version.startswith("0.7"):
        model = cog.provenance["model_sha256"][:12]
        assert found["dataset"].tolist() == ["1.1", f"tessera-engine-v1_1_tiny-{model}"]
        assert "Embeddings of different datasets cannot be interchanged" in str(found["mixed"])


@pytest.mark.peers
def test_the_explorers_decoder_reads_format_vq(tmp_path):
    """The page of TEE decodes tessera-vq's two codebooks in JavaScript; our first two have the same meaning."""
    decoder, node = PEERS / "TEE" / "public" / "js" / "vq_reconstruct.js", shutil.which("node")
    if not decoder.exists() or node is None:
        pytest.skip(f"{decoder} or node is missing: run 'make peers'")
    size = (512, 1024)
    embedding = np.random.default_rng(0).normal(size=(*size, 8)).astype(np.float32)
    made = convert(open_embeddings(made_up_output(tmp_path / "a", embedding, "npy")), tmp_path / "v", "vq")
    group = zarr.open_group(made / "embeddings.zarr", mode="r")
    names = ("number1", "number2", *(f"codebook{n}{end}" for n in (1, 2) for end in ("", "_range")))
    for name in names:
        (tmp_path / f"{name}.bin").write_bytes(group[name][:].tobytes())
    words = {f"k{n}": group[f"codebook{n}"].shape[2] for n in (1, 2)}
    about = {"outH": size[0], "outW": size[1], "nTileRows": 1, "nTileCols": 2, "t": 512, "dim": 8, **words}
    (tmp_path / "about.json").write_text(json.dumps(about))
    client = ROOT / "tests" / "clients" / "vq_client.mjs"
    subprocess.run([node, client, decoder, tmp_path], check=True)
    theirs = np.fromfile(tmp_path / "mosaic.bin", np.float32).reshape(*size, 8)
    for col in (0, 1):
        books = [Packed(group[f"codebook{n}"][0, col], group[f"codebook{n}_range"][0, col]) for n in (1, 2)]
        cols = slice(512 * col, 512 * (col + 1))
        ours = decode(books, np.stack([group[f"number{n}"][:, cols] for n in (1, 2)]), 8)
        np.testing.assert_allclose(theirs[:, cols], ours.vectors[ours.which], rtol=0, atol=1e-6)
    # The third codebook adds what theirs leaves
    values = open_embeddings(made).read()
    assert ((values - embedding) ** 2).mean() < 0.9 * ((theirs - embedding) ** 2).mean()
