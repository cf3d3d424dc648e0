"""What a scene shows of itself at a prompt and in a notebook."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from html import escape

import pytest
import rasterio.crs
from made_up import FakeReader, made_up_arrays

from tessera_engine.scene import Scene


@pytest.fixture
def scene():
    return Scene("flanders-2018", "data/flanders-2018", FakeReader(made_up_arrays()))


def test_a_scene_shows_itself_on_one_screen(scene):
    scene.reader.period = (date(2018, 1, 3), date(2018, 12, 30))
    shown = repr(scene)
    dates = scene.reader.dates
    for fact in ("flanders-2018", "fake", "5 x 6", "EPSG:32631", "2018-01-03 to 2018-12-30"):
        assert fact in shown
    for name, days in (
        ("2", dates.s2),
        ("1 ascending", dates.s1_ascending),
        ("1 descending", dates.s1_descending),
    ):
        (line,) = [line for line in shown.splitlines() if f"Sentinel-{name}:" in line]
        assert f": {len(days)} dates, days of year {days[0]} to {days[-1]}" in line
    assert len(shown.splitlines()) <= 10
    assert max(map(len, shown.splitlines())) <= 80


def test_a_scene_without_dates_period_or_georeference(scene):
    arrays = made_up_arrays()
    arrays["sar_ascending_doy"] = arrays["sar_ascending_doy"][:0]
    arrays["doys"] = arrays["doys"][:1]
    reader = FakeReader(arrays)
    reader.grid = replace(reader.grid, crs=None)
    shown = repr(Scene("x", "x", reader))
    assert "no dates" in shown
    assert ": 1 date, " in shown
    assert "no georeference" in shown


def test_long_names_are_cut_to_the_width_of_a_screen(scene):
    wkt = rasterio.crs.CRS.from_epsg(3035).to_wkt().replace('ID["EPSG",3035]', "")
    scene.reader.grid = replace(scene.reader.grid, crs=wkt)
    shown = repr(Scene("x" * 200, "x", scene.reader))
    assert "ETRS89-extended / LAEA Europe" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_notebook_gets_the_same_as_a_table(scene):
    page = Scene("<b>&", "x", scene.reader)._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page
    for line in repr(scene).splitlines()[2:]:
        name, value = line.split(": ", 1)
        row = f'<th style="text-align: left">{name.strip()}</th><td style="text-align: left">{escape(value)}</td>'
        assert row in page
