"""A layout is added by one module and one entry of the registry; messages and the command line name it by themselves."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import rasterio
from fake_backend import FakeBackend
from made_up import CRS, ORIGIN, made_up_arrays, write_tile

from tessera_engine import api
from tessera_engine.errors import InputError
from tessera_engine.running import loading
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.registry import LAYOUTS, Layout


def embedded(scene, out):
    api.embed(scene, loading.Model(FakeBackend(), threads=1), out, stored_as="int8", format="npy")
    return [np.load(path) for path in sorted(out.glob("*.npy"))]


@pytest.fixture
def tile_layout(monkeypatch):
    monkeypatch.setitem(LAYOUTS, "all-in-one", Layout("all-in-one", "tile", "an all.npz", "fake_tile_layout"))


@pytest.fixture
def product_layout(monkeypatch):
    layout = Layout("ten-bands", "product", "GeoTIFFs of ten bands and a mask", "fake_product_layout")
    monkeypatch.setitem(LAYOUTS, "ten-bands", layout)


@pytest.mark.parametrize("layout", [None, "all-in-one"])
def test_a_new_tile_layout_is_opened_and_embedded(tmp_path, tile_layout, layout):
    arrays = made_up_arrays()
    (tmp_path / "new").mkdir()
    np.savez(tmp_path / "new" / "all.npz", **arrays)
    scene = open_scene(tmp_path / "new", layout=layout)
    wanted = embedded(write_tile(tmp_path / "tile", arrays), tmp_path / "tile.out")
    for a, b in zip(embedded(scene, tmp_path / "new.out"), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", [None, "ten-bands"])
def test_a_new_product_layout_is_opened_and_embedded(tmp_path, product_layout, layout):
    arrays = {name: made_up_arrays()[name] for name in ("bands", "masks", "doys")}
    (tmp_path / "new").mkdir()
    height, width = arrays["masks"].shape[1:]
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 11, "width": width, "height": height}
    for bands, mask, doy in zip(*arrays.values(), strict=True):
        day = date.fromordinal(date(2021, 1, 1).toordinal() + int(doy) - 1)
        path = tmp_path / "new" / f"{day}.ten-bands.tif"
        with rasterio.open(path, "w", **profile, crs=CRS, transform=ORIGIN) as file:
            file.write(np.concatenate([bands, mask[..., None]], axis=2).transpose(2, 0, 1))
    scene = open_scene(tmp_path / "new", layout=layout)
    assert scene.reader.layout == "ten-bands"
    wanted = embedded(write_tile(tmp_path / "tile", arrays), tmp_path / "tile.out")
    for a, b in zip(embedded(scene, tmp_path / "new.out"), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_messages_name_every_layout(tmp_path, tile_layout, product_layout):
    with pytest.raises(InputError) as unknown:
        open_scene(tmp_path, layout="unheard-of")
    assert all(name in str(unknown.value) for name in LAYOUTS)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError) as nothing:
        open_scene(tmp_path)
    assert all(layout.looks_like in str(nothing.value) for layout in LAYOUTS.values())


def test_every_layout_is_registered_under_its_own_name():
    assert all(name == layout.name for name, layout in LAYOUTS.items())
