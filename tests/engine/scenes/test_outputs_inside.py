"""An output in a scene's folder is no part of the scene."""

from __future__ import annotations

import pytest
from cube_files import s2_variables, write_netcdf
from made_up import made_up_arrays, write_tile
from mosaic_files import write_mosaics
from outputs import made_up_output
from product_files import write_safe
from staged import landscape

from tessera_engine.files.output import PartialOutput
from tessera_engine.scenes import open_scene

ARRAYS = made_up_arrays(steps=2)

SCENES = {
    "tile": lambda folder: write_tile(folder, ARRAYS),
    "tiles": lambda folder: write_tile(folder / "a", ARRAYS),
    "mosaics": lambda folder: write_mosaics(folder, made_up_arrays(steps=1)),
    "safe": lambda folder: write_safe(folder, made_up_arrays(steps=1), pixels="tif"),
    "cube": lambda folder: write_netcdf(folder / "cube.nc", s2_variables(ARRAYS), ARRAYS["doys"]),
}


@pytest.mark.parametrize("layout", SCENES)
@pytest.mark.parametrize("format", ["cog", "npy"])
def test_outputs_and_unfinished_runs_are_left_out(tmp_path, layout, format):
    folder = tmp_path / "scene"
    SCENES[layout](folder)
    before = open_scene(folder)
    (folder / "out").mkdir()
    made_up_output(folder / "out", landscape(12, 12, 16), format, "int8", year=2023)
    place = PartialOutput(folder / "other")
    made_up_output(place.make_output(), landscape(12, 12, 16), format, "int8", year=2023)
    place.close(keep=True)
    after = open_scene(folder)
    assert after.reader.fingerprint() == before.reader.fingerprint()
    assert (after.grid, after.reader.dates) == (before.grid, before.reader.dates)
    assert after.reader.unused == before.reader.unused
