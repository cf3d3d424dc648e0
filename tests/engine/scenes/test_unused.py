"""Everything in a scene folder that became no product is named once, with its reason, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from made_up import made_up_arrays, write_tile
from mosaic_files import day_of
from product_files import product_arrays, safe_name, write_opera, write_raster, write_safe, zip_up

from tessera_engine.errors import InputError
from tessera_engine.scenes import open_scene

ARRAYS = product_arrays(4, 6, steps=3)
DAY = day_of(ARRAYS["doys"][0])
L1C = "S2A_MSIL1C_20210101T105031_N0214_R051_T31UES_20210101T130000"


@pytest.fixture
def farm(tmp_path):
    folder = tmp_path / "farm"
    write_safe(folder / "s2", ARRAYS, pixels="tif")
    write_opera(folder / "s1", ARRAYS)
    return folder


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def folder_with(path, *names):
    for name in names:
        touch(path / name)
    return path


def a_zip(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def named_zip(path, *names):
    return a_zip(path, **dict.fromkeys(names, "x"))


def a_tar(path, mode):
    with tarfile.open(path, mode):
        return path


def empty(path):
    path.mkdir(parents=True)
    return path


LOST = {
    "part": (lambda f: touch(f / "x.zip.part"), "unfinished"),
    "incomplete": (lambda f: touch(f / f"{safe_name(DAY)}.zip.incomplete"), "unfinished"),
    "crdownload": (lambda f: touch(f / "Unconfirmed 12.crdownload"), "unfinished"),
    "empty SAFE": (lambda f: empty(f / f"{safe_name(DAY)}.SAFE"), "empty folder"),
    "SAFE with empty folders": (lambda f: empty(f / f"{safe_name(DAY)}.SAFE/GRANULE").parent, "empty folder"),
    "L1C folder": (lambda f: folder_with(f / f"{L1C}.SAFE", "MTD_MSIL1C.xml"), "Level-1C"),
    "L1C folder without SAFE": (lambda f: folder_with(f / L1C, "MTD_MSIL1C.xml"), "Level-1C"),
    "L1C zip": (lambda f: named_zip(f / f"{L1C}.zip", f"{L1C}.SAFE/MTD_MSIL1C.xml"), "Level-1C"),
    "L1C zip without SAFE": (lambda f: named_zip(f / "a.zip", f"{L1C}/MTD_MSIL1C.xml"), "Level-1C"),
    "L1C image": (lambda f: touch(f / "T31UES_20210101T105031_B04.jp2"), "single image"),
    "GRD": (lambda f: folder_with(f / "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6001.SAFE", "manifest.safe"), "GRD"),
    "SLC zip": (lambda f: touch(f / "S1A_IW_SLC__1SDV_20210809T173953_20210809T174020_039156_049F13_6001.zip"), "SLC"),
    "Sentinel-3": (lambda f: folder_with(f / "S3A_OL_2_LFR____20210101T000000.SEN3", "x.nc.txt"), "Sentinel-3"),
    "Landsat": (lambda f: folder_with(f / "LC08_L2SP_199024_20210101_02_T1", "LC08_SR_B4.TIF", "LC08_SR_B5.TIF"), "Landsat"),
    "HLS": (lambda f: touch(f / "HLS.S30.T31UES.2021001T105031.v2.0.B04.tif"), "HLS"),
    "PlanetScope": (lambda f: touch(f / "20210101_101010_0f12_3B_AnalyticMS_SR.tif"), "PlanetScope"),
    "MAJA": (lambda f: folder_with(f / "SENTINEL2A_20210101-105420-123_L2A_T31UES_C_V2-2", "x_FRE_B4.tif"), "MAJA"),
    "MAJA zip": (lambda f: named_zip(f / "SENTINEL2A_20210101-105420-123_L2A_T31UES_C_V2-2.zip", "x_SRE_B4.tif"), "MAJA"),
    "zip of zips": (lambda f: named_zip(f / "all.zip", "a.zip", "b.zip"), "a.zip and 1 more"),
    "empty zip": (lambda f: a_zip(f / "e.zip"), "empty zip"),
    "zip of rasters": (lambda f: named_zip(f / "r.zip", "a/b.tif"), "without a product"),
    "tar": (lambda f: a_tar(f / f"{safe_name(DAY)}.SAFE.tar", "w"), "unpack"),
    "tar.gz": (lambda f: a_tar(f / f"{safe_name(DAY)}.tar.gz", "w:gz"), "unpack"),
    "0 bytes": (lambda f: touch(f / "B04.jp2", b""), "0 bytes"),
    "raster of a date": (lambda f: touch(f / "S2_2021-05-01_B04.tif"), "no product"),
    "part of a zip": (lambda f: touch(f / f"{safe_name(DAY)}.z01"), "neither metadata nor images"),
    "zip that GDAL can't read": (lambda f: a_zip(f / f"{safe_name(DAY)}.zip", zipfile.ZIP_LZMA, **{f"{safe_name(DAY)}.SAFE/B04.jp2": "x"}), "with lzma, expected deflate"),
    "file named SAFE": (lambda f: touch(f / f"{safe_name(DAY)}.SAFE"), "neither metadata nor images"),
    "broken link": (lambda f: link(f / "a.tif", "nothing"), "doesn't exist"),
    "HDF": (lambda f: touch(f / "a.h5"), "neither NetCDF nor HDF5"),
}  # fmt: skip


def link(path, target):
    path.symlink_to(target)
    return path


HARMLESS = {
    "text": lambda f: touch(f / "notes.txt"),
    "labels": lambda f: write_raster(f / "labels.tif", np.ones((4, 6), np.uint8)),
    "fields": lambda f: touch(f / "fields.geojson", b'{"type": "FeatureCollection", "features": []}'),
    "shapefile": lambda f: touch(f / "fields.shp"),
    "empty folder": lambda f: empty(f / "new folder"),
    "zip of texts": lambda f: named_zip(f / "docs.zip", "a.txt"),
}


@pytest.mark.parametrize("what", LOST)
def test_what_may_be_observations_is_a_warning(farm, what):
    make, reason = LOST[what]
    path = make(farm)
    reader = open_scene(farm).reader
    (problem,) = reader.unused
    assert problem.source == path
    assert reason in problem.reason
    assert problem.lost
    assert "\n" not in problem.reason
    assert any(str(path) in warning for warning in reader.warnings)
    assert len(reader.dates.s2) == 3


@pytest.mark.parametrize("what", HARMLESS)
def test_what_can_not_be_observations_is_no_warning(farm, what):
    path = HARMLESS[what](farm)
    reader = open_scene(farm).reader
    (problem,) = reader.unused
    assert problem.source == path
    assert not problem.lost
    assert not reader.warnings


def test_sidecars_and_files_of_systems_are_not_named(farm):
    (safe, *_) = sorted((farm / "s2").glob("*.SAFE"))
    tif = next((farm / "s1").glob("*_VV.tif"))
    for path in (safe / "rep_info/x.xsd", safe / "own.txt", farm / f"s2/{safe.name}.md5", farm / f"s2/{safe.stem}-ql.jpg",
                 tif.with_name(f"{tif.name}.aux.xml"), tif.with_name(f"{tif.stem}_BROWSE.png"), farm / ".DS_Store",
                 farm / "Thumbs.db", farm / "__MACOSX/._x", farm / "@eaDir/x.jpg", farm / "s2/._a.SAFE"):  # fmt: skip
        touch(path)
    assert open_scene(farm).reader.unused == ()


def test_outputs_of_ours_are_not_named(farm, run, tmp_path):
    run("embed", farm, "-o", farm / "out", "-q")
    assert (farm / "out" / "item.json").exists()
    assert open_scene(farm).reader.unused == ()


def test_a_thousand_files_are_a_bounded_list(farm, run):
    for n in range(1000):
        touch(farm / f"{n}.zip.part")
    code, out, _ = run("info", farm, "--json")
    assert code == 0
    shown = json.loads(out)
    assert len(shown["unused"]) == 1000
    assert {each["reason"] for each in shown["unused"]} == {"is an unfinished download; download it again"}
    lines = [finding["found"] for finding in shown["findings"] if "not used" in finding["found"]]
    assert len(lines) == 21
    assert "1,000" in lines[-1]
    assert "980 more" in lines[-1]


def test_embed_lists_both_kinds(farm, run):
    note, part = touch(farm / "notes.txt"), touch(farm / "a.zip.part")
    code, out, err = run("embed", farm, "--json", "-o", "one")
    assert code == 0
    done = json.loads(out)
    assert {each["path"] for each in done["unused"]} == {str(note), str(part)}
    assert str(note) not in json.dumps(done["findings"])
    assert str(part) in json.dumps(done["findings"])
    assert str(note) in err
    assert str(part) in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_can_not_be_opened_is_named(farm):
    path = touch(farm / "closed.zip")
    path.chmod(0)
    (problem,) = open_scene(farm).reader.unused
    assert "Permission" in problem.reason


def test_a_folder_of_other_products_alone_says_what_they_are(tmp_path):
    folder_with(tmp_path / "LC08_L2SP_199024_20210101_02_T1", "B4.TIF")
    with pytest.raises(InputError, match=r"LC08_L2SP.* is Landsat"):
        open_scene(tmp_path)


def test_products_beside_a_tile_are_named(tmp_path):
    tile = write_tile(tmp_path / "tile", made_up_arrays())
    (safe, *_) = write_safe(tile, ARRAYS, pixels="tif")
    reader = open_scene(tile).reader
    assert {problem.source.suffix for problem in reader.unused if problem.lost} == {".SAFE"}
    assert any(str(safe) in warning for warning in reader.warnings)


# Zips as people make them


def rezip(path, change):
    """Write a zip again, with the names of its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            for new, data in change(name, content):
                info = zipfile.ZipInfo("x")
                info.filename = new
                archive.writestr(info, data)
    return path


def move(path, folder):
    (path.parent / folder).mkdir(exist_ok=True)
    return path.rename(path.parent / folder / path.name)


ZIPS = {
    "backslashes": lambda path: rezip(path, lambda n, c: [(n.replace("/", "\\"), c)]),
    "macOS": lambda path: rezip(path, lambda n, c: [(f"a/{n}", c), ("__MACOSX/a/" + n.rsplit("/", 1)[0] + "/._" + n.rsplit("/", 1)[1], b"\0\5\x16\7")]),
    "hidden files": lambda path: rezip(path, lambda n, c: [(n, c), (n.rsplit("/", 1)[0] + "/.DS_Store", b"x")]),
    "named SAFE": lambda path: path.rename(path.with_suffix(".SAFE")),
    "no suffix": lambda path: path.rename(path.with_suffix("")),
    "no SAFE inside": lambda path: rezip(path, lambda n, c: [(n.replace(".SAFE", ""), c)]),
    "no SAFE and no XML inside": lambda path: rezip(path, lambda n, c: [] if n.endswith(".xml") else [(n.replace(".SAFE", ""), c)]),
    "dot first": lambda path: rezip(path, lambda n, c: [(f"./{n}", c)]),
    "downloaded again": lambda path: path.rename(f"{path}.1"),
    "downloaded twice": lambda path: path.rename(f"{path} (1)"),
    "suffix cut off": lambda path: path.rename(path.with_suffix(".zi")),
    "an odd brace in its path": lambda path: move(path, "a} {b}"),
    "no folder inside": lambda path: rezip(path, lambda n, c: [(n.split("/", 1)[1], c)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ZIPS)
def test_zips_of_every_kind_read_the_same(tmp_path, kind):
    write_safe(tmp_path / "plain", ARRAYS, pixels="tif")
    shutil.copytree(tmp_path / "plain", tmp_path / "zipped")
    for root in list((tmp_path / "zipped").iterdir()):
        ZIPS[kind](zip_up(root))
    plain, zipped = open_scene(tmp_path / "plain"), open_scene(tmp_path / "zipped")
    assert zipped.reader.unused == ()
    wanted, found = (each.reader.read(each.grid.window) for each in (plain, zipped))
    for name in vars(wanted).keys() - {"days"}:
        value = getattr(wanted, name)
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
