"""Unpacked embeddings are what the output holds, appear complete or not at all, and make room for each other."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import namedtuple

import numpy as np
import pytest
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import TesseraError
from tessera_engine.view import cache
from tessera_engine.view.levels import ArraySource

HEIGHT, WIDTH = 300, 530
FORMATS = ["cog int8", "cog float32", "npy int8"]


@pytest.fixture(scope="module", params=FORMATS)
def output(request, tmp_path_factory):
    format, store = request.param.split()
    folder = tmp_path_factory.mktemp("o") / "a.embeddings"
    return made_up_output(folder, landscape(HEIGHT, WIDTH, 16), format, store)


@pytest.fixture
def opened(tmp_path):
    return open_embeddings(made_up_output(tmp_path / "a.embeddings", landscape(HEIGHT, WIDTH, 16)))


def silent(done, total):
    pass


def entries(home):
    return sorted(path for path in (home / "unpacked").iterdir())


def same(one, other):
    one, other = one.read_stored(), other.read_stored()
    np.testing.assert_array_equal(one.values, other.values)
    if one.scales is not None:
        np.testing.assert_array_equal(one.scales, other.scales)
    return True


def test_what_is_unpacked_is_what_is_stored(output, home):
    opened, reported = open_embeddings(output), []
    assert cache.find(opened) is None
    found = cache.unpack(opened, lambda *progress: reported.append(progress))
    assert isinstance(found.source, ArraySource)
    assert same(found, opened)
    assert same(cache.find(opened), opened)
    size = cache.needed_bytes(opened)
    assert reported[-1] == (size, size)
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    (entry,) = entries(home)
    assert sum(path.stat().st_size for path in entry.glob("*.bin")) == size


def test_it_is_unpacked_once(opened, home, monkeypatch):
    cache.unpack(opened, silent)
    monkeypatch.setattr(cache, "_write", None)
    assert same(cache.unpack(opened, silent), opened)


def test_a_copy_is_the_same_and_another_content_is_not(opened, tmp_path, home):
    cache.unpack(opened, silent)
    shutil.copytree(opened.path, tmp_path / "copy")
    assert cache.find(open_embeddings(tmp_path / "copy")) is not None
    other = made_up_output(tmp_path / "other", landscape(HEIGHT, WIDTH, 16, seed=1))
    assert cache.find(open_embeddings(other)) is None
    assert same(cache.unpack(open_embeddings(other), silent), open_embeddings(other))
    assert len(entries(home)) == 2


def test_years_of_a_store_are_kept_apart(tmp_path, home):
    pytest.importorskip("zarr")
    import tessera_engine as te

    store = tmp_path / "store"
    for year in (2023, 2024):
        made = made_up_output(tmp_path / str(year), landscape(60, 70, 16, seed=year), year=year)
        te.convert(made, store, "zarr", year=year, append=year == 2024, progress=False)
    for year in (2023, 2024):
        opened = open_embeddings(store, year=year)
        assert same(cache.unpack(opened, silent), opened)
    assert len(entries(home)) == 2


def test_a_tree_that_other_software_wrote_is_known_by_its_files(tmp_path, home):
    pytest.importorskip("pyarrow")
    import tessera_engine as te

    made = made_up_output(tmp_path / "a", landscape(60, 70, 128), year=2024)
    tree = te.convert(made, tmp_path / "tree", "geotessera", year=2024, progress=False)
    (tree / "item.json").unlink()
    opened = open_embeddings(tree)
    assert "assets" not in opened.item
    cache.unpack(opened, silent)
    assert same(cache.find(opened), opened)
    codes = next(
        path for path in tree.rglob("*.npy") if "scales" not in path.name and "observations" not in str(path)
    )
    content = bytearray(codes.read_bytes())
    content[-1] ^= 1
    codes.write_bytes(content)
    assert cache.find(open_embeddings(tree)) is None


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("at", [0, 2])
def test_nothing_is_left_of_what_was_cancelled(opened, home, at):
    calls = []

    def stop(done, total):
        calls.append(done)
        if len(calls) > at:
            raise Stopped

    with pytest.raises(Stopped):
        cache.unpack(opened, stop)
    assert entries(home) == []
    assert cache.find(opened) is None
    assert same(cache.unpack(opened, silent), opened)


def test_what_a_killed_process_left_is_made_again(opened, home, monkeypatch):
    """It ends after it has written half: its folder stays, and its lock doesn't."""
    from tessera_engine.files.partial import Partial

    monkeypatch.setattr(Partial, "close", lambda self, keep: self._lock.release(remove=False))
    with pytest.raises(Stopped):
        cache.unpack(opened, lambda done, total: (_ for _ in ()).throw(Stopped))
    monkeypatch.undo()
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(home))
    (left,) = entries(home)
    assert left.name.endswith(".partial")
    assert cache.find(opened) is None
    assert same(cache.unpack(opened, silent), opened)
    assert [path.name.endswith(".partial") for path in entries(home)] == [False]


def cut(entry):
    os.truncate(entry / "values.bin", 1000)


def zeroed(entry):
    size = (entry / "values.bin").stat().st_size
    (entry / "values.bin").write_bytes(bytes(size))


def flipped(entry):
    """One bit, and the time as it was."""
    path = entry / "scales.bin"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def without(name):
    return lambda entry: (entry / name).unlink()


def about(text):
    return lambda entry: (entry / "about.json").write_text(text)


def wrong_shape(entry):
    facts = json.loads((entry / "about.json").read_text())
    (entry / "about.json").write_text(json.dumps(facts | {"shape": [WIDTH, HEIGHT, 16]}))


DAMAGES = [cut, zeroed, flipped, without("values.bin"), without("scales.bin"), without("about.json"), about(""), about("[]"),
           about('{"form": "tessera-engine unpacked embeddings 1"}'), wrong_shape]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_noticed_and_made_again(opened, home, damage):
    cache.unpack(opened, silent)
    (entry,) = entries(home)
    damage(entry)
    assert cache.find(opened) is None
    assert same(cache.unpack(opened, silent), opened)
    assert same(cache.find(opened), opened)
    assert entries(home) == [entry]


def several(tmp_path, count):
    return [
        open_embeddings(made_up_output(tmp_path / f"o{seed}", landscape(40, 50, 16, seed=seed)))
        for seed in range(count)
    ]


def test_what_was_used_longest_ago_makes_room(tmp_path, home, monkeypatch):
    one, two, three = several(tmp_path, 3)
    monkeypatch.setattr(cache, "MOST_BYTES", int(2.5 * (cache.needed_bytes(one) + 1000)))
    for number, each in enumerate((one, two)):
        cache.unpack(each, silent)
        os.utime(entries(home)[0] if number == 0 else cache._folder() / cache._key(two), (number, number))
    assert cache.find(one) is not None  # used last now
    cache.unpack(three, silent)
    assert cache.find(two) is None
    assert cache.find(one) is not None
    assert cache.find(three) is not None


def test_one_that_is_larger_than_the_cache_is_kept_alone(tmp_path, home, monkeypatch):
    one, two, _ = several(tmp_path, 3)
    monkeypatch.setattr(cache, "MOST_BYTES", 10)
    cache.unpack(one, silent)
    cache.unpack(two, silent)
    assert cache.find(one) is None
    assert cache.find(two) is not None


def test_only_what_the_engine_wrote_is_removed(tmp_path, home, monkeypatch):
    one, two, _ = several(tmp_path, 3)
    folder = home / "unpacked"
    foreign = [folder / name for name in ("a" * 64, "mine", "b" * 64, "c" * 64)]
    for path in foreign:
        path.mkdir(parents=True, exist_ok=True)
        (path / "photo.jpg").write_bytes(b"x" * 100)
    (foreign[2] / "about.json").write_text("{}")
    (foreign[3] / "about.json").write_text('{"form": "another"}')
    folder.chmod(0o700)
    monkeypatch.setattr(cache, "MOST_BYTES", 10)
    cache.unpack(one, silent)
    foreign.append(folder / cache._key(one))
    (foreign[-1] / "photo.jpg").write_bytes(b"x" * 100)
    cache.unpack(two, silent)
    assert cache.find(one) is None
    assert [(path / "photo.jpg").read_bytes() for path in foreign] == [b"x" * 100] * 5


def test_without_room_nothing_is_begun(opened, home, monkeypatch):
    usage = namedtuple("usage", "total used free")
    free = cache.needed_bytes(opened) + cache.RESERVE_BYTES - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free))
    with pytest.raises(TesseraError, match=r"1\.0 GB"):
        cache.unpack(opened, silent)
    assert entries(home) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free + 1))
    cache.unpack(opened, silent)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_a_folder_that_others_can_write_is_not_used(opened, home):
    (home / "unpacked").mkdir(parents=True)
    (home / "unpacked").chmod(0o777)
    for use in (lambda: cache.find(opened), lambda: cache.unpack(opened, silent)):
        with pytest.raises(TesseraError, match="other users"):
            use()
    assert entries(home) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_nobody_else_can_read_it(opened, home):
    cache.unpack(opened, silent)
    assert (home / "unpacked").stat().st_mode & 0o077 == 0


def test_two_at_a_time_make_it_once(opened, home, monkeypatch):
    written = []
    write = cache._write

    def counted(*arguments):
        written.append(1)
        write(*arguments)

    monkeypatch.setattr(cache, "_write", counted)
    found = []
    threads = [threading.Thread(target=lambda: found.append(cache.unpack(opened, silent))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert all(same(each, opened) for each in found)
    assert len(found) == 3


def test_what_is_mapped_stays_readable_when_it_is_removed(opened, home):
    found = cache.unpack(opened, silent)
    (entry,) = entries(home)
    shutil.rmtree(entry)
    assert same(found, opened)
