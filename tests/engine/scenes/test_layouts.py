"""Every layout is read like the d-pixel form of the same arrays, and bad products are named and not used."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from affine import Affine
from bad_products import sprinkle
from cube_files import s1_variables, s2_variables, write_netcdf, write_zarr
from fake_backend import FakeBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import ORIGIN, FakeReader, write_tile
from places import FLANDERS
from product_files import (
    METADATA,
    at_20_m,
    bilinear_double,
    product_arrays,
    write_hyp3,
    write_opera,
    write_safe,
)
from rasterio.warp import transform as project
from stac_files import write_items, write_stac_s1, write_stac_s2

from tessera_engine import api, cli
from tessera_engine.model.drift import measure
from tessera_engine.running import loading
from tessera_engine.scene import S2_BANDS, Observations, Window
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.search import find_products


def stac(**options):
    def write_all(folder, arrays, coarse):
        items = write_stac_s2(folder, arrays, coarse, real=METADATA.exists(), **options)
        write_items(
            folder, items + write_stac_s1(folder, arrays), {"pc": "catalogue"}.get(options["kind"], "files")
        )

    return write_all


def safe_and(radar, **options):
    def write_all(folder, arrays, coarse):
        write_safe(folder / "s2", arrays, coarse, real=METADATA.exists(), **options)
        radar(folder / "s1", arrays)

    return write_all


def cubes(name, write, units):
    def write_all(folder, arrays, coarse):
        write(folder / name, s2_variables(arrays), arrays["doys"])
        for orbit in ("ascending", "descending"):
            if len(arrays[f"sar_{orbit}_doy"]):
                write(folder / orbit / name, s1_variables(arrays, orbit, units), arrays[f"sar_{orbit}_doy"])

    return write_all


def hyp3(units, zipped=False):
    return lambda folder, arrays: write_hyp3(folder, arrays, units, zipped)


LAYOUTS = {
    "SAFE (JP2) and OPERA": safe_and(write_opera),
    "SAFE (GeoTIFF, offset) and HyP3 power": safe_and(hyp3("power"), pixels="tif", offset=1000),
    "SAFE zips and HyP3 dB zips": safe_and(hyp3("db", zipped=True), zipped=True),
    "SAFE (JP2, offset) and HyP3 amplitude": safe_and(hyp3("amplitude"), offset=1000),
    "Planetary Computer": stac(kind="pc"),
    "Planetary Computer, offset": stac(kind="pc", offset=1000),
    "Earth Search": stac(kind="earthsearch"),
    "Earth Search, raw": stac(kind="earthsearch", offset=1000),
    "Earth Search, first version": stac(kind="earthsearch-v0"),
    "NetCDF": cubes("c.nc", write_netcdf, "power"),
    "NetCDF, dB": cubes("c.nc", write_netcdf, "db"),
    "Zarr": cubes("c.zarr", write_zarr, "amplitude"),
}
AT_20_M = [name for name in LAYOUTS if name not in ("NetCDF", "NetCDF, dB", "Zarr")]


def assert_same(found: Observations, wanted: Observations) -> None:
    """Equal, except for the bands of observations that aren't clear: these have no effect on embeddings."""
    for name, value in vars(wanted).items():
        if name not in ("s2", "s2_valid", "days"):
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
    # Products say which pixels are water; the masks of d-pixel tiles don't
    np.testing.assert_array_equal(found.s2_valid != 0, wanted.s2_valid != 0)
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])


def assert_reads(folder, arrays):
    scene, fake = open_scene(folder), FakeReader(arrays)
    assert scene.grid == fake.grid
    assert scene.reader.dates == fake.dates
    assert not scene.reader.unused
    assert_same(scene.reader.read(scene.grid.window), fake.read(scene.grid.window))
    return scene


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_resampled_at_10_m(tmp_path, layout):
    arrays = product_arrays()
    LAYOUTS[layout](tmp_path / "scene", arrays, None)
    scene = assert_reads(tmp_path / "scene", arrays)
    assert len(scene.reader.fingerprint()) == 64


@pytest.mark.parametrize("layout", AT_20_M)
def test_20_m_bands_are_bilinear(tmp_path, layout):
    arrays, coarse = at_20_m(product_arrays())
    LAYOUTS[layout](tmp_path / "scene", arrays, coarse)
    assert_reads(tmp_path / "scene", arrays)


@pytest.mark.parametrize(("name", "write"), [("c.nc", write_netcdf), ("c.zarr", write_zarr)])
def test_a_cube_may_lie_with_south_up(tmp_path, name, write):
    arrays = product_arrays()
    variables = {band: (values[:, ::-1].copy(), {}) for band, (values, _) in s2_variables(arrays).items()}
    write(tmp_path / name, variables, arrays["doys"], Affine(10, 0, ORIGIN.c, 0, 10, ORIGIN.f - 120))
    scene, fake = open_scene(tmp_path), FakeReader(arrays)
    assert scene.grid == fake.grid
    found, wanted = scene.reader.read(scene.grid.window), fake.read(scene.grid.window)
    np.testing.assert_array_equal(found.s2_valid != 0, wanted.s2_valid != 0)
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])


def test_a_product_with_a_stac_item_beside_it_counts_once(tmp_path):
    arrays = product_arrays(steps=2)
    for root in write_safe(tmp_path, arrays, pixels="tif", real=False):
        images = {path.stem.split("_")[2]: path for path in root.rglob("*.tif")}
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": root.stem,
            "properties": {"datetime": f"{root.name[11:15]}-{root.name[15:17]}-{root.name[17:19]}", "platform": "sentinel-2a"},
            "assets": {band: {"href": path.relative_to(root).as_posix()} for band, path in images.items()},
        }  # fmt: skip
        (root / "item.json").write_text(json.dumps(item))
    found = find_products(list_folder(tmp_path))[1]
    assert len(found.s2) == 2
    assert not found.problems
    assert len(find_products(list_folder(tmp_path), "stac")[1].s2) == 2


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    arrays, coarse = at_20_m(product_arrays(steps=2))
    folder = tmp_path_factory.mktemp("small") / "scene"
    LAYOUTS["SAFE zips and HyP3 dB zips"](folder, arrays, coarse)
    return open_scene(folder), FakeReader(arrays)


@given(st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_of_zips_reads_the_same(small, data):
    scene, fake = small
    col, row = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 11))
    window = Window(col, row, data.draw(st.integers(1, 10 - col)), data.draw(st.integers(1, 12 - row)))
    assert_same(scene.reader.read(window), fake.read(window))


def embedded(scene, out):
    api.embed(scene, loading.Model(FakeBackend(), threads=1), out, stored_as="int8", format="npy")
    arrays = {path.name.rpartition("_")[2]: np.load(path) for path in sorted(out.glob("*.npy"))}
    # Products say which pixels are water, in the last band; d-pixel tiles don't
    arrays["quality.npy"] = arrays["quality.npy"][..., :-1]
    return list(arrays.values())


@pytest.mark.parametrize("layout", ["SAFE zips and HyP3 dB zips", "Planetary Computer, offset", "Zarr"])
def test_embeddings_are_those_of_the_d_pixel_form(tmp_path, layout):
    arrays = product_arrays(6, 4)
    LAYOUTS[layout](tmp_path / "scene", arrays, None)
    wanted = embedded(write_tile(tmp_path / "tile", arrays), tmp_path / "tile.out")
    for a, b in zip(embedded(tmp_path / "scene", tmp_path / "scene.out"), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def smooth_bands(x, y, doys):
    """Digital numbers that vary over 400 m and the year, at any place: (T, H, W, 10) uint16."""
    t, band = np.asarray(doys)[:, None, None, None] / 58, np.arange(10)
    waves = np.sin(x[..., None] / 64 + band) * np.cos(y[..., None] / 64 - t) + np.sin(t + band)
    return np.rint(1800 + 100 * band + 500 * waves).astype(np.uint16)


def centres(transform, height, width):
    return transform @ (np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5)


def test_two_tiles_of_two_zones_embed_like_one(tmp_path):
    """The left part is in zone 31, and a tile of zone 32 covers everything; where both are, the first name is used."""
    arrays = product_arrays(48, 48, steps=8)
    doys, everywhere = arrays["doys"], np.ones((8, 64, 64), np.uint8)
    x, y = np.broadcast_arrays(*centres(ORIGIN, 48, 48))
    arrays |= {"bands": smooth_bands(x, y, doys), "masks": everywhere[:, :48, :48]}
    left = {"bands": arrays["bands"][:, :, :30], "masks": everywhere[:, :48, :30], "doys": doys}
    write_safe(tmp_path / "scene", left, pixels="tif")
    (east,), (north,) = project("EPSG:32631", "EPSG:32632", [500_240], [5_599_760])
    beside = Affine(10, 0, round(east, -1) - 320, 0, -10, round(north, -1) + 320)
    x, y = np.broadcast_arrays(*centres(beside, 64, 64))
    in_31 = project("EPSG:32632", "EPSG:32631", x.ravel(), y.ravel())
    bands = smooth_bands(*(np.reshape(each, x.shape) for each in in_31), doys)
    other = {"bands": bands, "masks": everywhere, "doys": doys}
    write_safe(tmp_path / "scene", other, pixels="tif", tile="T32ULB", transform=beside, crs="EPSG:32632")
    write_items(tmp_path / "scene", write_stac_s1(tmp_path / "scene", arrays))
    tile = write_tile(tmp_path / "tile", arrays)

    scene = open_scene(tmp_path / "scene", like=tile / "roi.tiff")
    found, wanted = scene.reader.read(scene.grid.window), FakeReader(arrays).read(scene.grid.window)
    assert found.s2_valid.all()
    np.testing.assert_array_equal(found.s2[:, :, :30], wanted.s2[:, :, :30])
    assert (found.s2[:, :, 30:] != wanted.s2[:, :, 30:]).any()
    model = loading.load_model("demo", "fp32", "onnxruntime")
    embeddings = []
    for name, each in (("scene", scene), ("tile", tile)):
        api.embed(each, model, tmp_path / f"{name}.out", format="npy")
        embeddings.append(np.load(tmp_path / f"{name}.out" / f"{name}.npy").reshape(-1, 128))
    drift = measure(*embeddings)
    assert drift.centred_mean >= 0.9995
    assert drift.centred_p1 >= 0.999


@pytest.fixture(scope="module")
def sprinkled(tmp_path_factory):
    folder, arrays = tmp_path_factory.mktemp("sprinkled") / "scene", product_arrays(steps=3)
    write_safe(folder / "good", arrays, pixels="tif")
    write_items(folder, write_stac_s1(folder, arrays))
    return folder, arrays, sprinkle(folder, arrays, 100)


def test_100_bad_products_are_each_named_once_and_the_good_ones_used(sprinkled):
    folder, arrays, bad = sprinkled
    scene = open_scene(folder)
    assert Counter(problem.source for problem in scene.reader.unused if problem.lost) == Counter(bad)
    assert not [p for p in scene.reader.unused if "\n" in p.reason or "root:" in p.reason]
    shown = [warning for warning in scene.reader.warnings if " is not used: " in warning]
    assert len(shown) == 20
    assert "100 " in scene.reader.warnings[-1]
    assert "80 more" in scene.reader.warnings[-1]
    assert_same(scene.reader.read(scene.grid.window), FakeReader(arrays).read(scene.grid.window))


def test_strict_refuses_bad_products(sprinkled, tmp_path, monkeypatch, capsys):
    folder, _, _ = sprinkled
    monkeypatch.setattr(
        "sys.argv", ["tessera-engine", "embed", str(folder), "--strict", "-o", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err.replace("\n", "")
    assert said.count(" is not used: ") == 20
    assert "80 more" in said
    assert not (tmp_path / "out").exists()


def flanders():
    """The real scene with its dates in one calendar year, and its 20 m bands, which it has doubled, at 20 m."""
    arrays = {path.stem: np.load(path) for path in FLANDERS.glob("*.npy")}
    for names in (("bands", "masks", "doys"), ("sar_ascending", "sar_ascending_doy")):
        order = np.argsort(arrays[names[-1]], kind="stable")
        for name in names:
            arrays[name] = np.ascontiguousarray(arrays[name][order])
    coarse = arrays["bands"][:, ::2, ::2]
    bands = arrays["bands"].copy()
    for i, band in enumerate(S2_BANDS):
        if band not in ("B02", "B03", "B04", "B08"):
            bands[..., i] = bilinear_double(coarse[..., i])
    # a mask of 20 m, as the scene classification has: where all of its four pixels are clear
    masks = arrays["masks"].reshape(len(bands), 32, 2, 32, 2).all((2, 4))
    return {**arrays, "bands": bands, "masks": masks.repeat(2, 1).repeat(2, 2).astype(np.uint8)}, coarse


@pytest.mark.skipif(not FLANDERS.exists(), reason="needs ../shared/data/flanders-2018")
@pytest.mark.parametrize(
    "layout", [name if name == "Planetary Computer" else pytest.param(name, marks=pytest.mark.slow) for name in LAYOUTS]
)  # fmt: skip
def test_the_real_scene_is_the_same_in_every_layout(tmp_path, layout):
    arrays, coarse = flanders()
    if layout in AT_20_M:
        LAYOUTS[layout](tmp_path / "scene", arrays, coarse)
    else:
        LAYOUTS[layout](tmp_path / "scene", arrays, None)
    assert_reads(tmp_path / "scene", arrays)
