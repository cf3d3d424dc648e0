"""Conversion: from any format to any other, nothing is computed again and nothing half written."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pystac
import pytest
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import CheckFailed, InputError, TesseraError
from tessera_engine.formats.registry import FORMATS
from tessera_engine.running.convert import convert
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_files, open_rasters

EMBEDDING = landscape(40, 30, 128)
LOSSLESS = [name for name, each in FORMATS.items() if not each.lossy]


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(LOSSLESS, 2)))
def test_every_format_becomes_every_other(tmp_path, before, after):
    first = open_embeddings(made_up_output(tmp_path / "cog", EMBEDDING, year=2018))
    if before != "cog":
        first = open_embeddings(convert(first, tmp_path / "before", before))
    second = open_embeddings(convert(first, tmp_path / "after", after))
    for one, other in zip(first.read_stored(), second.read_stored(), strict=True):
        np.testing.assert_array_equal(other, one)
    assert second.provenance == first.provenance
    window = second.grid.window
    np.testing.assert_array_equal(
        second.source.read_observations(window), first.source.read_observations(window)
    )
    item = pystac.Item.from_file(str(tmp_path / "after" / "item.json"))
    for asset in item.assets.values():
        assert (tmp_path / "after" / asset.href).exists()
    assert not (tmp_path / "after" / "staging").exists()


def test_floats_are_quantised_where_they_must_be(tmp_path):
    floats = open_embeddings(made_up_output(tmp_path / "f", EMBEDDING, stored_as="float32", year=2018))
    assert open_embeddings(convert(floats, tmp_path / "n", "npy")).stored_as == "float32"
    found = open_embeddings(convert(floats, tmp_path / "z", "zarr"))
    assert (found.stored_as, found.provenance["store"]) == ("int8", "int8")
    step = np.abs(EMBEDDING).max(axis=2, keepdims=True) / 254
    valid = np.isfinite(EMBEDDING[..., 0])
    assert (np.abs(found.read() - EMBEDDING) <= 1.001 * step)[valid].all()
    assert np.isnan(found.read()[~valid]).all()


def test_a_prefix_can_be_kept(tmp_path):
    whole = made_up_output(tmp_path / "a", EMBEDDING)
    short = open_embeddings(convert(open_embeddings(whole, 16), tmp_path / "b", "npy"))
    assert (short.dim, short.provenance["dim"]) == (16, 16)
    np.testing.assert_array_equal(short.read(), open_embeddings(whole).read()[..., :16])


def test_another_year_is_refused(tmp_path):
    cog = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING, year=2018))
    with pytest.raises(InputError, match=r"is of 2018.*year=2019"):
        convert(cog, tmp_path / "b", "zarr", year=2019)


def test_overwrite_replaces_outputs_and_nothing_else(tmp_path):
    cog = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING))
    (tmp_path / "b").mkdir()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not an output"):
            convert(cog, tmp_path / "b", "npy", overwrite=overwrite)
    convert(cog, tmp_path / "c", "npy")
    convert(cog, tmp_path / "c", "cog", overwrite=True)
    assert (tmp_path / "c" / "embeddings.tif").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_failing_conversion_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise TesseraError("the disk is on fire")

    cog = open_embeddings(made_up_output(tmp_path / "a", EMBEDDING))
    monkeypatch.setattr("tessera_engine.running.convert.write_quicklook", fail)
    with pytest.raises(TesseraError, match="on fire"):
        convert(cog, tmp_path / "b", "npy")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert json.loads((tmp_path / "a" / "item.json").read_text())


@pytest.mark.parametrize("format", ["zarr", "geotessera"])
def test_what_is_a_folder_is_verified_by_its_files(tmp_path, format):
    out = convert(
        open_embeddings(made_up_output(tmp_path / "a", EMBEDDING, year=2018)), tmp_path / "b", format
    )
    item = read_item(out)
    check_files(out, item)
    assert open_rasters(out, item).keys() == set()
    file = next(path for path in (out / item.assets["embeddings"].href).rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(CheckFailed, match="is changed"):
        check_files(out, item)
