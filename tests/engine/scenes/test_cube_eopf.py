"""EOPF's Zarr products are read like SAFE products: baseline offset, date, and the newest of two processings."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from made_up import CRS, ORIGIN, FakeReader
from mosaic_files import day_of
from product_files import at_20_m, product_arrays, scl

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes import open_scene
from tessera_engine.scenes.layouts import cube
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.search import find_products

zarr = pytest.importorskip("zarr")

ARRAYS, COARSE = at_20_m(product_arrays(8, 6, steps=3))
AT_10 = ("B02", "B03", "B04", "B08")
PACKED = {"scale_factor": 0.0001, "add_offset": -0.1}


def name_of(t, baseline="0511", made="T140000", level="2A"):
    day = f"{day_of(ARRAYS['doys'][t]):%Y%m%d}"
    return f"S2A_MSIL{level}_{day}T105031_N{baseline}_R051_T31UES_{day}{made}"


def write(folder, t, *, version=3, packing=PACKED, coordinates=True, name=None, add=1000, without=()):
    path = folder / f"{name or name_of(t)}.zarr"
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    root.attrs["stac_discovery"] = {"properties": {"datetime": f"{day_of(ARRAYS['doys'][t])}T10:50:31Z"}}
    for band in (*S2_BANDS, "SCL"):
        step = 10 if band in AT_10 else 20
        if band == "SCL":
            values, group = scl(ARRAYS["masks"][t])[::2, ::2], "conditions/mask/l2a_classification/r20m"
        else:
            bands = ARRAYS["bands"] if band in AT_10 else COARSE
            values, group = (
                bands[t, ..., S2_BANDS.index(band)] + np.uint16(add),
                f"measurements/reflectance/r{step}m",
            )
        if band in without:
            continue
        node = root.require_group(group)
        attributes = {"proj:epsg": int(CRS.split(":")[1]), **packing}
        if not coordinates:
            attributes["proj:transform"] = [step, 0, ORIGIN.c, 0, -step, ORIGIN.f]
        array(node, band.lower(), values, ["y", "x"], version, attributes)
        if coordinates and "x" not in node:
            height, width = values.shape
            array(node, "x", ORIGIN.c + step * (np.arange(width) + 0.5), ["x"], version, {})
            array(node, "y", ORIGIN.f - step * (np.arange(height) + 0.5), ["y"], version, {})
    return path


def array(node, name, values, dims, version, attributes):
    names = {"dimension_names": dims} if version == 3 else {}
    made = node.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape, **names)
    made[...] = values
    made.attrs.update({**attributes, **({"_ARRAY_DIMENSIONS": dims} if version == 2 else {})})


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("coordinates", [True, False])
def test_products_are_read_like_the_plain_arrays(tmp_path, version, coordinates):
    for t in range(3):
        path = write(tmp_path, t, version=version, coordinates=coordinates)
        if t == 1:
            with zipfile.ZipFile(f"{path}.zip", "w") as archive:
                for file in sorted(path.rglob("*")):
                    archive.write(file, file.relative_to(path.parent))
                    file.rename(tmp_path / ".gone") if file.is_file() else None
            path.rename(tmp_path / ".moved")
    scene, fake = open_scene(tmp_path), FakeReader(ARRAYS)
    assert not scene.reader.warnings
    assert scene.grid == fake.grid
    found, wanted = scene.reader.read(scene.grid.window), fake.read(scene.grid.window)
    np.testing.assert_array_equal(found.s2_valid != 0, wanted.s2_valid != 0)
    np.testing.assert_array_equal(found.s2[found.s2_valid != 0], wanted.s2[wanted.s2_valid != 0])


@pytest.mark.parametrize(("baseline", "wanted"), [("0301", 0), ("0511", 1000)])
def test_without_a_scale_the_baseline_decides(tmp_path, baseline, wanted):
    write(tmp_path, 0, packing={}, name=name_of(0, baseline))
    (product,) = cube.find(list_folder(tmp_path)).s2
    assert (product.offset, product.offset_known) == (wanted, True)


def test_the_newest_of_two_processings_is_used(tmp_path):
    write(tmp_path, 0, name=name_of(0, "0500"))
    new = write(tmp_path, 0, name=name_of(0, "0511"))
    found = find_products(list_folder(tmp_path))[1]
    assert [product.source for product in found.s2] == [new]
    (problem,) = found.problems
    assert "N0500" in problem.source.name


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"without": ["B8A"]}, "b8a"),
        ({"name": "S2A_MSIL1C_20210709T105031_N0511_R051_T31UES_20210709T140000"}, "Level-1C"),
        ({"packing": {"scale_factor": 0.001, "add_offset": 0.0}}, "0.001"),
    ],
)
def test_what_is_no_whole_product_is_named(tmp_path, options, reason):
    path = write(tmp_path, 0, **options)
    found = cube.find(list_folder(tmp_path))
    assert not found.s2
    (problem,) = found.problems
    assert problem.source == path
    assert reason in problem.reason
