"""Mistakes with tables of embeddings: one line, and nothing is left."""

from __future__ import annotations

import geopandas
import pandas
import pytest
import shapely
from made_up import CRS
from sampled import at, write

import tessera_engine as te
from tessera_engine.analysis.sampling import rows
from tessera_engine.errors import InputError, TesseraError


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"out": "t.xlsx"}, ("t.xlsx", ".parquet, .csv, .gpkg")),
        ({"out": "no_ending"}, ("no_ending", ".parquet")),
        ({"shapes": "gone.csv"}, ("no such file", "gone.csv")),
        ({"shapes": "empty.csv"}, ("empty.csv",)),
        ({"shapes": "utm.csv"}, ("utm.csv has no CRS", "shapes_crs=")),
        ({"shapes": "swapped.csv"}, ("swapped",)),
        ({"shapes": "far.csv"}, ("no shape of far.csv", "x 10 to 10", "the scene at")),
        ({"shapes": "utm.csv", "shapes_crs": "EPSG:99999999"}, ("shapes_crs=EPSG:99999999",)),
        ({"sources": "nowhere"}, ("nowhere",)),
        ({"sources": []}, ("sources=",)),
        ({"pool": "average"}, ("pool=average", "mean, std, median")),
        ({"id": "plott"}, ("no column 'plott'", "did you mean 'plot'")),
        ({"id": "plot"}, ("several rows with the same value (a)", "id=plot")),
        ({"buffer": "wide"}, ("buffer=wide",)),
        ({"dim": 48}, ("dim=48",)),
        ({"year": 1999}, ("1999",)),
        ({"poool": "mean"}, ("did you mean 'pool'",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, output, monkeypatch, change, facts):
    monkeypatch.chdir(tmp_path)
    good = geopandas.GeoSeries([shapely.Point(at(20, 20))], crs=CRS).to_crs(4326)[0]
    tmp_path.joinpath("good.csv").write_text(f"plot,lon,lat\na,{good.x},{good.y}\na,{good.x},{good.y}\n")
    tmp_path.joinpath("empty.csv").write_text("")
    tmp_path.joinpath("utm.csv").write_text("x,y\n500200,5599800\n")
    tmp_path.joinpath("swapped.csv").write_text(f"lon,lat\n{good.y},{good.x}\n")
    tmp_path.joinpath("far.csv").write_text("lon,lat\n10,10\n")
    before = {entry.name for entry in tmp_path.iterdir()}
    given = {"sources": output, "shapes": "good.csv", "out": "t.csv"} | change
    with pytest.raises(InputError) as error:
        te.sample(given.pop("sources"), given.pop("shapes"), given.pop("out"), **given)
    for fact in facts:
        assert fact in str(error.value)
    assert "\n" not in str(error.value)
    assert {entry.name for entry in tmp_path.iterdir()} == before


def test_ids_that_repeat_are_said_and_kept(tmp_path, output):
    path = write(tmp_path / "p.gpkg", [shapely.Point(at(20, 20))] * 3, id=[7, 8, 7])
    made = te.sample(output, path, tmp_path / "t.csv")
    assert made.rows == 3
    assert any("(7)" in note and note.startswith("warning: ") for note in made.notes)


def test_an_existing_table_is_replaced_only_when_asked(tmp_path, output, points):
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"t\.csv exists already.*overwrite"):
        te.sample(output, points, out)
    assert out.read_text() == "mine"
    te.sample(output, points, out, overwrite=True)
    assert len(pandas.read_csv(out)) == 20
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        te.sample(output, points, tmp_path / "folder.csv", overwrite=True)


def test_a_table_that_can_not_be_written_leaves_nothing(tmp_path, output, points, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="can't write"):
        te.sample(output, points, file / "t.csv")

    def full(self):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(rows.Rows, "batches", full)
    for ending in ("csv", "gpkg", "parquet"):
        with pytest.raises((TesseraError, OSError)):
            te.sample(output, points, tmp_path / f"t.{ending}")
    assert {entry.name for entry in tmp_path.iterdir()} == {"points.gpkg", "file"}
