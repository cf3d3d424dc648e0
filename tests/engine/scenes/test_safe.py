"""Sentinel-2 SAFE products: found with their dates and offsets, and each bad one named once."""

from __future__ import annotations

import re
import shutil
import zipfile
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mosaic_files import day_of
from product_files import (
    METADATA,
    needs_metadata,
    product_arrays,
    safe_metadata,
    safe_name,
    write_raster,
    write_safe,
    zip_up,
)

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.search import find_products

ARRAYS = product_arrays(4, 6, steps=2)
DAYS = [day_of(doy) for doy in ARRAYS["doys"]]


def find(folder):
    return find_products(list_folder(folder), "safe")[1]


def reasons(folder):
    return {problem.source.name: problem.reason for problem in find(folder).problems}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("offset", [0, 1000])
def test_products_are_found(tmp_path, zipped, offset):
    paths = write_safe(tmp_path / "below", ARRAYS, offset=offset, zipped=zipped, pixels="tif")
    found = find(tmp_path)
    assert not found.problems
    assert not found.warnings
    assert not found.s1
    for product, path, when in zip(found.s2, paths, DAYS, strict=True):
        assert product.name == safe_name(when, "0500" if offset else "0214")
        assert (product.source, product.date) == (path, when)
        assert (product.offset, product.offset_known) == (offset, True)
        assert set(product.bands) == set(S2_BANDS)
        assert "R10m" in product.bands["B08"].path
        assert "R20m" in product.bands["B8A"].path


@pytest.mark.parametrize("suffix", [".JP2", ".TIF"])
def test_suffixes_in_capitals_are_read(tmp_path, suffix):
    root, *_ = write_safe(tmp_path, ARRAYS, pixels=suffix[1:].lower())
    for path in list(root.rglob(f"*{suffix.lower()}")):
        path.rename(path.with_suffix(suffix))
    found = find(tmp_path)
    assert not found.problems
    assert len(found.s2) == len(DAYS)


def test_the_scene_may_be_the_product_itself(tmp_path):
    path = write_safe(tmp_path, ARRAYS)[0]
    assert [product.name for product in find(path).s2] == [safe_name(DAYS[0], "0214")]


@needs_metadata
@pytest.mark.parametrize("offset", [0, 1000])
def test_real_metadata_are_read(tmp_path, offset):
    write_safe(tmp_path, ARRAYS, offset=offset, real=True, pixels="tif")
    found = find(tmp_path)
    assert [(p.date, p.offset, p.offset_known) for p in found.s2] == [(when, offset, True) for when in DAYS]


@needs_metadata
def test_a_real_product_without_pixels_is_a_problem(tmp_path):
    for root in METADATA.rglob("*.SAFE"):
        shutil.copytree(root, tmp_path / root.name)
    found = find(tmp_path)
    assert not found.s2
    assert len(found.problems) == 2
    assert all("has no image" in problem.reason for problem in found.problems)


OFFSETS = "<BOA_ADD_OFFSET>-1000</BOA_ADD_OFFSET>" * 13
EARLY, LATE = "2021-06-01", "2023-06-01"


@pytest.mark.parametrize(
    ("when", "name_baseline", "said", "wanted"),
    [
        (LATE, "0509", OFFSETS + "<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>", (1000, True)),
        (EARLY, "0500", OFFSETS + "<PROCESSING_BASELINE>05.00</PROCESSING_BASELINE>", (1000, True)),
        (LATE, "0509", OFFSETS.replace("-1000", "0"), (0, True)),
        (LATE, "0509", "<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>", (1000, True)),
        (EARLY, "0301", "<PROCESSING_BASELINE>03.01</PROCESSING_BASELINE>", (0, True)),
        (LATE, "0400", None, (1000, True)),
        (EARLY, "0214", None, (0, True)),
        (LATE, "9999", "<PROCESSING_BASELINE>99.99</PROCESSING_BASELINE>", (1000, False)),
        (EARLY, "9999", "<PROCESSING_BASELINE>99.99</PROCESSING_BASELINE>", (0, False)),
        (LATE, "9999", OFFSETS + "<PROCESSING_BASELINE>99.99</PROCESSING_BASELINE>", (1000, True)),
    ],
)
def test_the_offset_follows_from_metadata(tmp_path, when, name_baseline, said, wanted):
    when = date.fromisoformat(when)
    root = write_safe(tmp_path, {**ARRAYS, "doys": ARRAYS["doys"][:1]}, pixels="tif")[0]
    root = root.rename(tmp_path / f"{safe_name(when, name_baseline)}.SAFE")
    for path in list(root.rglob("*.tif")):
        path.rename(path.with_name(path.name.replace(f"{DAYS[0]:%Y%m%d}", f"{when:%Y%m%d}")))
    if said is None:
        (root / "MTD_MSIL2A.xml").unlink()
    else:
        (root / "MTD_MSIL2A.xml").write_text(
            f"<a><PRODUCT_START_TIME>{when}T10:50:31Z</PRODUCT_START_TIME>{said}</a>"
        )
    (product,) = find(tmp_path).s2
    assert product.date == when
    assert (product.offset, product.offset_known) == wanted


def test_old_names_and_several_granules(tmp_path):
    """Before December 2016 a product had many tiles, and file names began with the mission."""
    root = tmp_path / "S2A_USER_PRD_MSIL2A_PDMC_20160308T090616_R094_V20160305T110109_20160305T110109.SAFE"
    for tile in ("T31TCJ", "T31TDJ"):
        images = root / f"GRANULE/S2A_USER_MSI_L2A_TL_EPA__20160305T163811_A003664_{tile}_N02.01/IMG_DATA"
        for band in S2_BANDS:
            size = 10 if band in ("B02", "B03", "B04", "B08") else 20
            stem = f"S2A_USER_MSI_L2A_TL_EPA__20160305T163811_A003664_{tile}_{band}_{size}m"
            write_raster(images / f"R{size}m" / f"{stem}.jp2", ARRAYS["bands"][0, ..., 0])
        write_raster(
            images / f"S2A_USER_SCL_L2A_TL_EPA__20160305T163811_A003664_{tile}_20m.jp2", ARRAYS["masks"][0]
        )
        write_raster(images.parent / f"QI_DATA/S2A_USER_MSK_B02_{tile}.jp2", ARRAYS["masks"][0])
    (root / "S2A_USER_MTD_SAFL2A_PDMC_20160308T090616_R094_V20160305T110109_20160305T110109.xml").write_text(
        "<a><PROCESSING_LEVEL>Level-2Ap</PROCESSING_LEVEL><PROCESSING_BASELINE>02.01</PROCESSING_BASELINE>"
        "<DATATAKE_SENSING_START>2016-03-05T11:01:09.0Z</DATATAKE_SENSING_START></a>"
    )
    found = find(tmp_path)
    assert not found.problems
    assert [product.name.rsplit("_", 2)[1] for product in found.s2] == ["T31TCJ", "T31TDJ"]
    assert {(product.date, product.offset) for product in found.s2} == {(date(2016, 3, 5), 0)}


BOMB = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;&x;'>]><a>&y;</a>"
READS = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a><PRODUCT_URI>&x;</PRODUCT_URI></a>"
REMOTE = "<!DOCTYPE a SYSTEM 'http://localhost:1/a.dtd'><a/>"
METADATA_MISTAKES = {
    "another encoding": ("<?xml version='1.0' encoding='rot13'?><a/>", r"MTD_MSIL2A\.xml .*XML"),
    "bomb": (BOMB, r"MTD_MSIL2A\.xml has a document type"),
    "external entity": (READS, r"MTD_MSIL2A\.xml has a document type"),
    "external type": (REMOTE, r"MTD_MSIL2A\.xml has a document type"),
    "cut off": ("<a><PRODUCT_URI>", r"MTD_MSIL2A\.xml .*XML"),
    "empty": ("", r"MTD_MSIL2A\.xml .*XML"),
    "another level": ("<a><PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL></a>", "is Level-1C, expected Level-2A"),
    "another date": ("<a><PRODUCT_START_TIME>yesterday</PRODUCT_START_TIME></a>", "date 'yesterday'"),
    "another product": (safe_metadata(safe_name(date(2019, 1, 1), "0214"), date(2019, 1, 1), 0), r"S2A_MSIL2A_2021.* metadata .*S2A_MSIL2A_2019"),
    "another offset": ("<a>" + OFFSETS + "<BOA_ADD_OFFSET>-500</BOA_ADD_OFFSET></a>", "BOA_ADD_OFFSET -1000, -500"),
    "another scale": ("<a><BOA_QUANTIFICATION_VALUE>1000</BOA_QUANTIFICATION_VALUE></a>", r"reflectance \* 1000, expected"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", METADATA_MISTAKES)
def test_bad_metadata_are_named(tmp_path, mistake):
    bad, good = write_safe(tmp_path, ARRAYS, pixels="tif")
    text, reason = METADATA_MISTAKES[mistake]
    (bad / "MTD_MSIL2A.xml").write_text(text)
    found = find(tmp_path)
    assert [product.source for product in found.s2] == [good]
    (problem,) = found.problems
    assert problem.source == bad
    assert "root:" not in problem.reason
    assert "\n" not in problem.reason
    assert re.search(reason, problem.reason), problem.reason


def test_incomplete_and_other_products_are_named(tmp_path):
    bad, good = write_safe(tmp_path, ARRAYS, pixels="tif")
    for path in [*bad.rglob("*_B05_20m.tif"), *bad.rglob("*_SCL_20m.tif")]:
        path.unlink()
    for name in ("S2A_MSIL1C_20210101T105031_N0214_R051_T31UES_20210101T130000.SAFE",
                 "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6001.SAFE"):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.safe").write_text("<a/>")
    assert [product.source for product in find(tmp_path).s2] == [good]
    said = reasons(tmp_path)
    assert "lacks B05 at 20 m, SCL at 20 m" in said[bad.name]
    assert any("Level-1C" in reason for reason in said.values())
    assert any("GRD, expected terrain-corrected" in reason for reason in said.values())
    assert len(said) == 3


def test_copies_and_older_processings_are_named(tmp_path):
    root = write_safe(tmp_path, ARRAYS, pixels="tif")[0]
    shutil.copytree(root, tmp_path / "again" / root.name)
    zip_up(tmp_path / "again" / root.name)
    new = tmp_path / root.name.replace("_N0214_", "_N0500_").replace("T140000", "T150000")
    shutil.copytree(root, new)
    (new / "MTD_MSIL2A.xml").unlink()
    found = find(tmp_path)
    assert [product.source for product in found.s2] == [new, tmp_path / f"{safe_name(DAYS[1], '0214')}.SAFE"]
    assert len(found.problems) == 2
    assert all("older" in problem.reason and new.stem in problem.reason for problem in found.problems)
    shutil.rmtree(new)
    (problem,) = find(tmp_path).problems
    assert problem.source.suffix == ".zip"
    assert "is a copy of" in problem.reason


def test_parts_of_one_acquisition_are_kept(tmp_path):
    root = write_safe(tmp_path, ARRAYS, pixels="tif")[0]
    part = tmp_path / root.name.replace("T140000", "T140959")
    shutil.copytree(root, part)
    (part / "MTD_MSIL2A.xml").unlink()
    (granule,) = (part / "GRANULE").iterdir()
    granule.rename(granule.with_name(granule.name.replace("T105031", "T105045")))  # another datastrip
    assert len(find(tmp_path).s2) == 3


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/../../../x", "C:\\x"])
def test_a_zip_with_names_that_lead_out_is_not_used(tmp_path, name):
    path = write_safe(tmp_path, ARRAYS, pixels="tif", zipped=True)[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x")
    assert len(find(tmp_path).s2) == 1
    assert repr(name) in reasons(tmp_path)[path.name]


@pytest.mark.parametrize("keep", [0, 100, -30])
def test_a_damaged_zip_is_named(tmp_path, keep):
    path = write_safe(tmp_path, ARRAYS, pixels="tif", zipped=True)[0]
    path.write_bytes(path.read_bytes()[:keep])
    assert len(find(tmp_path).s2) == 1
    assert "can't be read as a zip" in reasons(tmp_path)[path.name]


def test_damaged_metadata_in_a_zip_are_named(tmp_path):
    path = write_safe(tmp_path, ARRAYS, pixels="tif", zipped=True)[0]
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith(".xml"))
    content[info.header_offset + 30 + len(info.filename) : info.header_offset + 60 + len(info.filename)] = (
        b"\xff" * 30
    )
    path.write_bytes(content)
    assert len(find(tmp_path).s2) == 1
    assert "MTD_MSIL2A.xml can't be read" in reasons(tmp_path)[path.name]


def test_several_bad_products_in_a_zip_are_named_in_one_line(tmp_path):
    (path, _) = write_safe(tmp_path, ARRAYS, pixels="tif", zipped=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("A.SAFE/manifest.safe", "<a/>")
        archive.writestr("B.SAFE/MTD_MSIL2A.xml", "")
    found = find(tmp_path)
    assert len(found.s2) == 2
    assert reasons(tmp_path).keys() == {path.name}
    assert len(found.problems) == 1
    assert found.problems[0].reason.count("; ") >= 1


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_zip_with_any_bytes_changed_is_used_or_named_once(one_zip, changes):
    path, content = one_zip
    changed = bytearray(content)
    for place, value in changes:  # half of them in the directory at its end
        changed[-(place % 1500) if value % 2 else place % len(changed)] = value
    path.write_bytes(changed)
    found = find(path.parent)
    assert len(found.problems) <= 1
    assert found.s2 or found.problems


@pytest.fixture(scope="module")
def one_zip(tmp_path_factory):
    arrays = {**ARRAYS, "doys": ARRAYS["doys"][:1]}
    (path,) = write_safe(tmp_path_factory.mktemp("zip"), arrays, pixels="tif", zipped=True)
    return path, path.read_bytes()


def test_a_zip_with_a_member_without_a_name_is_read_or_named(tmp_path):
    (path,) = write_safe(
        tmp_path, {name: array[:1] for name, array in ARRAYS.items()}, zipped=True, pixels="tif"
    )
    content = path.read_bytes()
    name = safe_name(DAYS[0]).encode()
    for changed in (
        content.replace(name, b"\0" * len(name)),
        content.replace(b"MTD_MSIL2A.xml", b"\0TD_MSIL2A.xml"),
    ):
        path.write_bytes(changed)
        found = find(tmp_path)
        assert found.problems or found.s2


# Contents of several products in one folder


def merged(folder, baselines, granules=True):
    """The contents of one product a date in one folder; MTD_MSIL2A.xml is the last one's."""
    for n, baseline in enumerate(baselines):
        arrays = {
            name: array[n : n + 1] for name, array in ARRAYS.items() if name in ("bands", "masks", "doys")
        }
        (root,) = write_safe(folder / "x", arrays, pixels="tif", offset=1000 if baseline >= "0400" else 0)
        (granule,) = (root / "GRANULE").iterdir()
        if granules:
            day, version = f"{DAYS[n]:%Y%m%d}", f"{baseline[:2]}.{baseline[2:]}"
            (granule / "MTD_TL.xml").write_text(
                f"<a><TILE_ID>S2A_OPER_MSI_L2A_TL_2APS_{day}T140000_A000001_T31UES_N{version}</TILE_ID>"
                f"<DATASTRIP_ID>S2A_OPER_MSI_L2A_DS_2APS_{day}T140000_S{day}T105031_N{version}</DATASTRIP_ID>"
                f"<SENSING_TIME>{DAYS[n]}T10:57:31.000Z</SENSING_TIME></a>"
            )
        shutil.copytree(root, folder / "all", dirs_exist_ok=True)
        shutil.rmtree(folder / "x")
    return folder / "all"


@pytest.mark.parametrize("baselines", [("0214", "0500"), ("0500", "0214"), ("0500", "0500")])
@pytest.mark.parametrize("without", [(), ("MTD_MSIL2A.xml",)])
def test_merged_granules_have_their_own_metadata(tmp_path, baselines, without):
    folder = merged(tmp_path, baselines)
    for name in without:
        (folder / name).unlink()
    found = find(tmp_path)
    assert not found.problems
    assert [product.date for product in found.s2] == DAYS
    assert [product.offset for product in found.s2] == [0 if each == "0214" else 1000 for each in baselines]
    assert all(product.offset_known for product in found.s2)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_merged_granule_without_metadata_is_named(tmp_path, zipped):
    folder = merged(tmp_path, ("0214", "0500"), granules=False)
    if zipped:
        folder = zip_up(folder)
    found = find(tmp_path)
    assert [product.date for product in found.s2] == DAYS[1:]
    (problem,) = found.problems
    assert problem.source == (
        folder if zipped else folder / f"GRANULE/L2A_T31UES_A000001_{DAYS[0]:%Y%m%d}T105031"
    )
    assert str(DAYS[0]) in problem.reason


def test_since_2022_the_date_says_the_offset_of_a_granule(tmp_path):
    folder = merged(tmp_path, ("0500", "0500"), granules=False)
    for path in sorted(folder.rglob(f"*{DAYS[0]:%Y%m%d}*"), reverse=True):
        path.rename(path.with_name(path.name.replace(f"{DAYS[0]:%Y%m%d}", "20230601")))
    found = find(tmp_path)
    assert sorted((product.date, product.offset, product.offset_known) for product in found.s2) == sorted(
        [(date(2023, 6, 1), 1000, False), (DAYS[1], 1000, True)]
    )


def test_numbered_metadata_are_each_of_their_product(tmp_path):
    """Windows numbers files that would replace others."""
    folder = merged(tmp_path, ("0214", "0500"), granules=False)
    first = safe_metadata(safe_name(DAYS[0], "0214"), DAYS[0], 0)
    (folder / "MTD_MSIL2A (2).xml").write_text(first)
    found = find(tmp_path)
    assert not found.problems
    assert [(product.date, product.offset) for product in found.s2] == [(DAYS[0], 0), (DAYS[1], 1000)]


def test_a_product_with_images_of_another_date_is_named(tmp_path):
    bad, good = write_safe(tmp_path, ARRAYS, pixels="tif")
    for path in list(bad.rglob("*.tif")):
        path.rename(path.with_name(path.name.replace(f"{DAYS[0]:%Y%m%d}", "20210203")))
    found = find(tmp_path)
    assert [product.source for product in found.s2] == [good]
    (problem,) = found.problems
    assert problem.source == bad
    assert "2021-02-03" in problem.reason


# The newest processing


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("names", "generated"),
    [
        (("N0214_R051_T31UES_20240101T000000", "N0500_R051_T31UES_20210101T000000"), (None, None)),
        (("N0500_R051_T31UES_20210104T140000", "N0500_R051_T31UES_20210104T235959"), (None, None)),
        (("N0500_R051_T31UES_20240101T000000", "N0500_R051_T31UES_20210101T000000"), ("2021-01-01", "2023-01-01")),
        (("N9999_R051_T31UES_20240101T000000", "N0500_R051_T31UES_20210101T000000"), (None, None)),
    ],
)  # fmt: skip
def test_the_newest_processing_counts(tmp_path, zipped, names, generated):
    (root,) = write_safe(tmp_path, {**ARRAYS, "doys": ARRAYS["doys"][:1]}, pixels="tif")
    roots = []
    for name, made in zip(names, generated, strict=True):
        new = shutil.copytree(root, tmp_path / f"{root.name[:27]}{name}.SAFE")
        number = name[1:3] + "." + name[3:5]
        (new / "MTD_MSIL2A.xml").write_text(
            f"<a><PRODUCT_START_TIME>{DAYS[0]}T10:50:31Z</PRODUCT_START_TIME><PROCESSING_BASELINE>{number}"
            f"</PROCESSING_BASELINE>{f'<GENERATION_TIME>{made}T00:00:00Z</GENERATION_TIME>' if made else ''}</a>"
        )
        roots.append(zip_up(new) if zipped else new)
    shutil.rmtree(root)
    found = find(tmp_path)
    assert [product.source for product in found.s2] == roots[1:]
    assert [problem.source for problem in found.problems] == roots[:1]
    assert roots[1].stem in found.problems[0].reason
