import tracemalloc

import numpy as np
import pytest
import rasterio
import rasterio.warp

from tessera_engine.errors import InputError
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import ground, simulate
from tessera_engine.simulate.climate import CLIMATES
from tessera_engine.simulate.covers import BARE, CONIFER, COVERS, GRASS, OPEN_WATER, RAPESEED, WHEAT, at
from tessera_engine.simulate.noise import NoiseLoop, Stream, fractal_noise, generator, smooth_noise
from tessera_engine.simulate.optical import draw_sky
from tessera_engine.simulate.weather import s1_days, s2_days, soil_moisture

ARRAYS = (
    "bands",
    "masks",
    "doys",
    "sar_ascending",
    "sar_ascending_doy",
    "sar_descending",
    "sar_descending_doy",
)


def read(folder):
    return {name: np.load(folder / f"{name}.npy") for name in ARRAYS}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "scene"
    simulate(folder, (128, 112), seed=3)
    return folder


@pytest.fixture(scope="module")
def cover(scene):
    with rasterio.open(scene / "cover.tif") as file:
        return file.read(1)


def test_the_layout_is_a_d_pixel_tile(scene):
    arrays = read(scene)
    shapes = {name: (values.shape, values.dtype.name) for name, values in arrays.items()}
    assert shapes == {
        "bands": ((70, 112, 128, 10), "uint16"),
        "masks": ((70, 112, 128), "uint8"),
        "doys": ((70,), "uint16"),
        "sar_ascending": ((61, 112, 128, 2), "int16"),
        "sar_ascending_doy": ((61,), "uint16"),
        "sar_descending": ((61, 112, 128, 2), "int16"),
        "sar_descending_doy": ((61,), "uint16"),
    }
    assert set(np.unique(arrays["masks"])) == {0, 1}
    assert arrays["bands"].min() >= 1
    for name in ("sar_ascending", "sar_descending"):
        # a channel is missing only with its twin
        assert (arrays[name] >= 0).all()
        assert ((arrays[name] == 0).all(-1) == (arrays[name] == 0).any(-1)).all()


def test_the_engine_opens_it(scene):
    opened = open_scene(scene)
    assert (opened.grid.width, opened.grid.height, opened.grid.crs) == (128, 112, "EPSG:32631")
    assert len(opened.reader.dates.s2) == 70
    assert not opened.reader.warnings


def test_rasters_lie_on_one_grid_and_name_their_classes(scene, cover):
    with rasterio.open(scene / "roi.tiff") as roi, rasterio.open(scene / "cover.tif") as truth:
        assert roi.dtypes == truth.dtypes == ("uint8",)
        assert roi.crs == truth.crs == "EPSG:32631"
        assert roi.transform == truth.transform
        assert (roi.transform.a, roi.transform.e) == (10, -10)
        assert roi.transform.c % 10 == roi.transform.f % 10 == 0
        assert (roi.read(1) == 1).all()
        tags = truth.tags(1)
        assert {tags[f"class_{code}"] for code in np.unique(cover)} <= {c.name for c in COVERS}
        assert len([key for key in tags if key.startswith("class_")]) == len(COVERS)
        assert truth.colormap(1)[WHEAT.code][:3] == WHEAT.colour


def test_covers_are_numbered_in_their_order():
    assert [cover.code for cover in COVERS] == list(range(1, len(COVERS) + 1))


def test_same_seed_same_bytes_whatever_the_strip(tmp_path, monkeypatch):
    simulate(tmp_path / "a", (40, 33), seed=5)
    monkeypatch.setattr(ground, "STRIP_PIXELS", 100)
    simulate(tmp_path / "b", (40, 33), seed=5)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_another_seed_is_another_scene(tmp_path):
    for seed in (0, 1):
        simulate(tmp_path / str(seed), 16, seed=seed)
    a, b = read(tmp_path / "0"), read(tmp_path / "1")
    assert (a["bands"] != b["bands"]).mean() > 0.99
    assert not np.array_equal(a["doys"], b["doys"])


def test_another_year_is_the_same_land(tmp_path):
    covers = []
    for year in (0, 1, 2):
        simulate(tmp_path / str(year), 64, seed=5, year=year)
        with rasterio.open(tmp_path / str(year) / "cover.tif") as file:
            covers.append(file.read(1))
            assert file.transform == rasterio.open(tmp_path / "0" / "roi.tiff").transform
    simulate(tmp_path / "again", 64, seed=5)
    assert (tmp_path / "again" / "bands.npy").read_bytes() == (tmp_path / "0" / "bands.npy").read_bytes()
    first, second = read(tmp_path / "0"), read(tmp_path / "1")
    assert not np.array_equal(first["doys"], second["doys"])
    assert (first["bands"] != second["bands"]).mean() > 0.99
    for one, other in ((0, 1), (0, 2), (1, 2)):
        changed = covers[one] != covers[other]
        assert 0 < changed.mean() < 0.35
    crops = {WHEAT.code, RAPESEED.code, BARE.code, GRASS.code, 3, 4, 5}
    assert set(np.unique(covers[0][covers[0] != covers[1]])) <= crops
    with pytest.raises(InputError, match=r"year=-1"):
        simulate(tmp_path / "x", 8, year=-1)


@pytest.mark.parametrize("size", [1, 2, 16, (1, 40), (70, 3)])
def test_small_sizes(tmp_path, size):
    simulate(tmp_path / "s", size)
    width, height = (size, size) if isinstance(size, int) else size
    assert np.load(tmp_path / "s" / "bands.npy").shape == (70, height, width, 10)


@pytest.mark.parametrize("size", [0, -3, (0, 5), (5, 20000)])
def test_bad_sizes_are_refused(tmp_path, size):
    with pytest.raises(InputError, match="each side must be 1 to 10980"):
        simulate(tmp_path / "s", size)
    assert not list(tmp_path.iterdir())


def test_a_bad_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"seed=-1"):
        simulate(tmp_path / "s", 8, seed=-1)


def test_an_existing_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "keep").write_text("mine")
    with pytest.raises(InputError, match="there already"):
        simulate(tmp_path, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't write"):
        simulate(tmp_path / "file" / "s", 4)


def test_progress_counts_to_the_end_and_an_interrupt_leaves_nothing(tmp_path):
    seen = []
    simulate(tmp_path / "s", 4, progress=lambda done, total: seen.append((done, total)))
    dates = sum(len(np.load(path)) for path in (tmp_path / "s").glob("*doy*.npy"))
    assert seen == [(i, dates) for i in range(1, dates + 1)]

    def stop(done, total):
        if done == 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "t", 4, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_memory_stays_with_the_map(tmp_path):
    tracemalloc.start()
    try:
        simulate(tmp_path / "s", 224)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * (tmp_path / "s" / "bands.npy").stat().st_size


def test_clouds_come_in_patches_and_the_mask_misses_a_few(scene):
    arrays = read(scene)
    clear = arrays["masks"] > 0
    share = clear.mean(axis=(1, 2))
    assert 0.4 < share.mean() < 0.7
    assert (share == 0).any()
    assert (share == 1).any()
    partly = (share > 0.2) & (share < 0.8)
    assert partly.sum() > 5
    # in patches: neighbours nearly always agree
    assert (clear[partly][:, :, 1:] == clear[partly][:, :, :-1]).mean() > 0.9
    blue = arrays["bands"][..., 1]
    assert blue[~clear].mean() > 4 * blue[clear].mean()
    assert 0.001 < (blue[clear] > 2500).mean() < 0.08
    per_pixel = clear.sum(0)
    assert per_pixel.min() > 15
    assert per_pixel.max() < 60


def test_shadows_lie_north_west_of_clouds():
    moved = []
    for seed in range(12):
        sky = draw_sky(np.random.default_rng(seed), 120, 100, day=180)
        if 0.1 < sky.cloud.mean() < 0.9:
            np.testing.assert_allclose(sky.shadow[:-14, :-6], 0.65 * sky.cloud[14:, 6:], atol=0.3)
            moved.append(np.corrcoef(sky.shadow[:-14, :-6].ravel(), sky.cloud[14:, 6:].ravel())[0, 1])
        assert not (sky.clear[(sky.shadow > 0.25) | (sky.cloud > 0.98)]).any()
    assert len(moved) > 3
    assert min(moved) > 0.95


def test_values_lie_where_the_model_expects_them(scene):
    """Within one standard deviation of the v2 statistics; cloudless Flanders is darker than the mean of Earth."""
    mean = np.array([1633, 1341, 1540, 3055, 3117, 2004, 2695, 2945, 2267, 1657])
    std = np.array([1999, 2015, 1929, 1754, 1650, 1937, 1749, 1709, 1208, 1109])
    arrays = read(scene)
    bands = arrays["bands"][arrays["masks"] > 0]
    assert (np.abs(bands.mean(0) - mean) < 0.5 * std).all()
    assert (bands.std(0) > 0.15 * std).all()
    assert (bands.std(0) < 1.2 * std).all()
    for name, s1_mean, s1_std in (
        ("sar_ascending", (5909, 3405), (1507, 1531)),
        ("sar_descending", (5816, 3278), (1555, 1546)),
    ):
        codes = arrays[name][arrays[name].any(-1)]
        assert (np.abs(codes.mean(0) - s1_mean) < 0.7 * np.array(s1_std)).all()
        assert (codes.std(0) > 0.5 * np.array(s1_std)).all()
        assert (codes.std(0) < 1.3 * np.array(s1_std)).all()


def median_ndvi(scene, cover, code, first, last):
    arrays = read(scene)
    dates = (arrays["doys"] >= first) & (arrays["doys"] <= last)
    chosen = (arrays["masks"][dates] > 0) & (cover == code)
    red, nir = arrays["bands"][dates][chosen][:, [0, 3]].astype(float).T
    return np.median((nir - red) / (nir + red))


def test_crops_have_their_seasons(scene, cover):
    present = set(np.unique(cover))
    assert len(present) >= 9
    assert median_ndvi(scene, cover, WHEAT.code, 120, 160) > 0.7
    assert median_ndvi(scene, cover, WHEAT.code, 215, 250) < 0.45
    assert median_ndvi(scene, cover, 3, 190, 235) > 0.65  # maize
    assert median_ndvi(scene, cover, 3, 120, 145) < 0.45
    for months in ((1, 90), (150, 240)):
        assert median_ndvi(scene, cover, CONIFER.code, *months) > 0.6
        assert median_ndvi(scene, cover, GRASS.code, *months) > 0.4


def test_water_is_dark_to_both_sensors(tmp_path):
    simulate(tmp_path / "s", 96, seed=4)
    arrays = read(tmp_path / "s")
    with rasterio.open(tmp_path / "s" / "cover.tif") as file:
        water = file.read(1) == OPEN_WATER.code
    assert water.sum() > 20
    clear = arrays["masks"] > 0
    nir, vv = arrays["bands"][..., 3], arrays["sar_ascending"][..., 0]
    assert np.median(nir[clear & water]) < 0.3 * np.median(nir[clear & ~water])
    assert np.median(vv[:, water]) < np.median(vv[:, ~water]) - 1500


def test_calendars():
    for seed in range(5):
        days = s2_days(seed).astype(int)
        assert len(days) == 70
        assert (np.diff(days) > 0).all()
        assert days[0] >= 1
        assert days[-1] <= 365
        assert len(set(np.diff(days))) > 3
        ascending, descending = s1_days(seed, 0).astype(int), s1_days(seed, 1).astype(int)
        assert (np.diff(ascending) == 6).all()
        assert (np.diff(descending) == 6).all()
        assert not set(ascending) & set(descending)
        moisture = soil_moisture(seed)
        assert moisture.shape == (366,)
        assert moisture[1:60].mean() > moisture[170:240].mean()
        assert moisture.min() >= 0
        assert moisture.max() <= 1


def test_smooth_noise_is_normal_and_smooth():
    field = smooth_noise(np.random.default_rng(0), 400, 300, 5.0)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.05
    assert field.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(field[:, 30:].ravel(), field[:, :-30].ravel())[0, 1]) < 0.05
    mixed = fractal_noise(np.random.default_rng(0), 400, 300, (12, 4))
    assert mixed.std() == pytest.approx(1, abs=0.1)


def test_streams_are_independent_and_repeatable():
    a = generator(1, Stream.CLOUDS, 3).standard_normal(1000)
    np.testing.assert_array_equal(a, generator(1, Stream.CLOUDS, 3).standard_normal(1000))
    for other in (
        generator(2, Stream.CLOUDS, 3),
        generator(1, Stream.CLOUDS, 4),
        generator(1, Stream.RADAR, 3),
    ):
        assert abs(np.corrcoef(a, other.standard_normal(1000))[0, 1]) < 0.15


def test_noise_loop_reads_round_and_round():
    loop = NoiseLoop(np.random.default_rng(0), longest=50)
    end = loop.read(NoiseLoop.LENGTH - 20, (10, 4)).ravel()
    np.testing.assert_array_equal(end[20:], loop.read(0, (5, 4)).ravel())
    np.testing.assert_array_equal(end[20:], loop.read(3 * NoiseLoop.LENGTH, (20, 1)).ravel())


def test_knots_close_the_year():
    ramp = ((100, 0.0), (200, 1.0))
    days = np.array([100, 150, 200, 365, 1, 0, -265 + 365], np.float32)
    values = at(ramp, days)
    assert values[:3] == pytest.approx([0, 0.5, 1])
    assert values[3] == values[5]
    assert 0 < values[4] < values[3]
    assert at(BARE.leaf_area, np.array([1.0], np.float32)) == pytest.approx(0.05)
    assert at(RAPESEED.bloom, np.array([120.0, 300.0], np.float32)) == pytest.approx([0.875, 0.0])


@pytest.fixture(scope="module")
def climates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("climates")
    for name in CLIMATES:
        simulate(folder / name, 64, seed=2, climate=name)
    return folder


def greenness(folder, code, first, last):
    with rasterio.open(folder / "cover.tif") as file:
        return median_ndvi(folder, file.read(1), code, first, last)


def test_climates_lie_where_they_say_and_share_a_landscape(climates):
    for name, climate in CLIMATES.items():
        scene = open_scene(climates / name)
        assert scene.grid.crs == climate.crs
        with rasterio.open(climates / name / "roi.tiff") as file:
            _, south, _, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        assert south - 0.5 < climate.latitude < north + 0.5, name
        assert not scene.reader.warnings


def test_climates_differ_beyond_the_seed(climates):
    clear = {
        name: np.load(climates / name / "masks.npy")[np.load(climates / name / "doys.npy") > 0].mean((1, 2))
        for name in CLIMATES
    }
    doys = {name: np.load(climates / name / "doys.npy") for name in CLIMATES}

    def share(name, first, last):
        return clear[name][(doys[name] >= first) & (doys[name] <= last)].mean()

    assert share("monsoon", 1, 90) > 0.7 > 0.4 > share("monsoon", 170, 250)
    assert share("mediterranean", 160, 240) > 0.8
    assert clear["boreal"].mean() < clear["atlantic"].mean()


def test_the_south_has_its_summer_in_january():
    north, south = CLIMATES["atlantic"], CLIMATES["pampas"]
    assert north.summer(200) > 0.9 > 0.1 > south.summer(200)
    assert south.summer(15) > 0.9
    assert south.sun_height(355) > south.sun_height(172)
    assert south.solstice() == 355


def test_the_default_calendar_is_the_covers_own():
    atlantic = CLIMATES["atlantic"]
    assert [atlantic.calendar(day) for day in range(1, 366)] == list(range(1, 366))


@pytest.mark.parametrize("name", CLIMATES)
def test_a_climates_calendar_runs_once_through_the_year(name):
    days = np.array([CLIMATES[name].calendar(day) for day in range(1, 366)])
    assert days.min() >= 1
    assert days.max() < 367
    steps = (np.diff(days) + 180) % 365 - 180
    assert (steps > 0).all()
    assert (steps < 3).all()
    assert sum(CLIMATES[name].fields.values()) == pytest.approx(1, abs=0.01)


def test_spring_is_late_in_the_north(climates):
    """Deciduous woods come into leaf in April in the west of Europe, and later where it is colder."""
    april = (100, 140)
    assert greenness(climates / "boreal", 7, *april) < greenness(climates / "mediterranean", 7, *april) - 0.1


def test_an_unknown_climate_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"climate=moon.*atlantic"):
        simulate(tmp_path / "s", 8, climate="moon")
    assert not list(tmp_path.iterdir())
