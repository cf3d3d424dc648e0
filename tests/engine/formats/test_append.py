"""Stores that grow: years and scenes are added, nothing that is there changes, and a failure leaves what was there."""

from __future__ import annotations

import json
import os

import numpy as np
import pystac
import pytest
import rasterio
import xarray
import zarr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import CRS, ORIGIN
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.analysis.change import draw_change
from tessera_engine.cli.pages.info import describe_output
from tessera_engine.errors import CheckFailed, InputError, TesseraError
from tessera_engine.files import publish
from tessera_engine.files.output import PartialOutput
from tessera_engine.formats.opening import stored_years
from tessera_engine.formats.registry import appendable
from tessera_engine.formats.zarr import writing as zarr_writer
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_files

FORMATS = tuple(appendable())


def output(folder, seed, year, col=0, row=0, height=40, width=50, dim=128, **facts):
    """A scene somewhere on the lattice; each seed has its own values and fingerprint."""
    grid = Grid(width, height, CRS, ORIGIN @ Affine.translation(col, row))
    facts = {"scene_name": f"scene{seed}", "scene_fingerprint": f"{seed:064d}"} | facts
    made = made_up_output(
        folder / f"in-{seed}-{year}-{col}-{row}",
        landscape(height, width, dim, seed),
        grid=grid,
        year=year,
        **facts,
    )
    return open_embeddings(made)


def grow(store, format, *outputs):
    convert(outputs[0], store, format)
    for each in outputs[1:]:
        convert(each, store, format, append=True)
    return store


def expected(parts, grid, dim=128):
    """Float embeddings on a grid: the first part that has data has the pixel."""
    found = np.full((grid.height, grid.width, dim), np.nan, np.float32)
    counts = np.zeros((grid.height, grid.width, 2), np.uint16)
    for part in parts:
        col, row = ~grid.transform @ (part.grid.transform.c, part.grid.transform.f)
        values, observed = part.read(), part.source.read_observations(part.grid.window)
        for r, c in np.argwhere(np.isfinite(values[..., 0])):
            at = round(row) + r, round(col) + c
            if 0 <= at[0] < grid.height and 0 <= at[1] < grid.width and np.isnan(found[at][0]):
                found[at], counts[at] = values[r, c], observed[r, c]
    return found, counts


def holds(store, parts):
    """Whether the store has exactly the parts, by year."""
    assert stored_years(store) == sorted(parts)
    for year, scenes in parts.items():
        opened = open_embeddings(store, year=year)
        values, counts = expected(scenes, opened.grid)
        np.testing.assert_array_equal(opened.read(), values)
        np.testing.assert_array_equal(opened.source.read_observations(opened.grid.window), counts)
        # Nothing lies outside of its grid
        for scene in scenes:
            assert np.isfinite(scene.read()[..., 0]).sum() <= np.isfinite(values[..., 0]).sum()
    check_files(store, read_item(store))


@pytest.mark.parametrize("format", FORMATS)
def test_a_year_is_added(tmp_path, format):
    first, second, third = output(tmp_path, 1, 2018), output(tmp_path, 2, 2019), output(tmp_path, 3, 2017)
    store = grow(tmp_path / "s", format, first, second, third)
    holds(store, {2017: [third], 2018: [first], 2019: [second]})
    with pytest.raises(InputError, match=r"2017, 2018, 2019.*year="):
        open_embeddings(store)
    with pytest.raises(InputError, match="2017, 2018, 2019, not 2020"):
        open_embeddings(store, year=2020)
    assert open_embeddings(store, year=2019).provenance == second.provenance
    drawn = draw_change(open_embeddings(store, year=2018), open_embeddings(store, year=2019))
    np.testing.assert_allclose(drawn.values, draw_change(first, second).values, rtol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_scenes_are_put_together_and_what_is_there_stays(tmp_path, format):
    first, right = output(tmp_path, 1, 2018), output(tmp_path, 2, 2018, col=30, row=10)
    left, other = output(tmp_path, 3, 2018, col=-37, row=-5), output(tmp_path, 4, 2019, col=200, row=90)
    store = grow(tmp_path / "s", format, first, right, left, other)
    holds(store, {2018: [first, right, left], 2019: [other]})
    item = read_item(store)
    pystac.Item.from_file(str(store / "item.json"))
    counts = item.properties["tessera:years"]
    for year in ("2018", "2019"):
        values = open_embeddings(store, year=int(year)).read()[..., 0]
        assert counts[year] == np.isfinite(values).sum()
    assert item.fact("pixels_with_data") == sum(counts.values())
    assert [each["tessera:scene"] for each in item.fact("members")] == [
        "scene1",
        "scene2",
        "scene3",
        "scene4",
    ]
    assert item.properties["proj:shape"] == [135, 287]
    assert item.properties["start_datetime"].startswith("2018")
    assert item.properties["end_datetime"].startswith("2019")
    assert open_embeddings(store, year=2019).provenance["scene"] == "scene4"
    described = describe_output(store)
    assert described["tessera:years"] == counts
    assert [line.split(",")[0] for line in described["scenes"]] == [
        "scene1 of 2018",
        "scene2 of 2018",
        "scene3 of 2018",
        "scene4 of 2019",
    ]


@pytest.mark.parametrize("target", ["cog", "npy", "geotessera", "zarr"])
def test_a_converted_mosaic_is_whole(tmp_path, target):
    first, right = output(tmp_path, 1, 2018), output(tmp_path, 2, 2018, col=60)
    store = grow(tmp_path / "s", "zarr", first, right)
    made = convert(store, tmp_path / "made", target)
    item = read_item(made)
    assert item.fact("pixels") == 40 * 110
    assert item.fact("pixels_with_data") == np.isfinite(open_embeddings(made).read()[..., 0]).sum()
    check_files(made, item)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scenes=st.lists(
        st.tuples(st.integers(2018, 2019), st.integers(-40, 40), st.integers(-40, 40)), min_size=2, max_size=4
    ),
    shard=st.sampled_from([32, 64]),
)
def test_a_store_holds_what_was_added_however_its_shards_lie(tmp_path_factory, monkeypatch, scenes, shard):
    monkeypatch.setattr(zarr_writer, "SHARD", shard)
    folder = tmp_path_factory.mktemp("grown")
    parts = {}
    outputs = []
    for seed, (year, col, row) in enumerate(scenes):
        outputs.append(output(folder, seed, year, col=col, row=row, height=30, width=34, dim=16))
        parts.setdefault(year, []).append(outputs[-1])
    store = grow(folder / "s", "zarr", *outputs)
    for year, scenes_of_year in parts.items():
        opened = open_embeddings(store, year=year)
        np.testing.assert_array_equal(opened.read(), expected(scenes_of_year, opened.grid, 16)[0])


@pytest.mark.parametrize("format", FORMATS)
def test_what_stays_is_not_copied(tmp_path, format):
    """A new year leaves the shards and cells of the others alone: the same files under second names, not even read."""
    first = output(tmp_path, 1, 2018)
    store = grow(tmp_path / "s", format, first)
    is_kept = "embeddings.zarr/utm31/embeddings/c/" if format == "zarr" else "grid_"

    def files():
        return {
            path.relative_to(store).as_posix(): path.stat().st_ino
            for path in store.rglob("*")
            if path.is_file() and is_kept in path.as_posix()
        }

    before = files()
    # Far away, so that no cell is shared
    convert(output(tmp_path, 2, 2019, col=1200, row=1200), store, format, append=True)
    after = files()
    assert before
    assert all(after[name] == inode for name, inode in before.items())
    if format == "geotessera":
        holds(store, {2018: [first], 2019: [open_embeddings(tmp_path / "in-2-2019-1200-1200")]})


def test_xarray_sees_all_years_on_one_grid(tmp_path):
    first, second = output(tmp_path, 1, 2019), output(tmp_path, 2, 2018, col=10)
    store = grow(tmp_path / "s", "zarr", first, second) / "embeddings.zarr"
    with xarray.open_zarr(store, group="utm31", chunks=None) as zone:
        assert zone.time.values.tolist() == [2018, 2019]
        assert zone.embeddings.shape == (2, 128, 40, 60)
        x, y = ORIGIN @ (55.5, 20.5)
        here = zone.sel(x=x, y=y)
        np.testing.assert_array_equal(
            (here.embeddings * here.scales).sel(time=2018).values, second.read(Window(45, 20, 1, 1))[0, 0]
        )
        assert np.isinf(here.scales.sel(time=2019))
    root = zarr.open_consolidated(store)
    assert root["utm31"]["embeddings"].shape == (2, 128, 40, 60)
    assert root.attrs["tessera:scene"] == "scene1, scene2"


@pytest.mark.parametrize("format", FORMATS)
def test_what_cannot_be_added_is_refused_and_changes_nothing(tmp_path, format):
    first = output(tmp_path, 1, 2018)
    store = grow(tmp_path / "s", format, first)

    def refused(message, *arguments, at=store, how=format, **options):
        made = output(tmp_path / str(len(list(tmp_path.iterdir()))), *arguments, **options)
        with pytest.raises(InputError, match=message):
            convert(made, at, how, append=True)

    refused("holds this scene of 2018 already", 1, 2018)
    refused(r"made by model nano int8 \(aaaa.*by nano int8 \(bbbb", 2, 2019, model_sha256="b" * 64)
    refused(r"EPSG:32631, pixels of 10 x 10 from 500000 .* from 500005 ", 2, 2019, col=0.5)
    refused(f"no {FORMATS[format == 'zarr']} output.*format=", 2, 2019, how=FORMATS[format == "zarr"])
    refused("append=True.*nowhere", 2, 2019, at=tmp_path / "nowhere")
    refused("append=True.*zarr and geotessera.*not to cog", 2, 2019, how="cog")
    (tmp_path / "mine").mkdir()
    refused("not an output of tessera-engine", 2, 2019, at=tmp_path / "mine")
    if format == "zarr":
        refused("128 dimensions.* 32.*dim=128", 2, 2019, dim=32)
    with pytest.raises(InputError, match=r"append=True.*overwrite=True"):
        convert(first, store, format, append=True, overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        convert(output(tmp_path, 2, 2019), store, format)
    holds(store, {2018: [first]})


@pytest.mark.parametrize("format", FORMATS)
def test_a_failure_leaves_the_store_as_it_was(tmp_path, monkeypatch, format):
    first, second = output(tmp_path, 1, 2018), output(tmp_path, 2, 2019)
    store = grow(tmp_path / "s", format, first)
    before = (store / "item.json").read_bytes()

    def fail(*arguments):
        raise TesseraError("the disk is on fire")

    with monkeypatch.context() as patched:
        patched.setattr("tessera_engine.formats.grown.write_grown_item", fail)
        with pytest.raises(TesseraError, match="on fire"):
            convert(second, store, format, append=True)
    rename = type(store).rename

    def fail_at_the_last_step(path, target):
        if path.name == "output":
            raise OSError("gone")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(publish, "_renameat2", lambda *names: False)
        patched.setattr(type(store), "rename", fail_at_the_last_step)
        with pytest.raises(OSError, match="gone"):
            convert(second, store, format, append=True)
    assert (store / "item.json").read_bytes() == before
    holds(store, {2018: [first]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in-1-2018-0-0", "in-2-2019-0-0", "s"]


def test_nobody_else_adds_in_the_meantime(tmp_path):
    store = grow(tmp_path / "s", "zarr", output(tmp_path, 1, 2018))
    other = output(tmp_path, 2, 2019)
    held = PartialOutput(store)
    with pytest.raises(InputError, match="another run"):
        convert(other, store, "zarr", append=True)
    held.journal.write_text("a run that was interrupted")
    held.close(keep=True)
    with pytest.raises(InputError, match="unfinished run"):
        convert(other, store, "zarr", append=True)
    assert held.journal.exists()
    held.journal.unlink()
    convert(other, store, "zarr", append=True)
    assert not held.folder.exists()


def test_a_file_system_without_links_gets_copies(tmp_path, monkeypatch):
    real = os.link

    def refuse(source, target):
        if "/c/" in str(target):
            raise OSError("no links here")
        real(source, target)  # zarr makes its metadata by it

    monkeypatch.setattr(os, "link", refuse)
    first, second = output(tmp_path, 1, 2018), output(tmp_path, 2, 2019)
    holds(grow(tmp_path / "s", "zarr", first, second), {2018: [first], 2019: [second]})


def test_a_changed_file_of_a_grown_store_is_found(tmp_path):
    store = grow(tmp_path / "s", "zarr", output(tmp_path, 1, 2018), output(tmp_path, 2, 2019))
    shard = store / "embeddings.zarr" / "utm31" / "embeddings" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed, match="is changed"):
        check_files(store, read_item(store))


@pytest.mark.parametrize("format", FORMATS)
def test_a_grown_store_becomes_other_formats_year_by_year(tmp_path, format):
    first, second = output(tmp_path, 1, 2018), output(tmp_path, 2, 2019, col=5)
    store = grow(tmp_path / "s", format, first, second)
    back = convert(open_embeddings(store, year=2019), tmp_path / "back", "cog")
    properties = json.loads((back / "item.json").read_text())["properties"]
    assert properties["tessera:year"] == 2019
    for text in ("title", "description"):
        assert "2019" in properties[text]
        assert "2018" not in properties[text]
    opened = open_embeddings(back)
    np.testing.assert_array_equal(opened.read(), expected([second], opened.grid)[0])
    assert "members" not in opened.provenance
    assert "years" not in opened.provenance


def test_one_year_of_a_grown_store_is_evaluated(tmp_path, run):
    store = grow(tmp_path / "store", "zarr", output(tmp_path, 1, 2018), output(tmp_path, 2, 2019))
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": CRS, "transform": ORIGIN}
    with rasterio.open(tmp_path / "labels.tif", "w", height=40, width=50, **profile) as file:
        file.write(np.add.outer(np.arange(40) // 5, np.arange(50) // 5).astype(np.uint8) % 3 + 1, 1)
    arguments = ("evaluate", store, "--labels", tmp_path / "labels.tif", "--method", "linear", "--json")
    code, _, err = run(*arguments)
    assert code == 2
    # The reason is all that is left on the terminal: no bar that never moved
    assert len(err.splitlines()) == 1
    assert err.startswith(f"error: {store} holds the years 2018, 2019; ")
    assert "--year" in err
    code, first, _ = run(*arguments, "--year", 2018)
    assert code == 0
    code, second, _ = run(*arguments, "--year", 2019)
    assert code == 0
    assert json.loads(first)["rows"] != json.loads(second)["rows"]
