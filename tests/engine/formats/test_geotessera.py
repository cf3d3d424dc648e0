"""geotessera's tree: cells in their place, nothing lost between them, no water invented."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CRS
from outputs import made_up_output
from rasterio.transform import Affine
from rasterio.warp import transform
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError
from tessera_engine.formats.geotessera.writing import cells
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid

# Its middle is where four cells meet: 3.1 degrees east, 50.5 degrees north
CORNER = Affine(10, 0, 506_500, 0, -10, 5_594_600)
EMBEDDING = landscape(120, 150, 128)
GRID = Grid(150, 120, CRS, CORNER)


@pytest.fixture(scope="module")
def cog(tmp_path_factory):
    return open_embeddings(
        made_up_output(tmp_path_factory.mktemp("c") / "a", EMBEDDING, grid=GRID, year=2018)
    )


@pytest.fixture(scope="module")
def tree(cog, tmp_path_factory):
    return convert(cog, tmp_path_factory.mktemp("g") / "tree", "geotessera")


def test_it_comes_back_bit_for_bit(cog, tree):
    found = open_embeddings(tree)
    assert len(found.source.cells) == 4
    assert found.grid == cog.grid
    for before, after in zip(cog.read_stored(), found.read_stored(), strict=True):
        np.testing.assert_array_equal(after, before)
    window = found.grid.window
    np.testing.assert_array_equal(
        found.source.read_observations(window), cog.source.read_observations(window)
    )


def test_cells_are_the_clients_files(cog, tree):
    year = tree / "global_0.1_degree_representation" / "2018"
    names = {"grid_3.05_50.45", "grid_3.05_50.55", "grid_3.15_50.45", "grid_3.15_50.55"}
    assert {path.name for path in year.iterdir()} == names
    for name in names:
        codes, scales = np.load(year / name / f"{name}.npy"), np.load(year / name / f"{name}_scales.npy")
        assert (codes.dtype, scales.dtype) == (np.int8, np.float32)
        assert not np.isnan(scales).any()  # NaN would mean water
        assert (codes[np.isinf(scales)] == 0).all()
        with rasterio.open(tree / "global_0.1_degree_tiff_all" / f"{name}.tiff") as mask:
            assert (mask.dtypes, mask.crs.to_string()) == (("uint8",), CRS)
            assert (mask.read(1) == 1).all()
            assert mask.shape == scales.shape == codes.shape[:2]
            x, y = mask.transform @ (3.5, 2.5)
        lon, lat = transform(CRS, "EPSG:4326", [x], [y])
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(codes[2, 3] * scales[2, 3], cog.points(lon, lat)[0])
    manifest = json.loads((tree / "tessera_metadata.json").read_text())
    assert manifest["cells"].keys() == {"2018"}
    assert set(manifest["cells"]["2018"]) == names
    assert manifest["model_sha256"] == "a" * 64


def test_the_registry_lists_every_cell(tree):
    names = json.loads((tree / "tessera_metadata.json").read_text())["cells"]["2018"]
    for table in ("registry", "manifest", "landmasks"):
        rows = parquet.read_table(tree / f"{table}.parquet").to_pylist()
        assert [f"grid_{row['lon']:.2f}_{row['lat']:.2f}" for row in rows] == (
            sorted(names) if table == "landmasks" else names
        )
        assert all(
            (row["lon_i"], row["lat_i"]) == (round(row["lon"] * 100), round(row["lat"] * 100)) for row in rows
        )
    for row in parquet.read_table(tree / "registry.parquet").to_pylist():
        name = f"grid_{row['lon']:.2f}_{row['lat']:.2f}"
        place = tree / "global_0.1_degree_representation" / str(row["year"]) / name
        for suffix, what in (("", ("hash", "file_size")), ("_scales", ("scales_hash", "scales_size"))):
            content = (place / f"{name}{suffix}.npy").read_bytes()
            assert (row[what[0]], row[what[1]]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert struct.unpack("<BIdd", row["geometry"]) == (1, 1, row["lon"], row["lat"])
    assert b"geo" in parquet.read_schema(tree / "registry.parquet").metadata


def test_without_what_writes_the_registry_it_is_refused(cog, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"pyarrow.*tessera-engine\[geotessera\]"):
        convert(cog, tmp_path / "x", "geotessera")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("generation", "version", "path"), [("v2", "2.0", "v2"), ("v1.1", "1.1", "v1.1"), ("v1.0", "1.0", "v1")]
)
def test_the_manifest_says_the_models_generation_in_the_clients_words(tmp_path, generation, version, path):
    small = made_up_output(tmp_path / "a", EMBEDDING[40:60, 40:60], year=2018, generation=generation)
    tree = convert(open_embeddings(small), tmp_path / "tree", "geotessera")
    manifest = json.loads((tree / "tessera_metadata.json").read_text())
    assert (manifest["dataset_version"], manifest["dataset_version_path"]) == (version, path)
    assert manifest["dataset_variant"] == f"tessera-engine-nano-{'a' * 12}"


def test_a_v1_1_model_embeds_into_the_tree(v1_1_outputs):
    cog, tree = map(open_embeddings, v1_1_outputs)
    assert tree.provenance["generation"] == "v1.1"
    assert tree.grid == cog.grid
    for found, wanted in zip(tree.read_stored(), cog.read_stored(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    manifest = json.loads((tree.path / "tessera_metadata.json").read_text())
    sha256 = tree.provenance["model_sha256"]
    assert (manifest["dataset_version"], manifest["dataset_version_path"]) == ("1.1", "v1.1")
    assert manifest["dataset_variant"].endswith(sha256[:12])
    assert manifest["model_sha256"] == sha256
    assert [year.name for year in (tree.path / "global_0.1_degree_representation").iterdir()] == ["2021"]


@given(
    st.floats(-179, 178.5), st.floats(-79, 83), st.integers(20, 400), st.integers(20, 400), st.floats(20, 90)
)
@settings(max_examples=40)
def test_cells_cover_every_pixel_in_its_own_cell(west, south, width, height, size):
    zone = min(int((west + 180) // 6) + 1, 60)
    crs = f"EPSG:32{'6' if south >= 0 else '7'}{zone:02d}"
    (x,), (y,) = transform("EPSG:4326", crs, [west], [south])
    grid = Grid(width, height, crs, Affine(size, 0, x, 0, -size, y + 10_000))
    covered = np.zeros((height, width), bool)
    found = dict(cells(grid))
    assert len(found) == len(list(cells(grid)))
    for window in found.values():
        covered[window.row : window.row + window.height, window.col : window.col + window.width] = True
    assert covered.all()
    col, row = width - 0.5, height - 0.5
    (lon,), (lat,) = transform(crs, "EPSG:4326", *([value] for value in grid.transform @ (col, row)))
    window = found[f"grid_{np.floor(lon * 10) / 10 + 0.05:.2f}_{np.floor(lat * 10) / 10 + 0.05:.2f}"]
    assert window.col <= int(col) < window.col + window.width
    assert window.row <= int(row) < window.row + window.height


def test_a_downloaded_tree_is_read_but_of_unknown_origin(cog, tree, tmp_path):
    for folder in ("global_0.1_degree_representation", "global_0.1_degree_tiff_all"):
        shutil.copytree(tree / folder, tmp_path / folder)
    found = open_embeddings(tmp_path)
    assert found.provenance == {}
    assert found.grid.crs == CRS
    np.testing.assert_array_equal(found.read(), cog.read())
    with pytest.raises(InputError, match="which model made it"):
        convert(found, tmp_path / "x", "cog")
    (tmp_path / "global_0.1_degree_representation" / "2019").mkdir()
    with pytest.raises(InputError, match=r"2018, 2019.*year="):
        open_embeddings(tmp_path)
    np.testing.assert_array_equal(open_embeddings(tmp_path, year=2018).read(), cog.read())
    with pytest.raises(InputError, match="holds no cell"):
        open_embeddings(tmp_path, year=2019)


def test_what_it_cannot_hold_is_refused(tmp_path):
    short = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING[:20, :20, :32], year=2018))
    with pytest.raises(InputError, match="takes 128 dimensions, these are 32"):
        convert(short, tmp_path / "x", "geotessera")
    nowhere = made_up_output(tmp_path / "b", EMBEDDING[:20, :20], grid=Grid(20, 20), year=2018)
    with pytest.raises(InputError, match="needs a CRS"):
        convert(open_embeddings(nowhere), tmp_path / "x", "geotessera")
    across = Grid(20, 20, "EPSG:32660", Affine(10, 0, 828_100, 0, -10, 100_000))
    with pytest.raises(InputError, match="antimeridian"):
        list(cells(Grid(2000, 20, across.crs, across.transform)))
