"""Cubes that need other files, or that end the HDF5 library, are named; nothing outside of them is opened."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import zlib

import h5py
import numpy as np
import pytest
from cube_files import s2_variables, write_netcdf
from cube_forms import Form, write
from places import DATA
from product_files import product_arrays

from tessera_engine.scenes import open_scene
from tessera_engine.scenes.layouts import cube
from tessera_engine.scenes.layouts.cube.hdf5 import trial, walk
from tessera_engine.scenes.metadata.listing import list_folder

ARRAYS = product_arrays(8, 6, steps=3)
SHAPE = (3, 8, 6)


def problem_of(folder):
    found = cube.find(list_folder(folder))
    assert not found.s2
    (problem,) = found.problems
    return problem


def linked(file, other):
    file["B02"] = h5py.ExternalLink(str(other), "B02")


def soft(file, other):
    file["B02"] = h5py.SoftLink("/elsewhere")


def external(file, other):
    file.create_dataset("B02", SHAPE, "u2", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual(file, other):
    layout = h5py.VirtualLayout(SHAPE, "u2")
    layout[:] = h5py.VirtualSource(str(other), "B02", SHAPE)
    file.create_virtual_dataset("B02", layout)


def filtered(file, other):
    """By a plugin that HDF5 would look for in folders; nothing has this number, so no test can have loaded it."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(SHAPE)
    properties.set_filter(400, h5py.h5z.FLAG_OPTIONAL, (2, 2, 2, 96))
    h5py.h5d.create(file.id, b"B02", h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple(SHAPE), properties)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(linked, "link"), (soft, "link"), (external, "external"), (virtual, "virtual"), (filtered, "by 400")],
)
def test_what_leads_out_of_the_file_is_refused_before_it_is_followed(tmp_path, make, reason):
    scene, other = tmp_path / "scene", tmp_path / "other.h5"
    scene.mkdir()
    with h5py.File(scene / "c.nc", "w") as file:
        make(file, other)
    # `other` doesn't exist: had it been opened, the reason would be that
    assert reason in problem_of(scene).reason


def test_a_file_that_ends_the_library_is_named_and_the_others_used(tmp_path, monkeypatch):
    process = tmp_path / "process.py"
    process.write_text(
        "import json, os, sys\n"
        "for name in map(bytes.fromhex, json.load(sys.stdin)['files']):\n"
        "    print(flush=True)\n"
        "    if b'bad' in name: os.abort()\n"
    )
    monkeypatch.setattr(trial, "PROCESS", process)
    scene = tmp_path / "scene"
    for name in ("a", "bad", "c"):
        write(scene / name, ARRAYS, Form(container="nc4"), name)
    found = cube.find(list_folder(scene))
    (problem,) = found.problems
    assert problem.source == scene / "bad" / "bad.nc"
    assert "SIGABRT" in problem.reason or "exit code 3" in problem.reason
    assert {product.source.name for product in found.s2} == {"a.nc", "c.nc"}


@pytest.mark.parametrize(
    ("code", "words"),
    [(-11, "SIGSEGV"), (-9, "memory is short"), (0xC0000005, "access violation"), (5, "exit code 5"), (-99, "signal 99")],
)  # fmt: skip
@pytest.mark.skipif(sys.platform == "win32", reason="signals have numbers of their own")
def test_what_ended_a_trial_is_said_in_words(code, words):
    assert words in trial._ended(code)


def test_a_file_that_takes_too_long_is_named(tmp_path, monkeypatch):
    process = tmp_path / "process.py"
    process.write_text("import time\nprint(flush=True)\ntime.sleep(60)\n")
    monkeypatch.setattr(trial, "PROCESS", process)
    monkeypatch.setattr(trial, "SECONDS", 1)
    monkeypatch.setattr(trial, "STARTING", 1)
    write(tmp_path / "scene", ARRAYS, Form(container="nc4"))
    assert "more than 2 s" in problem_of(tmp_path / "scene").reason


@pytest.mark.skipif(sys.platform == "win32", reason="has no timer of CPU time")
def test_an_array_that_keeps_the_library_busy_ends_its_trial(tmp_path, monkeypatch):
    """One byte of the file is flipped: a heap object has the size 0, and HDF5 looks for the next one forever."""
    monkeypatch.setattr(trial, "STEP", 1)
    monkeypatch.setattr(trial, "SECONDS", 300)
    shutil.copy(DATA / "hdf5_loop.nc", tmp_path)
    assert "more than 1 s for one of its arrays" in problem_of(tmp_path).reason


@pytest.mark.parametrize(
    "form", [Form(container="nc4", axis_attributes="none"), Form(axis_attributes="none")]
)
def test_many_cubes_open_in_several_threads(tmp_path, form):
    """Cubes without standard_name stopped the process for good while GDAL read them."""
    path = write(tmp_path / "0", ARRAYS, form)
    for n in range(1, 6):
        shutil.copytree(path.parent, tmp_path / str(n))
    done = threading.Event()

    def read():
        scene = open_scene(tmp_path)
        assert scene.reader.read(scene.grid.window).s2.any()
        done.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert done.wait(60)


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("container", ["nc3", "nc4"])
def test_a_truncated_cube_is_named(tmp_path, container, kept):
    path = write(tmp_path, ARRAYS, Form(container=container))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert problem_of(tmp_path).source == path


def test_dimensions_without_end_are_refused(tmp_path):
    path = write_netcdf(tmp_path / "c.nc", s2_variables(ARRAYS), ARRAYS["doys"])
    content = bytearray(path.read_bytes())
    at = content.index(b"\0\0\0\1t\0\0\0") + 8
    content[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(content)
    assert "truncated" in problem_of(tmp_path).reason


def test_a_huge_chunk_is_refused(tmp_path):
    zarr = pytest.importorskip("zarr")
    path = write(tmp_path, ARRAYS, Form(container="zarr2"))
    root = zarr.open_group(str(path), mode="a")
    del root["B02"]
    array = root.create_array("B02", shape=(3, 8, 6), chunks=(3, 40_000, 40_000), dtype="int16")
    array.attrs.update({"_ARRAY_DIMENSIONS": ["time", "y", "x"], "grid_mapping": "spatial_ref"})
    assert "MB" in problem_of(tmp_path).reason


@pytest.mark.parametrize("empty", range(3))
def test_a_chunk_without_values_is_refused(tmp_path, empty):
    pytest.importorskip("zarr")
    path = write(tmp_path, ARRAYS, Form(container="zarr2"))
    for name in (".zarray", ".zmetadata"):
        for file in path.rglob(name):
            metadata = json.loads(file.read_text())
            arrays = metadata["metadata"].values() if name == ".zmetadata" else [metadata]
            for array in arrays:
                if len(array.get("chunks", ())) == 3:
                    array["chunks"][empty] = 0
            file.write_text(json.dumps(metadata))
    assert "chunks" in problem_of(tmp_path).reason


def test_a_chunk_that_stores_more_than_its_values_is_refused(tmp_path):
    path = write(tmp_path, ARRAYS, Form(container="nc4"))
    content = zlib.compress(np.random.default_rng(0).bytes(6_000) + bytes(20_000_000))
    with h5py.File(path, "a") as file:
        scales = [dimension[0] for dimension in file["B02"].dims]
        del file["B02"]
        made = file.create_dataset("B02", SHAPE, "i2", chunks=(1, 8, 6), compression="gzip")
        for dimension, scale in zip(made.dims, scales, strict=True):
            dimension.attach_scale(scale)
        # In the middle: a trial of both ends would not meet it
        made.id.write_direct_chunk((1, 0, 0), content)
    reason = problem_of(tmp_path).reason
    assert f"{len(content):,} bytes" in reason
    assert "96 bytes of values" in reason


@pytest.mark.parametrize("chunks", [(1, 1, 1), (1, 7, 40), (4, 20, 40)])
def test_chunks_that_can_not_be_compressed_are_taken(tmp_path, chunks):
    values = np.random.default_rng(0).integers(0, 2**16, (4, 20, 40), "u2")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset(
            "a", data=values, chunks=chunks, compression="gzip", shuffle=True, fletcher32=True
        )
        assert [name for name, _ in walk.datasets(file)] == ["a"]


def test_a_chunk_of_all_dates_is_refused_by_its_size(tmp_path):
    path = write(tmp_path, ARRAYS, Form(container="nc4"))
    with h5py.File(path, "a") as file:
        scales = [dimension[0] for dimension in file["B02"].dims]
        del file["B02"]
        made = file.create_dataset("B02", (60, 2048, 2048), "i2", chunks=(60, 2048, 2048), compression="gzip")
        for dimension, scale in zip(made.dims, scales, strict=True):
            dimension.attach_scale(scale)
    assert "503 MB" in problem_of(tmp_path).reason
