"""Checksums cover everything that a result depends on."""

from __future__ import annotations

import hashlib

import pytest

from tessera_engine.files.checksums import file_sha256, path_sha256


@pytest.mark.parametrize("suffix", [".shp", ".dbf", ".prj", ".shx", ".cpg"])
def test_the_sum_of_a_shapefile_covers_all_its_files(tmp_path, suffix):
    for each in (".shp", ".dbf", ".prj", ".shx", ".cpg"):
        (tmp_path / f"fields{each}").write_text(each)
    before = path_sha256(tmp_path / "fields.shp")
    (tmp_path / "fields.qml").write_text("a style")
    (tmp_path / "others.dbf").write_text("of another one")
    assert path_sha256(tmp_path / "fields.shp") == before
    (tmp_path / f"fields{suffix}").write_text("changed")
    assert path_sha256(tmp_path / "fields.shp") != before


def test_the_sum_of_one_file_is_its_sha256(tmp_path):
    (tmp_path / "fields.gpkg").write_bytes(b"x")
    (tmp_path / "fields.dbf").write_bytes(b"y")
    assert path_sha256(tmp_path / "fields.gpkg") == hashlib.sha256(b"x").hexdigest()
    assert file_sha256(tmp_path / "fields.dbf") == hashlib.sha256(b"y").hexdigest()
