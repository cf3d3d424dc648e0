"""Work in the background: told as it goes, ended when asked, and never half done."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from outputs import made_up_output
from staged import landscape

from tessera_engine.errors import TesseraError
from tessera_engine.view import cache, levels, session
from tessera_engine.view.jobs import Events, Jobs


class Heard(Events):
    """Keeps what is published."""

    def __init__(self):
        super().__init__()
        self.all = []

    def publish(self, event):
        self.all.append(event)


@pytest.fixture
def jobs():
    made = Jobs(Heard())
    yield made
    made.close(5)


def test_progress_then_the_result(jobs):
    def work(report):
        for done in range(1001):
            report(done, 1000)
        return {"name": "x"}

    assert jobs.start("map", work).wait(5)
    *progress, last = jobs.events.all
    assert last == {"kind": "done", "job": "map", "output": 0, "result": {"name": "x"}}
    assert [event["done"] for event in progress] == [*range(0, 1001, 10)]
    assert jobs.running("map") is None


@pytest.mark.parametrize(
    ("error", "told"),
    [(TesseraError("no room"), "no room"), (FileNotFoundError(2, "No such file", "a.tif"), "a.tif"), (MemoryError(), "memory")],
)  # fmt: skip
def test_an_error_is_told(jobs, error, told):
    def work(report):
        raise error

    assert jobs.start("unpack", work, output=1).wait(5)
    (event,) = jobs.events.all
    assert (event["kind"], event["job"], event["output"]) == ("failed", "unpack", 1)
    assert told in event["error"]


def endless(started, ended):
    def work(report):
        started.set()
        try:
            while True:
                report(0, 1)
                time.sleep(0.001)
        finally:
            ended.set()

    return work


def test_a_job_ends_when_it_is_cancelled(jobs):
    started, ended = threading.Event(), threading.Event()
    job = jobs.start("map", endless(started, ended))
    assert started.wait(5)
    assert not jobs.cancel("accuracy")
    assert jobs.cancel("map")
    assert job.wait(5)
    assert ended.is_set()
    assert jobs.events.all[-1]["error"] == "cancelled"


def test_a_new_job_takes_the_place_of_the_old_one(jobs):
    started, ended = threading.Event(), threading.Event()
    jobs.start("similar", endless(started, ended))
    other = jobs.start("similar", endless(*(threading.Event() for _ in range(2))), output=1)
    assert started.wait(5)
    together = []
    assert jobs.start("similar", lambda report: together.append(ended.is_set()) or {}).wait(5)
    assert together == [True]  # not both at a time
    assert not other.is_set()  # of another output
    assert [event for event in jobs.events.all if event["kind"] == "failed"] == []


def test_a_job_that_nobody_waits_for_ends_without_a_word(jobs):
    started, ended = threading.Event(), threading.Event()
    job = jobs.start("similar", endless(started, ended))
    assert started.wait(5)
    jobs.drop("similar", output=1)
    assert not job.wait(0.2)
    jobs.drop("similar")
    assert job.wait(5)
    assert ended.is_set()
    assert [event for event in jobs.events.all if event["kind"] == "failed"] == []


def test_after_the_end_nothing_starts(jobs):
    started, ended = threading.Event(), threading.Event()
    jobs.start("map", endless(started, ended))
    assert started.wait(5)
    assert jobs.close(5) == ["map"]
    assert ended.is_set()
    ran = []
    assert jobs.start("map", ran.append).wait(1)
    assert ran == []


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "BASE_BYTES", 1)
    monkeypatch.setattr(session, "UNASKED_BYTES", 0)
    return made_up_output(tmp_path / "a.embeddings", landscape(300, 530, 16))


def slow(monkeypatch):
    """Let unpacking take as long as nobody cancels it."""
    decoded = cache._decoded

    def slowly(pool, embeddings, side):
        for each in decoded(pool, embeddings, side):
            yield each
            time.sleep(0.3)

    monkeypatch.setattr(cache, "_decoded", slowly)


def test_unpacking_can_be_cancelled_and_begun_again(serving, output, home, monkeypatch):
    slow(monkeypatch)
    with serving(output) as (_, client), client.listen() as listener:
        question = {"positives": [[300, 200]]}
        assert client.post("/api/similar", question)["z"] > 0
        listener.until("progress", "unpack")
        assert client.post("/api/cancel", {"job": "unpack"}) == {"cancelled": True}
        assert listener.until("failed", "unpack")["error"] == "cancelled"
        assert list((home / "unpacked").iterdir()) == []
        assert client.post("/api/similar", question)["z"] > 0  # and isn't begun again unasked
        time.sleep(0.5)
        assert list((home / "unpacked").iterdir()) == []
        monkeypatch.undo()
        monkeypatch.setenv("TESSERA_ENGINE_HOME", str(home))
        client.post("/api/unpack", {"output": 0})
        listener.until("done", "unpack")
        assert client.post("/api/similar", question)["z"] == 0
        assert client.post("/api/cancel", {"job": "unpack"}) == {"cancelled": False}


def test_the_end_of_the_server_ends_the_work(serving, output, home, monkeypatch):
    slow(monkeypatch)
    with serving(output) as (server, client), client.listen() as listener:
        client.post("/api/similar", {"positives": [[300, 200]]})
        listener.until("progress", "unpack")
        assert set(server.close()) == {"unpack", "similar"}
    assert list((home / "unpacked").iterdir()) == []
    for thread in threading.enumerate():
        if thread.name in ("tessera-unpack", "tessera-similar"):
            thread.join(10)  # a thread is there for a moment after its job has ended
            assert not thread.is_alive()


def test_without_room_the_overview_answers_and_the_page_is_told(serving, output, monkeypatch):
    monkeypatch.setattr(cache, "RESERVE_BYTES", 10**18)
    with serving(output) as (_, client), client.listen() as listener:
        assert client.post("/api/similar", {"positives": [[300, 200]]})["z"] > 0
        assert "GB" in listener.until("failed", "unpack")["error"]
        assert not client.get("/api/info")["outputs"][0]["unpacked"]


def test_small_outputs_are_unpacked_once_the_page_is_up(serving, output, monkeypatch):
    monkeypatch.setattr(session, "UNASKED_BYTES", 10**9)
    with serving(output) as (_, client), client.listen() as listener:
        z = client.get("/api/info")["outputs"][0]["levels"][-1]["z"]
        client.tile(f"pca/{z}/0/0", np.uint8, 4)
        assert listener.until("done", "unpack")["result"] == {"output": 0}
    with serving(output) as (_, client), client.listen() as listener:  # from the cache
        monkeypatch.setattr(session, "UNASKED_BYTES", 0)
        client.tile(f"pca/{z}/0/0", np.uint8, 4)
        listener.until("done", "unpack")
        assert client.get("/api/info")["outputs"][0]["unpacked"]


def test_several_pages_hear_the_same(serving, output):
    with serving(output) as (_, client), client.listen() as one, client.listen() as other:
        client.post("/api/similar", {"positives": [[300, 200]]})
        assert one.until("refined", "similar") == other.until("refined", "similar")


LABELS = {
    "revision": 0,
    "classes": [
        {"id": "c1", "name": "maize", "colour": "#E69F00"},
        {"id": "c2", "name": "water", "colour": "#56B4E9"},
    ],
    "labels": [
        {"id": "l1", "class": "c1", "kind": "point", "col": 300, "row": 200},
        {"id": "l2", "class": "c2", "kind": "point", "col": 400, "row": 120},
    ],
}


@pytest.fixture
def labelled(tmp_path):
    pytest.importorskip("shapely")
    return made_up_output(tmp_path / "a.embeddings", landscape(300, 530, 16), year=2024)


def test_labels_are_saved_before_the_answer(serving, labelled, tmp_path):
    with serving(labelled) as (_, client):
        assert client.get("/api/labels") == {"revision": 0, "classes": [], "labels": []}
        assert client.post("/api/labels", LABELS) == {"revision": 1}
        kept = json.loads((tmp_path / "a.embeddings.labels.json").read_text())
        assert kept["labels"] == LABELS["labels"]
        assert client.post("/api/labels", LABELS, 409)["error"]  # another tab has saved
        assert client.post("/api/labels", LABELS | {"revision": 1}) == {"revision": 2}
        for wrong in (
            {},
            [],
            LABELS | {"labels": [{"id": "l", "class": "none", "kind": "point", "col": 1, "row": 1}]},
        ):
            assert client.post("/api/labels", wrong, 400)["error"]
    with serving(labelled) as (_, client):
        assert client.get("/api/labels") == LABELS | {"revision": 2}


def test_a_foreign_file_of_labels_is_never_replaced(serving, labelled, tmp_path):
    foreign = tmp_path / "a.embeddings.labels.json"
    foreign.write_text('{"mine": 1}')
    with serving(labelled) as (_, client):
        assert client.ask("/api/labels")[0] == 400
        assert client.post("/api/labels", LABELS, 400)["error"]
    assert foreign.read_text() == '{"mine": 1}'


def test_classes_are_those_of_the_labels(serving, labelled):
    from tessera_engine import open_embeddings
    from tessera_engine.view.classes import live_map
    from tessera_engine.view.label_document import LabelFile

    opened = open_embeddings(labelled)
    with serving(labelled) as (_, client):
        assert client.post("/api/classify", {"output": 0}, 400)["error"]  # there are no labels yet
        client.post("/api/labels", LABELS)
        found = client.post("/api/classify", {"output": 0})
        (about,) = client.get("/api/info")["outputs"]
        tile = client.whole("classes", about["levels"][0], np.uint8, 2, query=f"?v={found['version']}")
        assert client.ask("/api/tile/classes/0/0/0?v=999")[0] == 410
    expected = live_map(LabelFile.beside(labelled, opened.grid).load(), opened, opened)
    np.testing.assert_array_equal(tile, expected.classified)
    assert found["z"] == 0
    assert [each["pixels"] for each in found["classes"]] == [
        int((tile[..., 0] == number).sum()) for number in (1, 2)
    ]
    assert [each["ha"] for each in found["classes"]] == [each["pixels"] * 0.01 for each in found["classes"]]
    assert [each["id"] for each in found["classes"]] == ["c1", "c2"]
    assert (found["method"], found["enough"]) == ("mean", True)
    assert found["next"] == [place._asdict() for place in expected.next]


def test_classes_of_an_overview_are_refined(serving, labelled, monkeypatch):
    monkeypatch.setattr(levels, "BASE_BYTES", 1)
    monkeypatch.setattr(session, "UNASKED_BYTES", 0)
    with serving(labelled) as (_, client), client.listen() as listener:
        client.post("/api/labels", LABELS)
        first = client.post("/api/classify", {"output": 0})
        refined = listener.until("refined", "classify")["result"]
    assert first["z"] > 0
    assert refined["z"] == 0
    one, other = (sum(each["ha"] for each in found["classes"]) for found in (first, refined))
    assert one == pytest.approx(other, rel=0.1)


def test_exports_lie_beside_the_output_and_replace_nothing(serving, labelled, tmp_path):
    pytest.importorskip("pyogrio")
    (tmp_path / "a.labels.geojson").write_text("mine")
    (tmp_path / "a.similar").mkdir()
    with serving(labelled) as (_, client):
        client.post("/api/labels", LABELS)
        assert client.post("/api/export/labels", {"format": "geojson"}) == {"name": "a-2.labels.geojson"}
        assert client.post("/api/export/labels", {"format": "gpkg"}) == {"name": "a.labels.gpkg"}
        assert client.post("/api/export/labels", {"format": "../x"}, 400)["error"]
        version = client.post("/api/similar", {"positives": [[300, 200]]})["version"]
        asked = {"version": version, "threshold": 0.9}
        assert client.post("/api/export/similarity", asked) == {"name": "a-2.similar"}
        assert client.post("/api/export/similarity", asked | {"version": 999}, 404)["error"]
        assert client.post("/api/export/similarity", asked | {"threshold": 2}, 400)["error"]
        content = (tmp_path / "a-2.labels.geojson").read_bytes()
        status, _, answer = client.ask("/api/labels/import?name=x.geojson", "POST", content)
        assert (status, json.loads(answer)["added"]) == (200, 0)  # they are there already
        assert client.ask("/api/labels/import?name=x.exe", "POST", b"MZ")[0] == 400
    assert (tmp_path / "a.labels.geojson").read_text() == "mine"
    assert list((tmp_path / "a.similar").iterdir()) == []


def test_the_exported_similarity_is_the_commands(serving, labelled, tmp_path):
    import rasterio
    from made_up import CRS, ORIGIN
    from rasterio.warp import transform

    import tessera_engine as te

    x, y = ORIGIN @ (300.5, 200.5)
    (lon,), (lat,) = transform(CRS, "EPSG:4326", [x], [y])
    made = te.similar(labelled, (lon, lat), tmp_path / "s", progress=False)
    with serving(labelled) as (_, client):
        version = client.post("/api/similar", {"positives": [[300, 200]]})["version"]
        asked = {"version": version, "threshold": made.threshold}
        name = client.post("/api/export/similarity", asked)["name"]
    with (
        rasterio.open(tmp_path / name / "similarity.tif") as one,
        rasterio.open(tmp_path / "s" / "similarity.tif") as other,
    ):
        np.testing.assert_array_equal(one.read(), other.read())
    regions = [
        json.loads((folder / "regions.geojson").read_text())["features"]
        for folder in (tmp_path / name, tmp_path / "s")
    ]
    assert regions[0] == regions[1] != []


def test_accuracy_and_the_map_come_as_events(serving, labelled, tmp_path):
    pytest.importorskip("sklearn")
    with serving(labelled) as (_, client), client.listen() as listener:
        client.post("/api/labels", LABELS)
        assert client.post("/api/accuracy", {"output": 0}) == {}
        assert listener.until("done", "accuracy")["result"]["known"] is False
        assert client.post("/api/export/map", {"output": 0, "method": "nonsense"}) == {}
        assert "nonsense" in listener.until("failed", "map")["error"]
        assert not list(tmp_path.glob("*.map*"))
