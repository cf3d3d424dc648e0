"""What `info SCENE` tells, to people and to programs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_up import CRS, made_up_arrays, write_tile

from tessera_engine.cli.pages.info import describe_scene
from tessera_engine.cli.pages.scene import COLUMNS, print_scene
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = tmp_path_factory.mktemp("info") / "scene"
    simulate(folder, (40, 30), 4)
    bands = np.load(folder / "bands.npy")
    np.save(folder / "bands.npy", bands + np.uint16(1000))
    return describe_scene(open_scene(folder))


def test_a_program_reads_all_of_it(described):
    told = json.loads(json.dumps(described))
    assert (told["width"], told["height"], told["crs"]) == (40, 30, CRS)
    west, south, east, north = told["footprint"]
    assert 4 < west < east < 6
    assert 50 < south < north < 52
    assert told["s2_dates"] == len(told["valid_share"]["s2"]) == 70
    assert told["sampled_pixels"] == 1200
    assert [finding["name"] for finding in told["findings"]] == ["s2-offset"]
    assert set(told["plausible_share"]) >= {"S2 B04", "S1 ascending VV", "S1 descending VH"}
    expected = told["expected"]
    assert expected["pixels"] == 1200
    assert expected["seconds"] == pytest.approx(1200 / expected["pixels_per_second"])
    assert 0 < expected["measured_pixels"] <= 1200
    assert 2e8 < expected["memory"] < 4e9


def test_people_read_it_in_80_columns(described, capsys):
    print_scene(described)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= COLUMNS
    assert out.isascii()  # no terminal: plain
    strips = {
        line[:8].strip(): line[8:]
        for line in out.splitlines()
        if line[:8].strip() in ("S2", "S1 asc", "S1 desc")
    }
    assert len(strips) == 3
    assert set(strips["S2"]) <= set(" 012345678")
    assert "s2-offset (certain)" in out
    assert "timed on" in out


def test_a_file_of_an_output_names_its_folder(run, tmp_path):
    simulate(tmp_path / "scene", 16, 3)
    assert run("embed", "scene", "-q", "-o", "made")[0] == 0
    code, _, err = run("info", "made/embeddings.tif")
    assert (code, "made/embeddings.tif" in err, err.rstrip().endswith(": made")) == (2, True, True)


def test_a_scene_without_place_radar_or_clear_sky(tmp_path, capsys):
    arrays = made_up_arrays()
    arrays["masks"][:] = 0
    for orbit in ("ascending", "descending"):
        del arrays[f"sar_{orbit}"], arrays[f"sar_{orbit}_doy"]
    described = describe_scene(open_scene(write_tile(tmp_path / "scene", arrays, transform=None)))
    assert described["footprint"] is described["expected"] is None
    assert described["plausible_share"] == {}
    assert [f["name"] for f in described["findings"]] == ["reader", "s1-missing", "mask-empty"]
    print_scene(described)
    out = capsys.readouterr().out
    assert "S1 asc  no dates" in out
    assert "roi.tiff is missing" in out
