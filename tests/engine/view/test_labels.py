"""Labels of the viewer: what is refused, what survives a crash, and what other programs get and give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import msgspec
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import GRASS, GRID, MAIZE, RING, SOME, VALUE, changed, features
from made_up import CRS, ORIGIN

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files import publish
from tessera_engine.files.durable import Lock
from tessera_engine.scene import Grid
from tessera_engine.view import label_document
from tessera_engine.view.label_document import (
    Document,
    LabelFile,
    Outdated,
    labelled_pixels,
    parse_document,
)
from tessera_engine.view.label_export import write_labels
from tessera_engine.view.label_import import import_labels


def with_label(**fields):
    return changed(labels=[*VALUE["labels"], {"id": "l9", "class": "c1"} | fields])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "object"),
        ({}, "revision|classes|labels"),
        (changed(revision=-1), "revision"),
        (changed(more=1), "more"),
        (changed(classes=[MAIZE, MAIZE]), "c1.*twice"),
        (changed(classes=[MAIZE, GRASS | {"name": "maize"}]), "maize"),
        (changed(classes=[MAIZE, GRASS | {"name": " grass"}]), " grass"),
        (changed(classes=[MAIZE, GRASS | {"name": "NaN"}]), "NaN.*nan"),
        (changed(classes=[MAIZE, GRASS | {"name": "x" * 81}]), "80"),
        (changed(classes=[MAIZE, GRASS | {"colour": "red"}]), "colour|regex|pattern"),
        (changed(classes=[MAIZE, GRASS | {"id": "a b"}]), "regex|pattern"),
        (changed(classes=[{"id": f"c{i}", "name": str(i), "colour": "#000000"} for i in range(255)]), "254"),
        (with_label(kind="point", col=60, row=0), r"60 0.*60 x 50"),
        (with_label(kind="point", col=-1, row=0), "col|>= 0"),
        (with_label(kind="point", col=1.5, row=0), "int"),
        (with_label(kind="circle", col=1, row=0), "circle"),
        (with_label(kind="point", col=1, row=1, **{"class": "c7"}), "c7"),
        (changed(labels=[VALUE["labels"][0]] * 2), "l1.*twice"),
        (with_label(kind="polygon", ring=RING[:2]), "length|3"),
        (with_label(kind="polygon", ring=[RING[0], RING[1], RING[0]]), "three"),
        (with_label(kind="polygon", ring=[[1e300, 0], [0, 0], [0, 1]]), "1e\\+299"),
        (with_label(kind="polygon", ring=[["a", 0], [0, 0], [0, 1]]), "float"),
    ],
)
def test_labels_that_make_no_sense_are_refused_in_one_line(value, words):
    with pytest.raises(InputError, match=words) as refused:
        parse_document(value, GRID)
    assert "\n" not in str(refused.value)


def test_the_limits_hold(monkeypatch):
    monkeypatch.setattr(label_document, "MOST_CORNERS", 7)
    parse_document(VALUE, GRID)
    with pytest.raises(InputError, match=r"8 corners.*at most 7"):
        parse_document(with_label(kind="polygon", ring=RING), GRID)
    many = [{"id": f"l{i}", "class": "c1", "kind": "point", "col": 0, "row": 0} for i in range(20_001)]
    with pytest.raises(InputError, match="20000"):
        parse_document(changed(labels=many), GRID)


def test_saved_labels_are_there_again_with_a_new_revision(tmp_path):
    file = LabelFile.beside(tmp_path / "field.embeddings", GRID)
    assert file.load() == Document.none()
    assert file.save(SOME).revision == 1
    again = LabelFile.beside(tmp_path / "field.embeddings", GRID).load()
    assert (again.revision, again.classes, again.labels) == (1, SOME.classes, SOME.labels)
    assert json.loads(json.dumps(again.to_dict())) == VALUE | {"revision": 1}
    with pytest.raises(Outdated, match=r"revision 0.*revision 1"):
        file.save(SOME)
    assert file.save(again).revision == 2
    assert os.listdir(tmp_path) == ["field.embeddings.labels.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"my own notes", "not JSON"),
        (b'{"revision": 1, "classes": [], "labels": []}', "not written by"),
        (b'{"tessera-engine labels": 2}', "version 2"),
        (b'{"a": 1, "tessera-engine labels": 1}', "not written by"),
        (b'{"tessera-engine labels": 1, "grid": {}}', "another grid"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_a_foreign_file_is_refused_and_never_replaced(tmp_path, content, words):
    file = LabelFile.beside(tmp_path / "field", GRID)
    file.path.write_bytes(content)
    for use in (file.load, lambda: file.save(SOME)):
        with pytest.raises(InputError, match=words) as refused:
            use()
        assert str(file.path) in str(refused.value)
    assert file.path.read_bytes() == content
    assert os.listdir(tmp_path) == [file.path.name]


def test_a_damaged_file_of_ours_is_named_and_kept(tmp_path):
    file = LabelFile.beside(tmp_path / "field", GRID)
    file.save(SOME)
    value = json.loads(file.path.read_text())
    value["labels"][0]["col"] = 4000
    file.path.write_text(json.dumps(value))
    before = file.path.read_bytes()
    for use in (file.load, lambda: file.save(SOME)):
        with pytest.raises(InputError, match=r"damaged.*4000"):
            use()
    assert file.path.read_bytes() == before


def test_labels_of_another_grid_are_not_taken_for_ours_but_can_be_imported(tmp_path):
    file = LabelFile.beside(tmp_path / "field", GRID)
    file.save(SOME)
    content = file.path.read_bytes()
    moved = Grid(60, 50, CRS, ORIGIN @ Affine.translation(2, 1))
    with pytest.raises(InputError, match="another grid"):
        LabelFile.beside(tmp_path / "field", moved).load()
    found = import_labels(Document.none(), moved, "field.labels.json", content).labels
    assert [(label.col, label.row) for label in found.labels[:2]] == [(1, 3), (57, 48)]
    assert [[x, y] for x, y in found.labels[2].ring] == RING
    assert [each.colour for each in found.classes] == ["#E69F00", "#56B4E9"]


SAVE_FOREVER = """
import sys
from pathlib import Path
from tessera_engine.scene import Grid
from tessera_engine.view.label_document import LabelFile, PointLabel
import msgspec, affine
file = LabelFile.beside(Path(sys.argv[1]), Grid(60, 50, {crs!r}, affine.Affine(*{transform!r})))
found = file.load()
while True:
    label = PointLabel(id=f"p{{found.revision}}", class_id="c1", col=found.revision % 60, row=0)
    found = file.save(msgspec.structs.replace(found, labels=[*found.labels, label]))
    print(found.revision, flush=True)
"""


def test_a_killed_process_leaves_every_answered_save(tmp_path):
    file = LabelFile.beside(tmp_path / "field", GRID)
    file.save(SOME)
    code = SAVE_FOREVER.format(crs=CRS, transform=list(ORIGIN)[:6])
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "field")], stdout=subprocess.PIPE, text=True
        ) as process:
            said = [int(process.stdout.readline()) for _ in range(4)][-1]
            process.kill()
            said = max([said, *map(int, process.stdout.read().split())])
        found = file.load()
        assert said <= found.revision <= said + 1
        assert len(found.labels) == len(SOME.labels) + found.revision - 1
        assert os.listdir(tmp_path) == [file.path.name]


def test_a_failing_disk_leaves_the_old_labels(tmp_path, monkeypatch):
    file = LabelFile.beside(tmp_path / "field", GRID)
    first = file.save(SOME)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publish, "sync_file", fail)
        with pytest.raises((TesseraError, OSError)):
            file.save(first)
    assert file.load() == first
    assert file.save(first).revision == 2


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_place_where_nothing_can_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"Permission.*copy it") as refused:
        LabelFile.beside(tmp_path / "field", GRID).save(SOME)
    tmp_path.chmod(0o700)
    assert "out=" not in str(refused.value)


def test_what_another_process_writes_is_left_to_it(tmp_path):
    file = LabelFile.beside(tmp_path / "field", GRID)
    folder = publish.partial_folder(file.path)
    folder.mkdir()
    lock = Lock(folder / "lock")
    with pytest.raises(InputError, match=r"another run.*copy it") as refused:
        file.save(SOME)
    lock.release(remove=True)
    assert "out=" not in str(refused.value)
    assert file.save(SOME).revision == 1


def test_one_of_two_savers_at_a_time_is_told(tmp_path):
    file = LabelFile.beside(tmp_path / "field", GRID)
    file.save(SOME)
    base, results = file.load(), []

    def save():
        try:
            results.append(LabelFile.beside(tmp_path / "field", GRID).save(base).revision)
        except InputError as error:
            results.append(type(error))

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(2) == 1
    assert file.load().revision == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["labels", "name", "type", "vertices", "lat", "lon", "source_pixel", "color", "grid", "features", "geometry",
         "coordinates", "properties", "class", "tessera-engine labels"]), inner, max_size=4),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_no_json_brings_the_import_or_the_document_down(value):
    for use in (
        lambda: import_labels(SOME, GRID, "a.json", msgspec.json.encode(value)),
        lambda: parse_document(value, GRID),
    ):
        try:
            use()
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_an_output_without_crs_has_labels_but_none_for_others(tmp_path):
    grid = Grid(60, 50)
    found = parse_document(changed(labels=VALUE["labels"][:2]), grid)
    assert labelled_pixels(found, grid).pixels.tolist() == [4 * 60 + 3, 49 * 60 + 59]
    with pytest.raises(InputError, match="no CRS"):
        write_labels(tmp_path / "a", found, grid, "geojson", "field", None)
    with pytest.raises(InputError, match="no CRS"):
        import_labels(found, grid, "a.geojson", features())
    with pytest.raises(InputError, match="no labels"):
        write_labels(tmp_path / "a", Document.none(), GRID, "gpkg", "field", None)
    with pytest.raises(InputError, match=r"shp.*geojson, gpkg, tee"):
        write_labels(tmp_path / "a", SOME, GRID, "shp", "field", None)
    assert not list(tmp_path.iterdir())
