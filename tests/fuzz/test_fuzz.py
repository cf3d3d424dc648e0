"""A short run of the fuzzing that `run.py` does at length, and everything that ever broke something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

SECONDS = 0.3
"""For each parser, besides its valid inputs and what once broke it, which are always tried."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The lines of the table by parser, and what broke. In another process, because this one has threads."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run.py")), "--seconds", str(SECONDS), "--keep", "no"],
        cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=600,
    )  # fmt: skip
    header, *lines = done.stdout.splitlines()
    assert header.startswith("parser"), done.stderr
    return {line.split()[0]: line.split()[1:] for line in lines}, done.stderr


PARSERS = (
    "item", "palette", "journal", "raster", "zarr-store", "vq-store", "tree", "tree-names", "geojson", "gpkg", "csv", "shapefile", "label-raster", "class-names",
    "netcdf", "zarr", "zarr-chunk", "stac", "safe", "zip", "names", "npy", "doys", "roi", "tile", "model", "classifier", "head",
    "checkpoint",
)  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_inputs_are_refused_in_one_line_or_harmless(table, name):
    lines, broke = table
    inputs, accepted, refused, *broken, _ = map(int, lines[name])
    assert not any(broken), broke
    assert accepted + refused == inputs > 0


def test_every_parser_is_tried(table):
    assert sorted(table[0]) == sorted(PARSERS)
