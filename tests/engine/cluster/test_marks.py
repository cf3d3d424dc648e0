"""Completion marks: what was written comes back, and every kind of damage is found."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tessera_engine.cluster.marks import Checksums, Mark, mark_path, read_mark, write_mark
from tessera_engine.files.checksums import folder_sha256
from tessera_engine.files.document import Damaged
from tessera_engine.running.run import Computed
from tessera_engine.scene import Window

CELL = Window(1024, 0, 1024, 512)
MARK = Mark(
    token="t",
    cell=CELL,
    pixels=524_288,
    with_data=[500_000],
    few_clear=[3],
    files={"output/a": hashlib.sha256(b"a").hexdigest()},
    window_pixels=16_384,
    read="1" * 64,
    computed=Computed("fused", "numba 0.68", "avx2"),
    probe="2" * 64,
    host="pc",
    seconds=1.5,
)


def test_a_mark_comes_back(tmp_path):
    assert read_mark(tmp_path, CELL) is None
    write_mark(tmp_path, MARK)
    assert read_mark(tmp_path, CELL) == MARK
    assert [path.name for path in tmp_path.iterdir()] == [mark_path(tmp_path, CELL).name]


def test_every_cut_and_every_changed_byte_is_found(tmp_path):
    write_mark(tmp_path, MARK)
    path = mark_path(tmp_path, CELL)
    whole = path.read_bytes()
    for at in range(0, len(whole) - 1, 7):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(Damaged):
                read_mark(tmp_path, CELL)


def test_the_mark_of_another_cell_is_damage(tmp_path):
    write_mark(tmp_path, MARK)
    other = replace(MARK, cell=Window(0, 0, 1024, 512)).cell
    mark_path(tmp_path, CELL).rename(mark_path(tmp_path, other))
    with pytest.raises(Damaged, match="1024"):
        read_mark(tmp_path, other)


def test_a_changed_or_missing_file_of_a_cell_is_named(tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "a").write_bytes(b"a")
    assert MARK.damage(tmp_path) is None
    (tmp_path / "output" / "a").write_bytes(b"b")
    assert "output/a" in MARK.damage(tmp_path)
    (tmp_path / "output" / "a").unlink()
    assert "output/a" in MARK.damage(tmp_path)


def test_known_checksums_stand_for_files(tmp_path):
    files = {f"{a}/{b}": f"{a}{b}".encode() for a in ("x", "x.y", "z") for b in (1, 10, 2)}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    # sorted by the parts of the paths, as Path sorts: x/10 before x.y/1
    lines = "".join(
        f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n"
        for name in sorted(files, key=lambda name: tuple(name.split("/")))
    )
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert folder_sha256(tmp_path) == expected
    known = Checksums()
    names = sorted(files)
    known.add({name: hashlib.sha256(files[name]).hexdigest() for name in names[:4]})
    assert (known(names[0]), known(names[8])) == (hashlib.sha256(files[names[0]]).hexdigest(), None)
    known.add({name: hashlib.sha256(files[name]).hexdigest() for name in names[4:8]})
    for name in names[:8]:  # what is known isn't read
        (tmp_path / name).write_bytes(b"")
    assert len(known) == 8
    assert folder_sha256(tmp_path, known) == expected
