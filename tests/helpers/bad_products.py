"""Products that can't be used, each for a different reason, to be added to a good scene."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from affine import Affine
from cube_files import s2_variables, write_netcdf
from made_up import ORIGIN
from numpy.typing import NDArray
from product_files import safe_metadata, safe_name, write_hyp3, write_opera, write_raster, write_safe, zip_up
from stac_files import write_stac_s2

VIRTUAL = '<VRTDataset rasterXSize="5" rasterYSize="5"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
BOMB = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;&x;'>]><a>&y;</a>"
READS_A_FILE = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a><PRODUCT_URI>&x;</PRODUCT_URI></a>"


def sprinkle(folder: Path, arrays: dict[str, NDArray], count: int) -> list[Path]:
    """Write bad products into a scene folder; returns the paths that the engine must report, one for each product."""
    one = {name: array[:1] for name, array in arrays.items()}
    makers = [*_safe_makers(one), *_stac_makers(one), *_radar_makers(one), *_other_makers(one)]
    return [makers[n % len(makers)](folder / f"spoilt{n}", n) for n in range(count)]


Maker = Callable[[Path, int], Path]


def _safe_makers(arrays: dict[str, NDArray]) -> Iterator[Maker]:
    """SAFE folders and zips, of dates that the good scene doesn't have."""

    def fresh(folder: Path, n: int, **options) -> Path:
        when = date(2021, 1, 1) + timedelta(n)
        (root,) = write_safe(
            folder, {**arrays, "doys": np.array([when.timetuple().tm_yday])}, pixels="tif", **options
        )
        return root

    def with_band(spoil: Callable[[Path], object]) -> Maker:
        def make(folder: Path, n: int) -> Path:
            root = fresh(folder, n)
            spoil(next(root.rglob("*_B05_20m.tif")))
            return root

        return make

    def with_metadata(text: str) -> Maker:
        def make(folder: Path, n: int) -> Path:
            root = fresh(folder, n)
            (root / "MTD_MSIL2A.xml").write_text(text)
            return root

        return make

    image = np.ones((6, 5), np.uint16)
    yield with_band(lambda path: path.write_bytes(b""))
    yield with_band(lambda path: path.write_text("this is no raster"))
    yield with_band(lambda path: path.write_text(VIRTUAL))
    yield with_band(lambda path: path.write_bytes(path.read_bytes()[:-20]))
    yield with_band(lambda path: path.unlink())
    yield with_band(lambda path: shutil.rmtree(path.parents[3]))
    yield with_band(lambda path: write_raster(path, image, crs=None))
    yield with_band(lambda path: write_raster(path, image.astype(np.float32)))
    yield with_metadata("")
    yield with_metadata("<a><PRODUCT_URI>")
    yield with_metadata(BOMB)
    yield with_metadata(READS_A_FILE)
    yield with_metadata("<a><PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL></a>")
    yield with_metadata(safe_metadata(safe_name(date(2019, 1, 1), "0214"), date(2019, 1, 1), 0))
    yield lambda folder, n: fresh(
        folder, n, crs="EPSG:32731", transform=ORIGIN @ Affine.translation(20 * n, 0)
    )

    def cut_zip(folder: Path, n: int) -> Path:
        path = zip_up(fresh(folder, n))
        path.write_bytes(path.read_bytes()[:200])
        return path

    def escaping_zip(folder: Path, n: int) -> Path:
        path = zip_up(fresh(folder, n))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("../../x", "x")
        return path

    def copy_of_good(folder: Path, n: int) -> Path:
        good = next(path for path in sorted(folder.parent.glob("good/*.SAFE")))
        return Path(shutil.copytree(good, folder / f"{n}" / good.name))

    yield from (cut_zip, escaping_zip, copy_of_good)


def _stac_makers(arrays: dict[str, NDArray]) -> Iterator[Maker]:
    def item(spoil: Callable[[dict], object]) -> Maker:
        def make(folder: Path, n: int) -> Path:
            (made,) = write_stac_s2(folder, arrays)
            made["id"] = f"item{n}"
            spoil(made)
            path = folder / f"item{n}.json"
            path.write_text(json.dumps(made))
            return path

        return make

    def text(content: str) -> Maker:
        def make(folder: Path, n: int) -> Path:
            folder.mkdir()
            path = folder / f"item{n}.json"
            path.write_text(content)
            return path

        return make

    for href in (
        "file:///etc/passwd",
        "https://localhost:1/B02.tif",
        "/etc/passwd",
        "../../../x.tif",
        "./no.tif",
    ):
        yield item(lambda made, href=href: made["assets"]["B02"].update(href=href))
    yield item(lambda made: made["assets"].pop("B11"))
    yield item(lambda made: made["properties"].update(datetime="soon"))
    yield text("")
    yield text('{"type": "Feature", "assets": {')


def _radar_makers(arrays: dict[str, NDArray]) -> Iterator[Maker]:
    def opera(spoil: Callable[[Path], object]) -> Maker:
        def make(folder: Path, n: int) -> Path:
            files = write_opera(folder, {**arrays, "sar_descending_doy": []}, bursts=1)
            moved = [path.rename(path.with_name(path.name.replace("T037-0", f"T{n:03}-1"))) for path in files]
            spoil(moved[0])
            return moved[0]

        return make

    def hyp3(old: str, new: str, named: str) -> Maker:
        def make(folder: Path, n: int) -> Path:
            (root,) = write_hyp3(folder, {**arrays, "sar_descending_doy": []})
            for path in list(root.iterdir()):
                path.rename(root / path.name.replace(old, new).replace("_0000", f"_{n:04X}"))
            return next(root.glob(f"*_{named}.tif"))

        return make

    yield opera(lambda path: path.write_bytes(b""))
    yield opera(lambda path: path.write_text("this is no raster"))
    yield opera(lambda path: write_raster(path, np.ones((4, 4), np.float32)))  # without the tag of the orbit
    yield hyp3("_gpuned_", "_spuned_", "VV")  # sigma0
    yield hyp3("T172305", "T120000", "VV")  # at noon the orbit can't be derived
    yield hyp3("_V", "_H", "HH")  # horizontal pulses


def _other_makers(arrays: dict[str, NDArray]) -> Iterator[Maker]:
    def cube(folder: Path, n: int) -> Path:
        variables = {name: value for name, value in s2_variables(arrays).items() if name != "B8A"}
        return write_netcdf(folder / f"{n}.nc", variables, arrays["doys"])

    def no_cube(folder: Path, n: int) -> Path:
        folder.mkdir()
        path = folder / f"{n}.nc"
        path.write_bytes(b"CDF")
        return path

    def link(folder: Path, n: int) -> Path:
        folder.mkdir()
        path = folder / f"T31UES_{n}_B04_10m.jp2"
        path.symlink_to("/etc/passwd")
        return path

    yield from (cube, no_cube, link)
