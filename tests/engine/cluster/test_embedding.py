"""A run on a cluster: the same bytes as on one machine, and what goes wrong costs one cell."""

from __future__ import annotations

import json
import os
import signal
import time
from importlib import import_module

import numpy as np
import pytest
import rasterio
from mosaic_files import write_raster
from outputs import contents
from two_zones import write_six_tiles, write_two_zones

import tessera_engine as te
from tessera_engine.cluster import crew as crews
from tessera_engine.cluster import embedding
from tessera_engine.cluster import worker as works
from tessera_engine.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::tessera_engine.errors.SceneWarning")

MODEL = "demo"


@pytest.fixture(scope="session")
def tiles(tmp_path_factory):
    return write_six_tiles(tmp_path_factory.mktemp("cluster") / "six")


def opened(tiles):
    return te.open_scene(tiles, year=2021)


@pytest.fixture(scope="session")
def single(tiles, tmp_path_factory):
    """What one process makes of the tiles."""
    out = tmp_path_factory.mktemp("single") / "out"
    te.embed(opened(tiles), MODEL, out, format="zarr", stored_as="int8", progress=False)
    return contents(out)


def interrupted(monkeypatch, tiles, out, client, cells):
    """Leave a run after so many finished cells, as a killed process would."""
    from tessera_engine.cluster.reporting import Reporter

    left = iter(range(cells))

    class Enough(Exception):
        pass

    def finished(self, cell, pixels, seconds):
        if next(left, None) is None:
            raise Enough

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "finished", finished)
        with pytest.raises(Enough):
            te.embed(opened(tiles), MODEL, out, client=client, progress=False)
    # Workers finish what they were computing. They can't import a function of this module, so it is a lambda
    client.run(lambda: import_module("tessera_engine.cluster.worker")._engine.submit(int).result())


def test_two_workers_write_the_bytes_of_one_process(client, tiles, single, tmp_path):
    lines = []
    done = te.embed(
        opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, announce=lines.append
    )
    assert contents(tmp_path / "out") == single
    assert (done.pixels, done.with_data) == (6 * 24 * 32, 6 * (24 * 32 - 1))
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_products_of_two_zones_are_the_same_too(client, tmp_path):
    folder, like = write_two_zones(tmp_path / "zones", size=16, steps=6)
    scene = te.open_scene(folder, like=like)
    options = {"stored_as": "int8", "format": "zarr", "progress": False}
    te.embed(scene, MODEL, tmp_path / "one", **options)
    te.embed(scene, MODEL, tmp_path / "many", client=client, **options)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_damaged_cell_and_a_torn_mark_are_computed_again(client, monkeypatch, tiles, single, tmp_path):
    out = tmp_path / "out"
    interrupted(monkeypatch, tiles, out, client, 4)
    staging = out.with_name("out.partial") / "cells" / "staging"
    marks = sorted(staging.glob("*.mark"))
    assert len(marks) >= 4
    record = json.loads(marks[0].read_bytes().partition(b" ")[2])
    shard = next(name for name in record["files"] if "/embeddings/c/" in name)
    (staging.parent / shard).write_bytes(b"damaged")
    marks[1].write_bytes(marks[1].read_bytes()[:100])
    lines = []
    te.embed(opened(tiles), MODEL, out, client=client, progress=False, announce=lines.append)
    again = [line for line in lines if line.startswith("warning: the cell")]
    assert len(again) == 2
    assert "embeddings/c/" in "".join(again)
    assert contents(out) == single
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_a_killed_worker_costs_one_cell(client, monkeypatch, tiles, single, tmp_path):
    killed, seconds = [], crews.LOOK_SECONDS
    monkeypatch.setattr(crews, "LOOK_SECONDS", 0.2)
    look = crews.Crew._look

    def kill_one(self):
        look(self)
        busy = [hand for hand in self.hands.values() if hand.task is not None]
        if busy and not killed:
            pid = client.run(os.getpid, workers=[busy[0].address])[busy[0].address]
            os.kill(pid, signal.SIGKILL)
            killed.append((busy[0].address, busy[0].task.cell))

    monkeypatch.setattr(crews.Crew, "_look", kill_one)
    lines = []
    te.embed(opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, announce=lines.append)
    assert killed
    assert contents(tmp_path / "out") == single
    assert sum("has ended" in line for line in lines) == 1
    assert seconds > 0.2


def test_a_cell_whose_input_cannot_be_read_does_not_stop_the_rest(cluster, run, tmp_path):
    """By the command line: exit code 1 with the cell and the file, and only that cell is left for the same command."""
    folder, like = write_two_zones(tmp_path / "zones", size=16, steps=6)
    damaged = min((folder / "piece5" / "data_raw" / "red").iterdir())
    with rasterio.open(damaged) as file:
        values, profile = file.read(1), file.profile
    write_raster(damaged, values, profile.pop("transform"), profile.pop("crs"), **profile, compress="deflate")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-400] + b"\xff" * 400)
    command = ("embed", folder, "-o", "out", "--like", like, "--int8", "--cluster", cluster.scheduler_address)
    code, _, err = run(*command, "--quiet")
    last = err.splitlines()[-1]
    assert code == 1
    assert last.startswith("error: 1 of 6 cells")
    assert str(damaged) in last
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "out.partial" / "cells" / "staging").glob("*.mark"))) == 5
    damaged.write_bytes(whole)
    code, _, err = run(*command)
    assert code == 0
    assert "5 of 6 cells are finished" in err
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.slow
def test_a_scene_that_changed_is_computed_again_where_it_did(client, monkeypatch, tmp_path):
    tiles = write_six_tiles(tmp_path / "six")
    interrupted(monkeypatch, tiles, tmp_path / "out", client, 5)
    bands = np.load(tiles / "tile0" / "bands.npy")
    bands[:, 2, 3] += 100
    np.save(tiles / "tile0" / "bands.npy", bands)
    lines = []
    te.embed(opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, announce=lines.append)
    te.embed(opened(tiles), MODEL, tmp_path / "one", format="zarr", stored_as="int8", progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")
    assert sum("has changed there" in line for line in lines) <= 1


@pytest.mark.slow
def test_another_run_is_refused(client, monkeypatch, tiles, tmp_path):
    interrupted(monkeypatch, tiles, tmp_path / "out", client, 1)
    before = sorted((tmp_path / "out.partial").rglob("*"))
    with pytest.raises(InputError, match="dim"):
        te.embed(opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, dim=16)
    with pytest.raises(InputError, match="cells"):
        te.embed(opened(tiles), MODEL, tmp_path / "out", format="zarr", stored_as="int8", progress=False)
    assert sorted((tmp_path / "out.partial").rglob("*")) == before
    te.embed(opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, dim=16, restart=True)
    assert te.open_embeddings(tmp_path / "out").dim == 16


@pytest.mark.parametrize(
    ("options", "named"),
    [({"format": "cog"}, "format=zarr"), ({"append": True}, "append=True"), ({"format": "npy"}, "npy")],
)
def test_what_several_machines_cannot_write_is_refused(options, named, tiles, tmp_path):
    with pytest.raises(InputError, match=named):
        te.embed(tiles, MODEL, tmp_path / "out", client=object(), **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_seasons_areas_and_the_quality_limit_work_as_on_one_machine(client, tiles, tmp_path):
    area = tmp_path / "area.geojson"
    corner = opened(tiles).grid.transform @ (0, 0)
    x, y = corner
    ring = [[x + 20, y - 20], [x + 6200, y - 20], [x + 6200, y - 200], [x + 20, y - 200], [x + 20, y - 20]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    scene = te.open_scene(tiles, year=2021, season="2021-03:2021-10")
    options = {
        "aoi": area, "shapes_crs": "EPSG:32631", "every": "month", "min_clear": 3, "quicklook": "rgb", "progress": False,
    }  # fmt: skip
    done = te.embed(scene, MODEL, tmp_path / "many", client=client, **options)
    plain = te.embed(scene, MODEL, tmp_path / "one", **options)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert (done.pixels, done.with_data, done.few_clear) == (plain.pixels, plain.with_data, plain.few_clear)


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended(client, monkeypatch, tiles, single, tmp_path):
    monkeypatch.setattr(crews, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(crews, "FIRST_SILENCE", 10.0)
    monkeypatch.setattr(crews, "LEAST_SILENCE", 10.0)
    stopped = []
    look = crews.Crew._look

    def stop_one(self):
        look(self)
        busy = [hand for hand in self.hands.values() if hand.task is not None]
        if busy and not stopped:
            pid = client.run(os.getpid, workers=[busy[0].address])[busy[0].address]
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    monkeypatch.setattr(crews.Crew, "_look", stop_one)
    lines = []
    try:
        te.embed(opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, announce=lines.append)
    finally:
        until = time.monotonic() + 60
        while stopped and time.monotonic() < until:
            try:
                os.kill(stopped[0], signal.SIGCONT)
                time.sleep(0.2)
            except ProcessLookupError:
                break
    assert contents(tmp_path / "out") == single
    assert any("has computed nothing" in line for line in lines)


def test_a_worker_that_goes_on_too_late_changes_nothing(monkeypatch, tiles, single, tmp_path):
    """One that had stopped just after it had made sure that it may write; and goes on during the commit, and later."""
    import distributed

    def go_on(cell):
        (run,) = works._runs.values()
        with monkeypatch.context() as patch:
            patch.setattr(type(run.order), "check_current", lambda self: None)
            with pytest.raises(FileNotFoundError):
                works._embed(run, cell, str(scratch))

    def committing(order, cells, side, fingerprint):
        seen.extend(cells)
        go_on(cells[0])
        return complete(order, cells, side, fingerprint)

    scratch, seen, complete = tmp_path / "scratch", [], embedding.complete
    scratch.mkdir()
    monkeypatch.setattr(embedding, "complete", committing)
    threads = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
    with (
        distributed.LocalCluster(**threads, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        te.embed(opened(tiles), MODEL, tmp_path / "out", client=client, progress=False, announce=print)
    assert contents(tmp_path / "out") == single
    go_on(seen[-1])
    assert contents(tmp_path / "out") == single
    assert sorted(os.listdir(tmp_path)) == ["out", "scratch"]
    assert not list(scratch.iterdir())


@pytest.mark.slow
def test_a_table_of_scenes_is_computed_scene_by_scene(client, tiles, single, tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text(f"scene,out,year\n{tiles},a,2021\n{tmp_path / 'none'},b,2021\n{tiles},c,2021\n")
    results = te.embed_many(table, tmp_path, client=client, progress=False, announce=lambda line: None)
    assert [result.state for result in results] == ["done", "failed", "done"]
    assert contents(tmp_path / "a") == contents(tmp_path / "c") == single
    again = te.embed_many(table, tmp_path, client=client, progress=False, announce=lambda line: None)
    assert [result.state for result in again] == ["finished before", "failed", "finished before"]
