"""Six simulated tiles in two UTM zones, by the command line: two and four workers write the bytes of one process."""

from __future__ import annotations

import pytest
from outputs import contents
from two_zones import write_six_simulated_tiles, write_two_zones

OPTIONS = ("--year", "2021", "--int8", "--format", "zarr", "--quiet", "--threads", "1")


@pytest.mark.slow
def test_two_and_four_workers_write_the_bytes_of_one_process(run, tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    zones = write_six_simulated_tiles(tmp_path / "tiles")
    assert run("embed", *zones, "-o", "one", *OPTIONS)[0] == 0
    for workers in (2, 4):
        assert run("embed", *zones, "-o", f"by{workers}", *OPTIONS, "--cluster", f"local:{workers}")[0] == 0
        for zone in ("zone31.embeddings", "zone32.embeddings"):
            assert contents(tmp_path / f"by{workers}" / zone) == contents(tmp_path / "one" / zone)


@pytest.mark.slow
def test_products_of_two_zones_on_one_grid_are_the_same_by_four_workers(run, tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    folder, like = write_two_zones(tmp_path / "zones", size=16, steps=6)
    options = ("--like", like, "--int8", "--format", "zarr", "--quiet", "--threads", "1")
    assert run("embed", folder, "-o", "one", *options)[0] == 0
    assert run("embed", folder, "-o", "many", *options, "--cluster", "local:4")[0] == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
