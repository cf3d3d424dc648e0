"""A scene that changes while a run is interrupted: noticed by what its files say of themselves, and by what is read."""

from __future__ import annotations

import os
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cube_files import s1_variables, s2_variables, write_netcdf, write_zarr
from fake_backend import FakeBackend
from made_up import FakeReader, made_up_arrays, write_tile
from mosaic_files import write_mosaics
from product_files import product_arrays, write_opera, write_safe

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.output import ITEM
from tessera_engine.formats.origin import Origin
from tessera_engine.running import changes
from tessera_engine.running.changes import DIGITS, state_of_files, sums
from tessera_engine.running.options import RunOptions
from tessera_engine.running.plan import Plan
from tessera_engine.running.run import run
from tessera_engine.scene import Scene, Window
from tessera_engine.scenes import open_scene


class Cut(BaseException):
    pass


class Interrupted:
    """A reader that does something as window number `at` is read."""

    def __init__(self, reader, at=None, happens=None):
        self.reader, self.at, self.happens, self.windows_read = reader, at, happens, []

    def __getattr__(self, name):
        return getattr(self.reader, name)

    def read(self, window):
        if len(self.windows_read) == self.at:
            self.at = None
            self.happens()
        self.windows_read.append(window)
        return self.reader.read(window)


class Unseen(Interrupted):
    """Its fingerprint misses every change, as one of samples can."""

    def fingerprint(self):
        return "f" * 64


def cut():
    raise Cut


def embed(reader, out, window_pixels=20, **options):
    """Run the engine with a backend that needs no model; gives the lines for the user."""
    backend = FakeBackend()
    plan = Plan(
        scene=Scene("place", "place", reader),
        model=backend.model,
        out=Path(out),
        options=RunOptions(reader.grid.window, dim=32, stored_as="int8", format="npy", **options),
        window_pixels=window_pixels,
        origin=Origin(None, "fake", "0" * 64, "v2", "0.1.0"),
    )
    told = []
    run(plan, backend, None, told.append)
    return told


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ITEM}


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupt(folder, out, at, **options):
    with pytest.raises(Cut):
        embed(Unseen(open_scene(folder).reader, at, cut), out, **options)


def with_old_times(folder, change):
    """Change files, and give them their old modification times."""
    before = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    change()
    for path, old in before.items():
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


class TestSums:
    def observations(self):
        reader = FakeReader(made_up_arrays(5, 7))
        return reader.read(Window(1, 2, 4, 3))

    def test_there_is_one_for_each_date_over_its_values_and_its_day(self):
        o = self.observations()
        found = sums(o)
        for t, doy in enumerate(o.s2_doy):
            wanted = zlib.crc32(o.s2_valid[t].tobytes(), zlib.crc32(o.s2[t].tobytes(), doy))
            assert int(found["s2"][t * DIGITS : (t + 1) * DIGITS], 16) == wanted
        for orbit in ("s1_ascending", "s1_descending"):
            doys, values = getattr(o, f"{orbit}_doy"), getattr(o, orbit)
            wanted = "".join(
                f"{zlib.crc32(v.tobytes(), doy):08x}" for v, doy in zip(values, doys, strict=True)
            )
            assert found[orbit] == wanted
        assert {sensor: len(each) // DIGITS for sensor, each in found.items()} == {
            "s2": len(o.s2_doy), "s1_ascending": len(o.s1_ascending_doy), "s1_descending": len(o.s1_descending_doy)
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "sensor"),
        [("s2", "s2"), ("s2_valid", "s2"), ("s2_doy", "s2"), ("s1_ascending", "s1_ascending"),
         ("s1_ascending_doy", "s1_ascending"), ("s1_descending", "s1_descending")],
    )  # fmt: skip
    def test_one_value_changes_the_sum_of_its_date_only(self, name, sensor):
        o = self.observations()
        array = getattr(o, name).copy()
        array[(3, *[-1] * (array.ndim - 1))] ^= 1
        before, after = sums(o), sums(replace(o, **{name: array}))
        differ = [
            i // DIGITS for i, (a, b) in enumerate(zip(before[sensor], after[sensor], strict=True)) if a != b
        ]
        assert set(differ) == {3}
        assert {other for other in before if before[other] != after[other]} == {sensor}

    def test_how_the_arrays_lie_in_memory_does_not_matter(self):
        o = self.observations()
        assert not o.s2[0].flags.c_contiguous
        arrays = {name: np.asfortranarray(getattr(o, name)) for name in ("s2", "s2_valid", "s1_ascending")}
        assert sums(replace(o, **arrays)) == sums(o)


class TestState:
    @pytest.fixture
    def tile(self, tmp_path):
        return write_tile(tmp_path / "tile", made_up_arrays())

    def test_it_stays_while_files_are_only_read_and_where_the_folder_moves(self, tile):
        before = state_of_files(open_scene(tile).reader)
        files_of(tile)
        assert state_of_files(open_scene(tile).reader) == before
        moved = tile.rename(tile.with_name("moved"))
        assert state_of_files(open_scene(moved).reader) == before

    @pytest.mark.parametrize(
        "name", ["bands.npy", "masks.npy", "doys.npy", "roi.tiff", "sar_ascending_doy.npy"]
    )
    def test_it_follows_each_file(self, tile, name):
        reader = open_scene(tile).reader
        states = {state_of_files(reader)}
        path, old = tile / name, (tile / name).stat()
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns + 1))
        states.add(state_of_files(reader))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        if os.name != "nt":  # where only the times of making and writing are kept
            states.add(state_of_files(reader))
        path.write_bytes(path.read_bytes() + b"\0")
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        states.add(state_of_files(reader))
        assert len(states) == (3 if os.name == "nt" else 4)

    def test_every_layout_names_its_files(self, tmp_path):
        for name, write in LAYOUTS.items():
            write(tmp_path / name, product_arrays())
            reader = open_scene(tmp_path / name).reader
            found = set(reader.files())
            assert found
            assert found <= {path for path in (tmp_path / name).resolve().rglob("*") if path.is_file()}


def write_dpixel(folder, arrays):
    write_tile(folder, arrays)


def write_tiles(folder, arrays):
    from affine import Affine
    from made_up import ORIGIN

    half = arrays["bands"].shape[2] // 2
    for name, part, moved in (("a", slice(None, half), 0), ("b", slice(half, None), half)):
        cut = {key: each[:, :, part] if each.ndim > 2 else each for key, each in arrays.items()}
        write_tile(folder / name, cut, ORIGIN @ Affine.translation(moved, 0))


def write_products(folder, arrays):
    write_safe(folder / "s2", arrays, pixels="tif")
    write_opera(folder / "s1", arrays)


def write_cube(write, suffix):
    def write_all(folder, arrays):
        write(folder / f"s2{suffix}", s2_variables(arrays), arrays["doys"])
        for orbit in ("ascending", "descending"):
            write(
                folder / f"{orbit}{suffix}", s1_variables(arrays, orbit, "power"), arrays[f"sar_{orbit}_doy"]
            )

    return write_all


LAYOUTS = {
    "dpixel": write_dpixel,
    "tiles": write_tiles,
    "mosaics": write_mosaics,
    "SAFE and OPERA": write_products,
    "NetCDF": write_cube(write_netcdf, ".nc"),
    "Zarr": write_cube(write_zarr, ".zarr"),
}


@pytest.fixture(params=LAYOUTS)
def write(request):
    return LAYOUTS[request.param]


def rewrite(folder, write, arrays):
    """The files of other arrays in the place of the old ones, with the old modification times."""
    made = folder.with_name("made")
    write(made, arrays)

    def copy():
        for path, content in files_of(made).items():
            if (folder / path.relative_to(made)).read_bytes() != content:
                (folder / path.relative_to(made)).write_bytes(content)

    with_old_times(folder, copy)
    shutil.rmtree(made)


def test_scenes_of_every_layout(tmp_path, write):
    """Touched, a run is resumed; with one date replaced it is refused, and resumed when that is undone."""
    arrays = product_arrays()
    folder, out = tmp_path / "scene", tmp_path / "out"
    write(folder, arrays)
    embed(Unseen(open_scene(folder).reader), tmp_path / "expected", window_pixels=4)
    expected = contents(tmp_path / "expected")
    interrupt(folder, out, at=9, window_pixels=4)

    clear = int(np.argmax((arrays["masks"] != 0).sum(axis=(1, 2))))
    other = {name: array.copy() for name, array in arrays.items()}
    other["bands"][clear] += 7
    before = files_of(folder)
    rewrite(folder, write, other)
    kept = files_of(tmp_path / "out.partial")
    with pytest.raises(InputError) as refused:
        embed(Unseen(open_scene(folder).reader), out, window_pixels=4)
    refused.match(
        rf"window \(\d+, \d+, \d+, \d+\) .*Sentinel-2 on day {int(arrays['doys'][clear])} of the year"
    )
    refused.match("restart=True")
    assert "\n" not in str(refused.value)
    assert files_of(tmp_path / "out.partial").keys() == kept.keys()
    for path, content in kept.items():
        if path.name != "lock":
            assert path.read_bytes() == content

    for path, content in before.items():
        path.write_bytes(content)
        os.utime(path)
    reader = Unseen(open_scene(folder).reader)
    told = embed(reader, out, window_pixels=4)
    assert any("changed their times" in line for line in told)
    assert contents(out) == expected


def test_where_the_fingerprint_differs_it_is_said_what_changed(tmp_path, write):
    arrays = product_arrays()
    folder, out = tmp_path / "scene", tmp_path / "out"
    write(folder, arrays)
    with pytest.raises(Cut):
        embed(Interrupted(open_scene(folder).reader, 9, cut), out, window_pixels=4)
    clear = int(np.argmax((arrays["masks"] != 0).sum(axis=(1, 2))))
    arrays["bands"][clear] += 7
    rewrite(folder, write, arrays)
    with pytest.raises(InputError) as refused:
        embed(open_scene(folder).reader, out, window_pixels=4)
    refused.match(r"differs in scene \(was place [0-9a-f]{16}, now place [0-9a-f]{16}\): the window \(")
    refused.match(rf"Sentinel-2 on day {int(arrays['doys'][clear])} of the year.*restart=True")


def test_times_alone_change_nothing(tmp_path):
    """All that is finished is read again, once; the journal then knows the new times."""
    folder, out = write_tile(tmp_path / "scene", made_up_arrays(30, 4)), tmp_path / "out"
    embed(Unseen(open_scene(folder).reader), tmp_path / "expected", window_pixels=4)
    interrupt(folder, out, at=20, window_pixels=4)
    os.utime(folder / "masks.npy", ns=(0, 0))
    reader = Unseen(open_scene(folder).reader, at=22, happens=cut)
    with pytest.raises(Cut):
        embed(reader, out, window_pixels=4)
    first = reader.windows_read
    assert len(first) == len(set(first)) == 22
    reader = Unseen(open_scene(folder).reader)
    told = embed(reader, out, window_pixels=4)
    assert re.search(r"reading 4 of 2[0-2] finished windows", " ".join(told))
    assert len(reader.windows_read) < 4 + 12
    assert contents(out) == contents(tmp_path / "expected")


@pytest.fixture
def same_state(monkeypatch):
    """A file system that keeps no times."""
    for module in (changes, __import__("tessera_engine.running.run", fromlist=["run"])):
        monkeypatch.setattr(module, "state_of_files", lambda reader: "0" * 64)


class TestWithoutTimes:
    """Where files show no change, a share of what is finished is read again, and all of it where that is asked for."""

    @pytest.fixture
    def begun(self, tmp_path, same_state):
        arrays = made_up_arrays(100, 4)
        reader = FakeReader(arrays)
        embed(Unseen(FakeReader(arrays)), tmp_path / "expected", window_pixels=4)
        with pytest.raises(Cut):
            embed(Unseen(reader, 91, cut), tmp_path / "out", window_pixels=4)
        return arrays, tmp_path / "out", contents(tmp_path / "expected")

    @pytest.mark.parametrize("check", [False, True])
    def test_how_much_is_read(self, begun, check):
        arrays, out, expected = begun
        reader = Unseen(FakeReader(arrays))
        told = embed(reader, out, window_pixels=4, check=check)
        (line,) = (line for line in told if line.startswith("reading"))
        read, finished = map(int, re.findall(r"(\d+) of (\d+)", line)[0])
        assert read == (finished if check else 6)
        assert len(reader.windows_read) == read + 100 - finished
        assert Window(0, 0, 4, 1) == reader.windows_read[0]
        assert contents(out) == expected

    @pytest.mark.parametrize("check", [False, True])
    def test_a_replaced_date_is_found(self, begun, check):
        arrays, out, _ = begun
        arrays["sar_descending"][5] += 1
        with pytest.raises(
            InputError, match=rf"descending Sentinel-1 on day {arrays['sar_descending_doy'][5]} of"
        ):
            embed(Unseen(FakeReader(arrays)), out, window_pixels=4, check=check)

    def test_one_pixel_is_found_where_all_is_read(self, begun):
        arrays, out, _ = begun
        arrays["bands"][3, 50, 2, 9] += 1
        with pytest.raises(InputError, match=rf"\(0, 50, 4, 1\).*Sentinel-2 on day {arrays['doys'][3]} of"):
            embed(Unseen(FakeReader(arrays)), out, window_pixels=4, check=True)

    def test_every_changed_sensor_is_named(self, begun):
        arrays, out, _ = begun
        arrays["bands"][[3, 4, 9]] += 1
        arrays["sar_ascending"] = arrays["sar_ascending"][1:]
        arrays["sar_ascending_doy"] = arrays["sar_ascending_doy"][1:]
        with pytest.raises(InputError) as refused:
            embed(Unseen(FakeReader(arrays)), out, window_pixels=4)
        refused.match(rf"day {arrays['doys'][3]} of the year and 2 more dates")
        refused.match(r"22 dates of ascending Sentinel-1 \(was 23\)")

    def test_started_again_it_is_embedded_as_it_is(self, begun, tmp_path):
        arrays, out, _ = begun
        arrays["bands"][:] += 1
        embed(Unseen(FakeReader(arrays)), out, window_pixels=4, restart=True)
        embed(Unseen(FakeReader(arrays)), tmp_path / "fresh", window_pixels=4)
        assert contents(out) == contents(tmp_path / "fresh")


def test_blocks_are_read_once(tmp_path):
    """Windows that a reader reads together are chosen together."""
    write_mosaics(tmp_path / "scene", product_arrays(40, 40))
    interrupt(tmp_path / "scene", tmp_path / "out", at=300, window_pixels=4)
    reader = open_scene(tmp_path / "scene").reader
    blocks = []
    read = reader._blocks._read
    reader._blocks._read = lambda window: blocks.append(window) or read(window)
    told = embed(Unseen(reader), tmp_path / "out", window_pixels=4)
    (line,) = (line for line in told if "finished windows again" in line)
    assert re.search(r"reading (5\d|6[0-4]) of (29\d|300) ", line)
    # 25 blocks of 16 windows: 4 of the finished ones, and those that aren't finished
    assert len(blocks) <= 4 + 8


def test_a_change_during_the_run_is_found_at_its_end(tmp_path):
    arrays = made_up_arrays(10, 4)
    folder = write_tile(tmp_path / "scene", arrays)

    def change():
        arrays["bands"][2, 0, 1, 3] += 1  # where it has been read already
        np.save(folder / "bands.npy", arrays["bands"])

    with pytest.raises(
        TesseraError, match=rf"changed while .*\(0, 0, 4, 1\).*day {arrays['doys'][2]} .*restart=True"
    ):
        embed(Unseen(open_scene(folder).reader, 5, change), tmp_path / "out", window_pixels=4)
    assert not (tmp_path / "out").exists()


def test_a_touch_during_the_run_changes_nothing(tmp_path):
    folder = write_tile(tmp_path / "scene", made_up_arrays(10, 4))
    embed(Unseen(open_scene(folder).reader), tmp_path / "expected", window_pixels=4)
    touch = Unseen(open_scene(folder).reader, 5, lambda: os.utime(folder / "bands.npy"))
    embed(touch, tmp_path / "out", window_pixels=4)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
