"""Runs over selected pixels: equal to the dense run bit for bit, in time that follows the pixels, and resumable."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from fake_backend import FakeBackend
from made_up import CRS, ORIGIN, FakeReader, made_up_arrays, write_tile

import tessera_engine as te
from tessera_engine.errors import InputError, SceneWarning
from tessera_engine.formats.opening import open_embeddings
from tessera_engine.running import changes
from tessera_engine.running.memory import Demand
from tessera_engine.running.options import RunOptions
from tessera_engine.running.plan import make_plan
from tessera_engine.running.run import run
from tessera_engine.scene import Scene, Window
from tessera_engine.stac.reading import read_item

HEIGHT, WIDTH = 24, 30
ARRAYS = made_up_arrays(HEIGHT, WIDTH, 8)


class Reader(FakeReader):
    period = (date(2024, 1, 1), date(2024, 12, 31))


def x(col):
    return ORIGIN.c + 10 * col


def y(row):
    return ORIGIN.f - 10 * row


def box(col, row, width, height):
    return shapely.box(x(col), y(row + height), x(col + width), y(row))


def write(path, *shapes, crs="EPSG:4326"):
    geopandas.GeoDataFrame(geometry=list(shapes), crs=CRS).to_crs(crs).to_file(path)
    return path


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes") / "fields.gpkg"
    return write(path, box(4, 5, 6, 3), box(20, 18, 5, 2), shapely.Point(x(12.5), y(9.5)))


PIXELS = 6 * 3 + 5 * 2 + 1
BOX = Window(4, 5, 21, 15)


class Plans:
    """Plans over a fake scene with a fake backend."""

    def __init__(self):
        self.backend = FakeBackend()

    def make(self, out, window_pixels=60, reader=None, **options):
        reader = reader or Reader(ARRAYS)
        given = RunOptions.given({"format": "npy"} | options)
        plan = make_plan(Scene("place", "place", reader), self.backend.model, out, given)
        return replace(plan, window_pixels=window_pixels)


def embed(out, window_pixels=60, reader=None, **options):
    plans = Plans()
    plan = plans.make(out, window_pixels, reader, **options)
    told = []
    statistics = run(plan, plans.backend, None, told.append)
    return plan, plans.backend, statistics, told


def compare(part, dense, pixels):
    """Every selected pixel is as in the dense run, and every other one has nothing."""
    part, dense = open_embeddings(part), open_embeddings(dense)
    col, row = (round(n) for n in ~dense.grid.transform @ (part.grid.transform.c, part.grid.transform.f))
    window = Window(col, row, part.grid.width, part.grid.height)
    stored, wanted = part.read_stored(), dense.read_stored(window)
    valid = stored.valid
    assert valid.sum() == pixels
    assert stored.values[valid].tobytes() == wanted.values[valid].tobytes()
    if stored.scales is not None:
        assert stored.scales[valid].tobytes() == wanted.scales[valid].tobytes()
        assert (stored.values[~valid] == -128).all()
    counts = part.read_observations(part.grid.window)
    np.testing.assert_array_equal(counts[valid], dense.read_observations(window)[valid])
    assert not counts[~valid].any()
    return window


@pytest.mark.parametrize(
    ("format", "stored_as"),
    [("cog", "int8"), ("cog", "float32"), ("npy", "int8"), ("npy", "float32"), ("zarr", "int8")],
)
def test_selected_pixels_are_as_in_the_dense_run_in_every_format(tmp_path, fields, format, stored_as):
    options = {"format": format, "stored_as": stored_as}
    embed(tmp_path / "dense", **options)
    _, backend, statistics, _ = embed(tmp_path / "part", aoi=fields, **options)
    window = compare(tmp_path / "part", tmp_path / "dense", PIXELS)
    assert sum(backend.pixels_run) == statistics.pixels == statistics.with_data == PIXELS
    assert window == BOX
    if format == "cog":
        with rasterio.open(tmp_path / "part" / "quality.tif", driver="GTiff") as file:
            quality = file.read()
        assert (quality.any(axis=0) == open_embeddings(tmp_path / "part").read_stored().valid).all()
    facts = read_item(tmp_path / "part").properties["tessera:selection"]
    assert (facts["kind"], facts["file"], facts["pixels"]) == ("aoi", "fields.gpkg", PIXELS)


@pytest.mark.parametrize("window_pixels", [1, 7, 64, 10_000])
def test_the_size_of_windows_changes_nothing(tmp_path, fields, window_pixels):
    embed(tmp_path / "dense", window_pixels=50)
    embed(tmp_path / "part", window_pixels, aoi=fields)
    compare(tmp_path / "part", tmp_path / "dense", PIXELS)


def test_only_the_boxes_of_selected_pixels_are_read_each_once(tmp_path, fields):
    reader = Reader(ARRAYS)
    embed(tmp_path / "part", 3 * BOX.width, reader, aoi=fields)
    assert reader.windows_read == [Window(4, 5, 6, 3), Window(12, 9, 1, 1), Window(20, 18, 5, 2)]


def test_pictures_in_true_colour_have_the_selected_pixels_only(tmp_path, fields):
    _, backend, _, _ = embed(tmp_path / "part", aoi=fields, quicklook="rgb")
    assert (tmp_path / "part" / "quicklook.png").stat().st_size > 0
    assert sum(backend.pixels_run) == PIXELS


class Cut(BaseException):
    pass


class Interrupted(Reader):
    def read(self, window):
        if len(self.windows_read) == 2:
            raise Cut
        return super().read(window)


def interrupt(out, **options):
    with pytest.raises(Cut):
        embed(out, 30, Interrupted(ARRAYS), **options)


def test_an_interrupted_run_is_resumed_and_others_are_refused(tmp_path, fields, monkeypatch):
    out = tmp_path / "out"
    interrupt(out, aoi=fields)
    other = write(tmp_path / "other.gpkg", box(4, 5, 21, 15))
    for options in ({}, {"aoi": other}, {"points": tmp_path / "p.csv"}, {"aoi": fields, "buffer": "20m"}):
        (tmp_path / "p.csv").write_text(f"x,y\n{x(4.5)},{y(5.5)}\n{x(24.5)},{y(19.5)}\n")
        said = {"shapes_crs": CRS} if "points" in options else {}
        with pytest.raises(InputError, match=r"differs in .*(aoi|points)"):
            embed(out, 30, **options, **said)
    reads = Reader(ARRAYS)
    find = changes.find_change

    def found(*arguments):
        change = find(*arguments)
        assert reads.windows_read
        reads.windows_read.clear()
        return change

    monkeypatch.setattr(changes, "find_change", found)
    _, backend, statistics, told = embed(out, 30, reads, aoi=fields)
    assert any("resuming" in line for line in told)
    assert 0 < sum(backend.pixels_run) < PIXELS == statistics.pixels
    embed(tmp_path / "at_once", 30, aoi=fields)
    for name in ("place.npy", "place_scales.npy", "place_observations.npy"):
        if (out / name).exists():
            assert (out / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()


def test_a_scene_that_changed_in_a_selected_window_is_noticed(tmp_path, fields):
    out = tmp_path / "out"
    interrupt(out, aoi=fields)
    changed = {name: array.copy() for name, array in ARRAYS.items()}
    changed["bands"][0, 5:8, 4:10] += 1
    with pytest.raises(InputError, match="has changed"):
        embed(out, 30, Reader(changed), aoi=fields)


def test_a_single_pixel(tmp_path):
    (tmp_path / "p.csv").write_text(f"x,y\n{x(7.5)},{y(3.5)}\n")
    embed(tmp_path / "dense", stored_as="int8")
    for format in ("cog", "zarr"):
        plan, _, _, _ = embed(
            tmp_path / format, format=format, stored_as="int8", points=tmp_path / "p.csv", shapes_crs=CRS
        )
        assert plan.region == Window(7, 3, 1, 1)
        compare(tmp_path / format, tmp_path / "dense", 1)


def test_options_about_shapes_need_shapes():
    for option in ({"buffer": "50m"}, {"layer": "a"}, {"shapes_crs": CRS}):
        with pytest.raises(InputError, match="aoi= or points="):
            RunOptions.given(option)
    with pytest.raises(InputError, match="aoi= and points="):
        RunOptions.given({"aoi": "a.gpkg", "points": "b.csv"})
    with pytest.raises(InputError, match="aoi"):
        RunOptions.given({"aoi": 5})


def test_the_window_limits_the_selection(tmp_path, fields):
    plan, _, statistics, _ = embed(tmp_path / "part", aoi=fields, window=(0, 0, 8, 10))
    assert plan.region == Window(4, 5, 4, 3)
    assert statistics.pixels == 12


def test_the_real_model_and_what_python_says(tmp_path, fields):
    scene = te.open_scene(write_tile(tmp_path / "scene", ARRAYS), year=2024)
    model = te.load_model("demo", precision="int8")
    for format in ("cog", "geotessera"):
        with pytest.warns(SceneWarning):
            te.embed(scene, model, tmp_path / f"dense_{format}", format=format)
    beside = write(tmp_path / "beside.gpkg", box(4, 5, 6, 3), box(900, 5, 1, 1))
    with pytest.warns(SceneWarning, match=r"beside\.gpkg.*1 shape beside the scene"):
        done = te.embed(scene, model, tmp_path / "part", aoi=beside)
    assert (done.pixels, done.with_data) == (18, 18)
    compare(tmp_path / "part", tmp_path / "dense_cog", 18)
    with pytest.warns(SceneWarning):
        te.embed(scene, model, tmp_path / "tree", aoi=beside, format="geotessera")
    compare(tmp_path / "tree", tmp_path / "dense_geotessera", 18)


def test_verify_with_the_scene_compares_the_pixels_that_have_data(tmp_path, fields):
    scene = write_tile(tmp_path / "scene", ARRAYS)
    model = te.load_model("demo", precision="int8")
    with pytest.warns(SceneWarning):
        te.embed(scene, model, tmp_path / "part", aoi=fields, format="npy")
    for pixels in (16, 10_000):
        verified = te.verify(tmp_path / "part", scene, model=model, pixels=pixels)
        assert verified.reembedded.output_pixels == PIXELS
        assert 0 < verified.reembedded.pixels <= PIXELS
        assert not verified.reembedded.differs
    assert verified.reembedded.pixels == PIXELS
    item = json.loads((tmp_path / "part" / "item.json").read_text())
    assert item["properties"]["tessera:pixels_with_data"] == PIXELS


def test_the_plan_counts_the_memory_of_the_selection(tmp_path, fields):
    plan = Plans().make(tmp_path / "a", aoi=fields)
    demand = Demand(Reader(ARRAYS), plan.model, plan.grid)
    held = replace(demand, held=plan.selection.bytes_held)
    assert held.of(100) - demand.of(100) == plan.selection.bytes_held > plan.selected.bytes_held > 0
    with pytest.raises(InputError, match="memory=300MB is too little"):
        Plans().make(tmp_path / "a", aoi=fields, memory="300MB")
