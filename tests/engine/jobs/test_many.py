"""Many scenes: the table is checked first, one bad scene stops no other, and the same call does only what is left."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from made_up import made_up_arrays, write_tile

import tessera_engine as te
from tessera_engine.errors import InputError
from tessera_engine.files.output import PartialOutput
from tessera_engine.files.record import Record
from tessera_engine.jobs import many
from tessera_engine.jobs.table import columns, read_jobs


@pytest.fixture
def scenes(tmp_path):
    for n, name in enumerate("abc"):
        write_tile(tmp_path / name, made_up_arrays(seed=n))
    (tmp_path / "b" / "masks.npy").unlink()
    return tmp_path


def table(folder, text, name="jobs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def states(results):
    return [result.state for result in results]


def killed_at_its_end(out):
    """Leave what a process leaves that was killed after its output had its name."""
    place = PartialOutput(out)
    Record(place.folder).write({"made": "up"}, {}, out)
    place.close(keep=True)
    assert place.folder.is_dir()


def test_one_bad_scene_stops_no_other_and_the_same_call_does_what_is_left(scenes, monkeypatch):
    loaded = []
    load = many.loading.load_model

    def counted(*arguments, **options):
        loaded.append(arguments)
        return load(*arguments, **options)

    monkeypatch.setattr(many.loading, "load_model", counted)
    jobs = table(scenes, "scene,year,out\na,2023,\nb,,\nc,2024,third\nnowhere,,\n")
    told = []

    def run():
        return te.embed_many(jobs, scenes / "out", precision="int8", progress=False, announce=told.append)

    first = run()
    assert states(first) == ["done", "failed", "done", "failed"]
    assert "masks.npy" in first[1].error
    assert "nowhere" in first[3].error
    assert len(loaded) == 1
    assert te.open_embeddings(scenes / "out" / "a.embeddings").provenance["year"] == 2023
    assert te.open_embeddings(scenes / "out" / "third").provenance["year"] == 2024
    np.save(scenes / "b" / "masks.npy", made_up_arrays(seed=1)["masks"])
    shutil.rmtree(scenes / "out" / "third")
    killed_at_its_end(scenes / "out" / "a.embeddings")
    before = (scenes / "out" / "a.embeddings" / "item.json").stat().st_mtime_ns
    again = run()
    assert states(again) == ["finished before", "done", "done", "failed"]
    assert (scenes / "out" / "a.embeddings" / "item.json").stat().st_mtime_ns == before
    assert len(loaded) == 2
    assert sum("a.embeddings is finished already" in line for line in told) == 1
    assert sorted(path.name for path in (scenes / "out").iterdir()) == [
        "a.embeddings",
        "b.embeddings",
        "third",
    ]


def test_an_interrupted_scene_is_resumed(scenes, monkeypatch):
    read = te.open_scene(scenes / "c").reader.__class__.read
    begun = []

    def cut(self, window):
        if self.folder.name == "c":
            begun.append(window)
            raise KeyboardInterrupt
        return read(self, window)

    monkeypatch.setattr(te.open_scene(scenes / "c").reader.__class__, "read", cut)
    chosen = [{"scene": scenes / "a"}, {"scene": scenes / "c"}]
    with pytest.raises(KeyboardInterrupt):
        te.embed_many(chosen, scenes / "out", progress=False, announce=lambda line: None)
    assert begun
    monkeypatch.undo()
    results = te.embed_many(chosen, scenes / "out", progress=False, announce=lambda line: None)
    assert states(results) == ["finished before", "done"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scene,yaer\na,2024\n", "yaer.*did you mean 'year'"),
        ("scene,zzzz\na,1\n", "zzzz.*scene, out, int8"),
        ("folder,year\na,2024\n", "'folder'"),
        ("year\n2024\n", "no column 'scene'"),
        ("scene\n", "no rows"),
        ("", "no column 'scene'"),
        ("scene,year,Year\na,1,2\n", "'Year' twice"),
        ("scene,year\na,2024\nc,next\n", "row 2.*year='next'"),
        ("scene,dim\na,17.5\n", "row 1.*dim='17.5'"),
        ("scene,strict\na,maybe\n", "row 1.*strict='maybe'"),
        ("scene,from,to\na,2024-01-01,tomorrow\n", "row 1.*end='tomorrow'.*2024-03-31"),
        ("scene,season\na,2024-13:2024-14\n", "row 1.*season='2024-13:2024-14'"),
        ("scene,format\na,tiff\n", "row 1.*format=tiff"),
        ("scene,window\na,1 2 3\n", "row 1.*window="),
        ("scene,every\na,sometimes\n", "row 1.*every=sometimes"),
        ("scene,model\na,nothing\n", "nothing"),
        ("scene,int8,precision\na,yes,fp32\n", "row 1.*precision=fp32"),
        ("scene,append\na,yes\n", "row 1.*append=True"),
        ("scene,year\n,2024\n", "row 1.*scene="),
        ("scene,year\na,2024,2025\n", "row 1 .*3 cells, expected 2"),
        ("scene\na\n./a\n", "row 1 and row 2 both write"),
        ("scene,out\na,x\nc,y/../x\n", "row 1 and row 2 both write"),
        ("scene,out\na,Field\nb,x\nc,field\n", "row 1 and row 3 write .*Field and .*field,.*Windows"),
    ],
)
def test_a_wrong_table_is_refused_before_anything_runs(scenes, text, words):
    path = table(scenes, text)
    with pytest.raises(InputError, match=words):
        te.embed_many(path, scenes / "out", progress=False)
    assert not (scenes / "out").exists()


def test_a_file_that_is_no_table(scenes):
    for path, words in ((scenes / "none.csv", "does not exist"), (scenes, "is a folder")):
        with pytest.raises(InputError, match=words):
            te.embed_many(path, progress=False)
    (scenes / "x.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=r"x\.parquet"):
        te.embed_many(scenes / "x.parquet", progress=False)


def test_values_of_csv_and_parquet_are_the_same(scenes, monkeypatch):
    text = (
        "Scene;Year;from;to;window;bbox;int8;min-clear;store;memory\n"
        "a;2024;2024-03-01;2024-06-30;0 1 2 3;;yes;6;float32;2GB\nc;;;;;4,50,5,51;no;;;\n"
    )
    csv = read_jobs(table(scenes, text), scenes / "out", {"threads": 1, "strict": None})
    rows = {
        "scene": ["a", "c"], "year": [2024.0, float("nan")], "from": [date(2024, 3, 1), None],
        "to": [date(2024, 6, 30), None], "window": [[0, 1, 2, 3], None], "bbox": [None, [4.0, 50.0, 5.0, 51.0]],
        "int8": [True, False], "min_clear": [6, None], "store": ["float32", None], "memory": ["2GB", None],
    }  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(rows), scenes / "jobs.parquet")
    assert read_jobs(scenes / "jobs.parquet", scenes / "out", {"threads": 1}) == csv
    if sys.platform != "win32":
        monkeypatch.chdir(scenes)
        plain = read_jobs(Path("jobs.parquet"), scenes / "out", {"threads": 1})
        Path("jobs.parquet").rename("http:jobs.parquet")
        assert read_jobs(Path("http:jobs.parquet"), scenes / "out", {"threads": 1}) == plain
    first, second = csv
    assert first.opening == {"year": 2024, "start": date(2024, 3, 1), "end": date(2024, 6, 30)}
    assert first.loading == {"precision": "int8", "threads": 1}
    assert first.options == {
        "window": (0, 1, 2, 3), "min_clear": 6, "stored_as": "float32", "memory": "2GB"
    }  # fmt: skip
    assert (second.opening, second.loading) == ({}, {"threads": 1})
    assert second.options == {"bbox": (4.0, 50.0, 5.0, 51.0)}
    assert [job.out for job in csv] == [scenes / "out" / "a.embeddings", scenes / "out" / "c.embeddings"]


def test_every_option_of_embed_is_a_column():
    from typer.main import get_command

    from tessera_engine.cli import app

    (embed,) = [command for name, command in get_command(app).commands.items() if name == "embed"]
    mine = {"scenes", "jobs", "cluster", "quiet", "json"}
    options = {parameter.name for parameter in embed.params} - mine
    assert options <= {*columns(), "no_truecolour"}


def test_another_output_at_that_place_is_an_error_of_that_scene(scenes):
    te.embed_many([scenes / "a"], scenes / "out", precision="int8", progress=False, announce=print)
    (other,) = te.embed_many([scenes / "a"], scenes / "out", precision="fp32", progress=False, announce=print)
    assert other.state == "failed"
    assert "precision" in other.error
    (other,) = te.embed_many(
        [scenes / "a"], scenes / "out", year=2024, precision="int8", progress=False, announce=print
    )
    assert "year" in other.error
    (again,) = te.embed_many(
        [scenes / "a"], scenes / "out", precision="fp32", overwrite=True, progress=False, announce=print
    )
    assert again.state == "done"


def test_each_row_has_its_own_shapes(scenes):
    grid = te.open_scene(scenes / "a").grid
    for name, corner in (("west", (0, 0)), ("east", (4, 3))):
        lon, lat = pixel_centre(grid, *corner)
        table(scenes, f"lon,lat\n{lon},{lat}\n", f"{name}.csv")
    jobs = table(scenes, "scene,points,out\na,west.csv,west\nc,east.csv,east\n")

    def run(jobs):
        return te.embed_many(jobs, scenes / "out", precision="int8", progress=False, announce=print)

    assert states(run(jobs)) == ["done", "done"]
    assert te.open_embeddings(scenes / "out" / "west").grid.window.pixels == 1
    assert states(run(jobs)) == ["finished before"] * 2
    (other,) = run(table(scenes, "scene,points,out\na,east.csv,west\n", "other.csv"))
    assert other.state == "failed"
    assert "selection" in other.error


def pixel_centre(grid, col, row):
    from rasterio.warp import transform

    x, y = grid.transform @ (col + 0.5, row + 0.5)
    (lon,), (lat,) = transform(grid.crs, "EPSG:4326", [x], [y])
    return lon, lat


def test_lists_are_checked_too(scenes):
    for jobs, options, words in (
        ([], {}, "no scenes"),
        ([{"scene": scenes / "a", "yaer": 1}], {}, "job 1.*yaer"),
        ([scenes / "a"], {"colour": 1}, "'colour'"),
        ([scenes / "a", scenes / "a"], {}, "job 1 and job 2"),
    ):
        with pytest.raises(InputError, match=words):
            te.embed_many(jobs, scenes / "out", progress=False, **options)


class TestCommandLine:
    def run(self, capsys, *words):
        import sys
        from unittest.mock import patch

        from tessera_engine.cli.app import main

        with (
            patch.object(sys, "argv", ["tessera-engine", "embed", *map(str, words)]),
            pytest.raises(SystemExit) as end,
        ):
            main()
        return end.value.code or 0, *capsys.readouterr()

    def test_exit_codes_and_the_table(self, scenes, capsys):
        code, out, err = self.run(
            capsys, scenes / "a", scenes / "b", scenes / "c", "-o", scenes / "out", "--int8", "-q"
        )
        assert code == 1
        assert "masks.npy" in err
        assert [out.count(word) for word in ("done", "failed")] == [2, 1]
        code, out, err = self.run(
            capsys, scenes / "a", scenes / "c", "-o", scenes / "out", "--int8", "--json", "-q"
        )
        assert code == 0
        found = json.loads(out)
        assert (found["finished_before"], found["done"], found["failed"]) == (2, 0, 0)
        assert [each["scene"] for each in found["scenes"]] == ["a", "c"]
        path = table(scenes, "scene,yaer\na,1\n")
        assert self.run(capsys, "--jobs", path)[0] == 2
        assert self.run(capsys, scenes / "a", "--jobs", path)[0] == 2

    def test_a_message_names_options(self, scenes, capsys):
        self.run(capsys, scenes / "a", scenes / "c", "-o", scenes / "out", "--int8", "-q")
        code, out, _ = self.run(capsys, scenes / "a", scenes / "c", "-o", scenes / "out", "-q", "--json")
        assert code == 1
        assert "--overwrite" in json.loads(out)["scenes"][0]["error"]
